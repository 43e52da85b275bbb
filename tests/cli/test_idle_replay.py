"""``mlabhub idle replay`` as a person calls it: files in, a table or JSON out, and its exit statuses."""

import gzip
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mlabhub.cli import exit_status
from mlabhub.cli.idle import app
from mlabhub.errors import MLabError
from tests.replay.idle.traces import START, example, lines_of, trace

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "idle"
SAMPLES = EXAMPLE / "samples.jsonl"


def call(*arguments):
    """Return exit status, stdout and stderr; an error as `mlabhub` would print it."""
    done = CliRunner().invoke(app, ["replay", *map(str, arguments)])
    if isinstance(done.exception, MLabError):
        return exit_status(done.exception), done.stdout, str(done.exception)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


def test_the_example_is_what_it_is_said_to_be(tmp_path):
    assert SAMPLES.read_bytes().splitlines() == lines_of(example())
    report = ""
    for name in ("default", "princeton", "gpu-pruner", "activity-only"):
        status, out, err = call(SAMPLES, "--policy", name)
        assert (status, err) == (0, "")
        report += out + "\n"
    assert report.rstrip("\n") + "\n" == (EXAMPLE / "report.txt").read_text()
    assert call(SAMPLES, "--out", tmp_path / "out")[0] == 0
    assert (tmp_path / "out").read_text() == (EXAMPLE / "decisions.jsonl").read_text()


def test_json_is_one_document_and_decisions_are_lines_in_order_of_time(tmp_path):
    out = tmp_path / "decisions.jsonl"
    status, stdout, _ = call(SAMPLES, "--json", "--out", out, "--aggressiveness", "0.9")
    assert status == 0
    found = json.loads(stdout)
    assert (found["policy"], found["servers"], found["stops_of_a_busy_server"]) == ("default", 8, 0)
    assert found["gpu_hours_held"] >= found["gpu_hours_idle"] >= found["gpu_hours_reclaimed"] > 0
    decisions = [json.loads(line) for line in out.read_text().splitlines()]
    assert {tuple(one) for one in decisions} == {("t", "server", "action", "reason")}
    assert {one["action"] for one in decisions} <= {"warn", "stop", "keep"}
    assert [one["t"] for one in decisions] == sorted(one["t"] for one in decisions)
    assert sum(one["action"] == "stop" for one in decisions) == found["stops"]


def test_a_part_of_it_by_seconds_or_by_moments():
    whole, part = call(SAMPLES, "--json")[1], call(SAMPLES, "--json", "--from", START + 3600, "--to", START + 7200)[1]
    assert json.loads(part)["samples"] == 8 * 13
    assert json.loads(whole)["samples"] > 1000
    again = call(SAMPLES, "--json", "--from", "2024-11-22T01:00Z", "--to", "2024-11-22T02:00Z")[1]
    assert again == part
    assert call(SAMPLES, "--from", "yesterday")[0] == 2
    assert call(SAMPLES, "--to", "nan")[0] == 2


def test_compressed_torn_and_foreign_files(tmp_path):
    file = tmp_path / "samples"
    file.write_bytes(gzip.compress(SAMPLES.read_bytes()))
    assert call(file)[:2] == call(SAMPLES)[:2]
    file.write_bytes(file.read_bytes()[:2000])
    assert call(file)[0] == 2
    lines = lines_of(trace(hours=2))
    file.write_bytes(
        b"\n".join([*lines, b"[1]", b'{"t": 1}', b'{"t": "x", "server": "a/"}', b'{"t": 17000', b"", b"\xff"])
    )
    status, out, err = call(file, "--json")
    assert (status, json.loads(out)["samples"]) == (0, 120)
    assert err == (
        "note: line 124 is not JSON and left out, and so is 1 more.\n"
        "note: line 121 is without a server or a time in seconds and left out, and so are 2 more.\n"
    )
    file.write_bytes(b"hello\n")
    status, _, err = call(file)
    assert status == 2
    assert "no sample" in err
    assert call(tmp_path / "none")[0] == 2


