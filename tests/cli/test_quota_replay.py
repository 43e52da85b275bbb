"""``mlabhub quota replay`` as a person calls it: files in, tables or JSON out, and its exit statuses."""

import gzip
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mlabhub.cli import exit_status
from mlabhub.cli.quota import app
from mlabhub.errors import MLabError
from mlabhub.replay.workloads import example

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "replay"
WORKLOAD, QUOTAS = str(EXAMPLE / "workload.jsonl"), str(EXAMPLE / "quotas.yaml")


def call(*arguments):
    """Return exit status, stdout and stderr; an error as `mlabhub` would print it."""
    done = CliRunner().invoke(app, ["replay", *map(str, arguments)])
    if isinstance(done.exception, MLabError):
        return exit_status(done.exception), done.stdout, str(done.exception)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


def test_the_example_is_what_it_is_said_to_be_and_keeps_every_promise():
    status, out, err = call(WORKLOAD, "--quotas", QUOTAS, "--check")
    assert (status, err) == (0, "")
    made = example()
    assert f"Requests: {len(made.workload.requests)}; machines: 2, with 16 GPUs" in out
    assert "Every event was checked." in out
    written = [json.loads(line) for line in (EXAMPLE / "workload.jsonl").read_text().splitlines()[1:]]
    assert written == [one.to_dict() for one in made.workload.requests]
    status, out, err = call(WORKLOAD, "--quotas", QUOTAS, "--compare", "--check")
    assert (status, err, out) == (0, "", (EXAMPLE / "report.txt").read_text())


def test_json_is_one_document_and_events_are_lines_in_order_of_time(tmp_path):
    out = tmp_path / "events.jsonl"
    status, stdout, _ = call(WORKLOAD, "--quotas", QUOTAS, "--json", "--compare", "--check", "--out", out)
    assert status == 0
    found = json.loads(stdout)
    assert found["findings"] == []
    assert set(found["policies"]) == {"mlabhub", "static", "fifo", "back-fill", "no-reclaim", "kueue"}
    assert found["policies"]["mlabhub"]["waits"] == found["waits"]
    events = [json.loads(line) for line in out.read_text().splitlines()]
    assert [one["t"] for one in events] == sorted(one["t"] for one in events)
    assert {tuple(one) for one in events} == {("t", "id", "event", "node", "reason")}
    assert sum(one["event"] == "ended" for one in events) == found["requests"] == 166


def test_compressed_files_are_known_by_what_is_in_them(tmp_path):
    packed = tmp_path / "plain.txt"
    packed.write_bytes(gzip.compress((EXAMPLE / "workload.jsonl").read_bytes()))
    assert call(packed, "--quotas", QUOTAS)[1] == call(WORKLOAD, "--quotas", QUOTAS)[1]
    packed.write_bytes(packed.read_bytes()[:2000])
    status, _, err = call(packed, "--quotas", QUOTAS)
    assert status == 2
    assert "it was compressed by gzip and is cut off or damaged" in err
    assert len(err.splitlines()) == 1


def test_quotas_come_from_a_file_or_a_folder(tmp_path):
    (tmp_path / "quotas.yaml").write_text((EXAMPLE / "quotas.yaml").read_text())
    as_json = tmp_path / "limits"
    as_json.write_text(json.dumps(example().quotas.model_dump(mode="json", exclude_defaults=True)))
    wanted = call(WORKLOAD, "--quotas", QUOTAS)
    assert call(WORKLOAD, "--config", tmp_path) == wanted
    assert call(WORKLOAD, "--quotas", as_json) == wanted
    assert call(WORKLOAD, "--config", ROOT / "spawner_profiles")[0] == 0
    assert call(WORKLOAD)[0] == 0


@pytest.mark.parametrize(
    ("quotas", "says"),
    [
        ("groups: {v: {guaranteed: {gpu: -1}}}", "groups.v.guaranteed.gpu: "),
        ("groups: {v: {guaranteed: {gpu: 9}, limit: {gpu: 8}}}", "guarantees 9, more than the limit of 8 gpu"),
        ("groups: {v: {limit: {gpus: 8}}}", "is not a resource"),
        ("notice_seconds: .nan", "notice_seconds: "),
    ],
)
def test_wrong_quotas_are_named_with_their_line(tmp_path, quotas, says):
    file = tmp_path / "quotas.yaml"
    file.write_text(quotas)
    status, _, err = call(WORKLOAD, "--quotas", file)
    assert status == 2
    assert f"{file}:1:" in err
    assert says in err


def test_guarantees_beyond_the_cluster_are_a_note(tmp_path):
    file = tmp_path / "quotas.yaml"
    file.write_text("groups: {vision: {guaranteed: {gpu: 12}}, speech: {guaranteed: {gpu: 8}}}")
    status, _, err = call(WORKLOAD, "--quotas", file)
    assert status == 0
    assert err.startswith("note: Groups are guaranteed 20 GPU together, and the machines have 16 GPU: vision 12 GPU")


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("", ": line 1: the workload is empty; the first line says what there is"),
        ('{"t": 0}\n', ": line 1: there is no cluster in"),
    ],
)
def test_a_fault_in_a_workload_is_one_sentence_with_file_and_line(tmp_path, lines, says):
    file = tmp_path / "w.jsonl"
    file.write_text(lines)
    status, out, err = call(file, "--quotas", QUOTAS)
    assert (status, out) == (2, "")
    assert err.startswith(f"{file}{says}")
    assert len(err.splitlines()) == 1


def test_files_that_are_not_there_are_named(tmp_path):
    status, _, err = call(tmp_path / "gone", "--quotas", QUOTAS)
    assert (status, err) == (2, f"{tmp_path / 'gone'} cannot be read: No such file or directory. Name a file that can.")
    assert call(WORKLOAD, "--config", tmp_path)[0] == 2
    assert call(WORKLOAD, "--quotas", tmp_path / "gone")[0] == 2
    file = tmp_path / "w.jsonl"
    file.write_text((EXAMPLE / "workload.jsonl").read_text())
    assert "is the workload itself" in call(file, "--quotas", QUOTAS, "--out", file)[2]


def test_profiles_say_how_long_a_notice_is_and_who_is_never_asked(tmp_path):
    first = (EXAMPLE / "workload.jsonl").read_text().splitlines()[0]
    one = {"user": "ann", "gpu_type": "a100", "gpus": 8, "cpu": 8, "memory_gib": 8, "interactive": False}
    guest = one | {"t": 0, "id": "guest", "group": "guests", "duration_s": 864000, "profile": "kept"}
    owner = one | {"t": 60, "id": "owner", "group": "vision", "duration_s": 60}
    file = tmp_path / "w.jsonl"
    file.write_text("\n".join([first, json.dumps(guest), json.dumps(owner)]))
    (tmp_path / "quotas.yaml").write_text("groups: {vision: {guaranteed: {gpu: 8}}}")
    assert json.loads(call(file, "--config", tmp_path, "--json")[1])["reclaims"] == 1
    (tmp_path / "profiles.yaml").write_text(
        "profiles: {kept: {display_name: Kept, images: [base], cpu: {min: 1, max: 8}, "
        "memory_gib: {min: 1, max: 64}, reclaimable: false}}"
    )
    status, out, _ = call(file, "--config", tmp_path, "--json", "--check")
    assert (status, json.loads(out)["reclaims"]) == (0, 0)
