"""Builds with the real engine: nothing is done twice, an interrupted one goes on, a failing one says why."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlabhub.engine import Engine
from mlabhub.images import build_images, list_images
from mlabhub.images.build import make_build_command
from mlabhub.images.check import assess, assess_config
from mlabhub.images.parents import choose_release, make_command, make_name, make_parent
from mlabhub.images.program import FirstWords, ImageError, Program, explain, run_reporting
from mlabhub.images.recipes import Recipe
from mlabhub.site import apt

MLABHUB = str(Path(sys.executable).parent / "mlabhub")
PARENT = "docker.io/library/debian:12"


def nothing(_: str) -> None:
    """Report to nobody."""


@pytest.fixture
def small(recipes_folder: Path, program: Program, base: str) -> Iterator[Path]:
    """A folder with one small image, `mlabhub-test-small`, removed from the engine afterwards."""
    (recipes_folder / "images.yaml").write_text(f"mlabhub-test-small: {{parent: '{base}'}}\n")
    (recipes_folder / "mlabhub-test-small").mkdir()
    containerfile(recipes_folder, "RUN echo one >/one\n")
    before = working_containers(program)
    yield recipes_folder
    # Podman leaves the container of a step that was interrupted.
    for left in working_containers(program) - before:
        program.ask("rm", "--force", left)
    program.ask("rmi", "--force", "localhost/mlabhub/mlabhub-test-small:latest")


def working_containers(program: Program) -> set[str]:
    return set((program.ask("ps", "--all", "--external", "--quiet") or "").split())


def containerfile(folder: Path, text: str) -> None:
    (folder / "mlabhub-test-small" / "Containerfile").write_text(f"ARG PARENT\nFROM ${{PARENT}}\n{text}")


@pytest.mark.engine
def test_what_is_up_to_date_is_not_built(small: Path, program: Program):
    first = build_images([], no_cache=False, report=nothing, folder=small)[0]
    assert first.seconds > 0
    assert first.up_to_date
    lines: list[str] = []
    second = build_images([], no_cache=False, report=lines.append, folder=small)[0]
    assert (second.id, second.seconds, lines) == (first.id, 0.0, [])
    containerfile(small, "RUN echo two >/two\n")
    assert not list_images(small)[0].up_to_date
    third = build_images([], no_cache=False, report=nothing, folder=small)[0]
    assert third.id != first.id
    assert third.up_to_date
    assert program.inspect(first.id or "") is None


@pytest.mark.engine
def test_an_interrupted_build_goes_on_from_its_last_layer(small: Path, program: Program):
    once = uuid.uuid4().hex
    containerfile(small, f"RUN echo {once} >/one\nRUN sleep 30\n")
    # What a shell starts in the background ignores SIGINT; a person at a terminal does not.
    script = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    script += "from pathlib import Path; from mlabhub.images import build_images; "
    script += "build_images([], no_cache=False, report=print, folder=Path(sys.argv[1]))"
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", script, str(small)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    with process, process.stdout as lines:
        for line in lines:
            if line.startswith("STEP") and "sleep" in line:
                break
        process.send_signal(signal.SIGINT)
        process.wait(20)
    containerfile(small, f"RUN echo {once} >/one\nRUN true\n")
    said: list[str] = []
    build_images([], no_cache=False, report=said.append, folder=small)
    step = next(line for line in said if once in line)
    in_podmans_words = "Using cache" in said[said.index(step) + 1]
    in_dockers_words = f"{step.split()[0]} CACHED" in said
    assert in_podmans_words or in_dockers_words


@pytest.mark.engine
def test_a_failing_step_is_said_in_a_sentence(small: Path):
    containerfile(small, "RUN echo 'error: the flux is unbalanced' >&2; exit 3\n")
    with pytest.raises(ImageError, match="the flux is unbalanced") as caught:
        build_images([], no_cache=False, report=nothing, folder=small)
    assert "\n" not in str(caught.value)


@pytest.mark.engine
def test_the_command_line_is_quick_the_second_time(base: str):
    started = time.monotonic()
    answer = subprocess.run([MLABHUB, "image", "build", "base", "--json"], capture_output=True, text=True, check=True)
    assert time.monotonic() - started < 3
    built = json.loads(answer.stdout)
    assert [(image["name"], image["up_to_date"], image["seconds"]) for image in built] == [("base", True, 0.0)]


@pytest.mark.engine
def test_the_command_line_lists_and_checks(base: str):
    answer = subprocess.run([MLABHUB, "image", "list", "--json"], capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout)[0]["reference"] == base
    answer = subprocess.run([MLABHUB, "image", "list"], capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines()[1].startswith("base        up to date")
    answer = subprocess.run([MLABHUB, "image", "check", base], capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "ok       jupyterhub-singleuser 6.1.1" in answer.stdout
    assert "None" not in answer.stdout


@pytest.mark.engine
@pytest.mark.parametrize(
    "arguments", [("check", "no-such-image"), ("check", "--", "--help"), ("build", "no-such-image")]
)
def test_an_unknown_image_is_one_line(arguments: tuple[str, ...]):
    answer = subprocess.run([MLABHUB, "image", *arguments], capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert answer.stdout == ""
    assert len(answer.stderr.splitlines()) == 1


def test_what_an_outside_image_lacks_is_added():
    found = assess({"libc": "glibc 2.31", "bash": "/bin/bash", "singleuser": "5.3.0"}, hub="6.1.1", outside=True)
    added = {finding.name for finding in found if finding.added}
    assert added == {"/usr/bin/python3", "setpriv", "jupyterhub-singleuser", "JupyterLab", "notebooks", "VS Code"}
    assert [finding.name for finding in found if finding.needed and not finding.ok] == []
    assert {finding.name for finding in found if not finding.ok} == {
        "sudo",
        "sshd",
        "locale en_US.UTF-8",
        "group mlab",
    }


@pytest.mark.parametrize(
    ("image", "faults", "added"),
    [
        ({"Architecture": "s390x"}, ["processor"], ["entry", "user"]),
        ({"Config": {"User": "jovyan", "Entrypoint": ["tini"]}}, [], ["entry", "user"]),
        ({"Config": {"Volumes": {"/mnt": {}}}}, [], ["entry", "user", "volumes"]),
        ({"Config": {"Labels": {"mlabhub.instance": "x", "a": "b"}}}, [], ["entry", "user", "labels"]),
    ],
    ids=["other processors", "user and entry", "volumes", "labels like ours"],
)
def test_what_the_engine_says_about_an_outside_image(image: dict[str, object], faults: list[str], added: list[str]):
    found = list(assess_config(image, outside=True))
    assert [finding.name for finding in found if not finding.ok] == faults
    assert [finding.name for finding in found if finding.added] == added


def test_an_older_hub_in_an_image_is_a_fault():
    facts = {"python": "3.11", "setpriv": "yes", "bash": "yes", "singleuser": "5.3.0", "lab": "4.6.0", "kernel": "7"}
    faults = [finding for finding in assess(facts, hub="6.1.1", outside=False) if finding.needed and not finding.ok]
    assert [(fault.name, fault.found) for fault in faults] == [("jupyterhub-singleuser", "5.3.0")]
    assert "jupyterhub==6.1.1" in faults[0].fix


@pytest.mark.parametrize(
    ("kind", "only"),
    [("podman", {"--layers", "--force-rm", "--pull=never", "--http-proxy=false"}), ("docker", {"--progress=plain"})],
)
def test_each_engine_is_told_in_its_own_words(kind: str, only: set[str], tmp_path: Path):
    program = Program(Engine(kind, "unix:///x", False, "1"), f"/usr/bin/{kind}", {})  # type: ignore[arg-type]
    command = make_build_command(program, Recipe("base", PARENT, tmp_path / "base"), "debian:12", tmp_path, "v1")
    assert command[0] == "build"
    assert command[-1] == str(tmp_path / "context")
    common = {
        "--network=host",
        f"--secret=id=mlabhub-site,src={tmp_path / 'site.tar.gz'}",
        "--build-arg=PARENT=debian:12",
        "--label=mlabhub.version=v1",
        "--tag=localhost/mlabhub/base:latest",
        f"--file={tmp_path / 'context' / 'Containerfile'}",
    }
    assert set(command[1:-1]) == common | only


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["write /var/lib/x: no space left on device"], "The disk is full"),
        (["dial tcp: lookup registry.lab: no such host"], "The network does not answer"),
        (["E: Unable to connect to mirror:http:"], "The network does not answer"),
        (
            ["ERROR: BuildKit is enabled but the buildx component is missing or broken."],
            "apt-get install docker-buildx",
        ),
        (["all is well", "E: Unable to locate package x"], "podman failed: E: Unable to locate package x."),
        ([], "podman failed: it said nothing."),
    ],
)
def test_failures_are_explained(lines: list[str], said: str):
    assert said in explain(["/usr/bin/podman", "build"], lines)


def test_a_program_that_nobody_answers_is_ended_soon():
    started = time.monotonic()
    with pytest.raises(ImageError):
        run_reporting(["sh", "-c", "echo trying; sleep 60"], first_words=FirstWords("^answered", seconds=0.5))
    assert time.monotonic() - started < 5


def test_a_program_that_is_answered_may_take_its_time():
    said = run_reporting(["sh", "-c", "echo answered; sleep 1; echo done"], first_words=FirstWords("^answered", 0.5))
    assert said == "answered\ndone"


def test_nothing_is_left_running_when_interrupted(tmp_path: Path):
    def stop(_: str) -> None:
        raise KeyboardInterrupt

    pid_file = tmp_path / "pid"
    with pytest.raises(KeyboardInterrupt):
        run_reporting(["sh", "-c", f"echo $$ >{pid_file}; echo started; sleep 60"], report=stop)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


BOOKWORM = apt.AptSite("debian", "bookworm", (apt.Source("http://m/debian", "bookworm-updates", ("main",)),), ())
NOBLE = apt.AptSite("ubuntu", "noble", (apt.Source("http://m/ubuntu", "noble", ("main",)),), ())


@pytest.mark.parametrize(
    ("reference", "site", "release", "suite"),
    [
        pytest.param(PARENT, BOOKWORM, "bookworm", "bookworm-updates", id="same"),
        pytest.param("docker.io/library/debian:13", BOOKWORM, "trixie", "trixie-updates", id="another-debian"),
        pytest.param(PARENT, NOBLE, "noble", "noble", id="ubuntu-makes-its-own"),
    ],
)
def test_the_release_to_make(reference: str, site: apt.AptSite, release: str, suite: str):
    made, sources = choose_release(reference, site)
    assert (made, sources[0].suite) == (release, suite)


def test_the_made_parent_keeps_no_setting_of_this_machine(tmp_path: Path):
    command = make_command("bookworm", BOOKWORM.sources, ('Acquire::Retries "3";',), tmp_path, tmp_path / "root.tar")
    assert command[-3:] == ["bookworm", str(tmp_path / "root.tar"), str(tmp_path / "sources.list")]
    assert (tmp_path / "sources.list").read_text() == "deb http://m/debian bookworm-updates main\n"
    hooks = " ".join(argument for argument in command if argument.startswith("--customize-hook"))
    for file in ("99mmdebstrap", "etc/hostname", "etc/resolv.conf", "etc/apt/sources.list"):
        assert f'"$1"/{file}' in hooks or f"apt.conf.d/{file}" in hooks


def test_what_cannot_be_made_is_said(program: Program):
    with pytest.raises(ImageError, match="only Debian and Ubuntu can be made"):
        make_parent(program, "registry.lab/cuda:13", nothing)


@pytest.mark.engine
@pytest.mark.long
def test_a_parent_is_made_from_packages(program: Program):
    reference = "docker.io/library/debian:13"
    try:
        make_parent(program, reference, nothing)
        look = ". /etc/os-release; echo release=$VERSION_CODENAME; ls /etc/apt/apt.conf.d /usr/share/doc/apt;"
        look += " cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -v '^#'"
        said = program.run("run", "--rm", "--network=none", make_name(reference), "sh", "-c", look)
        assert "release=trixie\n" in said
        assert re.search(r"^(Suites:|deb) .*\btrixie\b", said, re.MULTILINE)
        assert "99mmdebstrap" not in said
        assert "examples" not in said
    finally:
        program.ask("rmi", "--force", make_name(reference))