def test_values_of_another_kind_are_not_known(tmp_path):
    file = tmp_path / "samples"
    wrong = {"gpu_util": "0", "gpus": "2", "cpu_cores": "1", "input_age": [], "kernels_busy": {}, "gpu_mem_used": 3}
    file.write_bytes(b"\n".join(lines_of({**line, **wrong, "more": 1} for line in trace(hours=5))))
    status, out, _ = call(file, "--json")
    assert (status, json.loads(out)["warnings"]) == (0, 0)


def test_policies_of_a_folder(tmp_path):
    (tmp_path / "idle.yaml").write_text(
        "policy: mine\npolicies:\n  mine: {learns: false, with_gpu: {window_minutes: 720}}\n"
    )
    found = json.loads(call(SAMPLES, "--config", tmp_path, "--json")[1])
    assert (found["policy"], found["stops"]) == ("mine", 0)
    assert json.loads(call(SAMPLES, "--config", tmp_path, "--json", "--policy", "gpu-pruner")[1])["stops"] > 0
    status, _, err = call(SAMPLES, "--config", tmp_path, "--policy", "yours")
    assert (status, "there are: activity-only, default" in err) == (2, True)
    (tmp_path / "idle.yaml").write_text("policy: 3\n")
    assert call(SAMPLES, "--config", tmp_path)[0] == 2
    assert call(SAMPLES, "--config", tmp_path / "none")[0] == 2


def test_the_samples_are_never_overwritten(tmp_path):
    file = tmp_path / "samples"
    file.write_bytes(SAMPLES.read_bytes())
    assert call(file, "--out", file)[0] == 2
    assert file.read_bytes() == SAMPLES.read_bytes()


@pytest.mark.parametrize("value", ["-0.1", "1.1", "x"])
def test_aggressiveness_is_from_0_to_1(value):
    assert call(SAMPLES, "--aggressiveness", value)[0] == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "It is empty."),
        (b"\n\n", "It is empty."),
        (b"\x00\x9f" * 900, "line 1 is not JSON."),
        (b"\n[1]\n", "line 2 says no server or no time in seconds."),
    ],
    ids=["empty", "blank", "binary", "a list"],
)
def test_a_file_without_samples_is_one_sentence_that_names_the_line(tmp_path, content, said):
    file = tmp_path / "samples"
    file.write_bytes(content)
    status, out, err = call(file)
    assert (status, out) == (2, "")
    assert said in err
    assert "\n" not in err


def test_what_lies_beyond_from_and_to_is_said():
    assert "None of its" in call(SAMPLES, "--from", START + 1e8)[2]


def test_numbers_beyond_all_measure_and_a_use_that_is_no_list_are_not_known(tmp_path):
    file = tmp_path / "samples"
    huge = 10**400
    more = {"cpu_cores": huge, "gpu_mem_used": [huge], "last_activity": huge, "input_age": huge, "kernels_busy": huge}
    file.write_bytes(b"\n".join(lines_of({**line, **more} for line in trace(hours=3))))
    assert json.loads(call(file, "--json")[1])["stops"] == 1
    file.write_bytes(b"\n".join(lines_of({**line, "gpu_util": 0} for line in trace(hours=3))))
    status, out, err = call(file, "--json")
    assert (status, json.loads(out)["stops"]) == (0, 0)
    assert err.startswith("note: line 1 is with a gpu_util that is not a list")


def test_lines_that_are_too_far_apart_are_said_to_tell_nothing(tmp_path):
    file = tmp_path / "samples"
    file.write_bytes(b"\n".join(lines_of(trace(hours=20, tick=1200.0))))
    status, out, err = call(file, "--json")
    assert (status, json.loads(out)["stops"]) == (0, 0)
    assert err.startswith("note: 1 of 1 servers have lines that are more than 15 min apart")
