"""Cores in use: by files as the kernel writes them, and by real processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mlabhub.core.readings import Reading, Watched
from mlabhub.samplers.cpu import LOOK_AGAIN_S, ControlGroups, CpuSampler, Processes, _Spent, spent_between

ID = "c0ffee" + "0" * 58
OTHER_ID = "decade" + "0" * 58
ALICE = Watched("alice/", "L1", container=ID)
BOB = Watched("bob/", "L2", container=OTHER_ID)


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock that stands still."""
    return Clock()


def unified(root: Path, place: str, seconds: float) -> Path:
    """Write a group of the newer layout."""
    (root / "cgroup.controllers").parent.mkdir(parents=True, exist_ok=True)
    (root / "cgroup.controllers").write_text("cpu memory\n")
    folder = root / place
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cpu.stat").write_text(f"usage_usec {int(seconds * 1e6)}\nuser_usec 5\nsystem_usec 5\n")
    return folder


def older(root: Path, place: str, seconds: float) -> Path:
    """Write a group of the older layout."""
    folder = root / "cpuacct" / place
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cpuacct.usage").write_text(f"{int(seconds * 1e9)}\n")
    return folder


Write = Callable[[Path, str, float], Path]


def read(sampler: CpuSampler, clock: Clock, passed: float = 5.0, watched: Watched = ALICE) -> Reading | None:
    """Let time pass, and read one server."""
    clock.now += passed
    found = sampler.sample([watched], clock.now)
    return found[0] if found else None


def words(reading: Reading | None) -> str:
    """Return why a reading tells nothing."""
    assert reading is not None
    assert reading.cpu_cores is None
    return " ".join(map(str, reading.reasons))


@pytest.mark.parametrize(
    ("write", "place"),
    [
        (unified, f"machine.slice/libpod-{ID}.scope"),
        (unified, f"system.slice/docker-{ID}.scope"),
        (unified, f"docker/{ID}"),
        (unified, f"user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope"),
        (older, f"libpod_parent/libpod-{ID}"),
        (older, f"docker/{'a' * 64}/docker/{ID}"),
    ],
    ids=["Podman", "Docker", "Docker without systemd", "rootless", "older, Podman", "older, the hub in a container"],
)
def test_cores_of_a_container(tmp_path: Path, clock: Clock, write: Write, place: str) -> None:
    write(tmp_path, f"machine.slice/libpod-conmon-{ID}.scope", 900.0)
    write(tmp_path, place, 100.0)
    write(tmp_path, f"{place}/container", 100.0)
    sampler = CpuSampler(ControlGroups(tmp_path, clock), clock=clock)
    assert read(sampler, clock) is None
    write(tmp_path, place, 110.0)
    assert read(sampler, clock) == Reading("alice/", "L1", 1010.0, cpu_cores=2.0, span_s=5.0)
    assert read(sampler, clock) == Reading("alice/", "L1", 1015.0, cpu_cores=0.0, span_s=5.0)


def test_a_count_that_goes_back(tmp_path: Path, clock: Clock) -> None:
    place = f"machine.slice/libpod-{ID}.scope"
    unified(tmp_path, place, 100.0)
    sampler = CpuSampler(ControlGroups(tmp_path, clock), clock=clock)
    read(sampler, clock)
    unified(tmp_path, place, 1.0)
    assert "went back" in words(read(sampler, clock))
    unified(tmp_path, place, 2.0)
    reading = read(sampler, clock)
    assert reading is not None
    assert reading.cpu_cores == pytest.approx(0.2)


@pytest.mark.parametrize("how", ["gone", "empty", "another text"])
def test_a_group_that_cannot_be_read(tmp_path: Path, clock: Clock, how: str) -> None:
    folder = unified(tmp_path, f"machine.slice/libpod-{ID}.scope", 100.0)
    sampler = CpuSampler(ControlGroups(tmp_path, clock), clock=clock)
    read(sampler, clock)
    if how == "gone":
        (folder / "cpu.stat").unlink()
        folder.rmdir()
    else:
        (folder / "cpu.stat").write_text("" if how == "empty" else "usage_usec many\n")
    assert "alice/'s container cannot be read" in words(read(sampler, clock))
    unified(tmp_path, f"machine.slice/libpod-{ID}.scope", 500.0)
    assert read(sampler, clock, LOOK_AGAIN_S) is None  # what was used meanwhile, nobody saw
    unified(tmp_path, f"machine.slice/libpod-{ID}.scope", 505.0)
    reading = read(sampler, clock)
    assert reading is not None
    assert reading.cpu_cores == pytest.approx(1.0)


def test_a_container_that_is_found_later(tmp_path: Path, clock: Clock) -> None:
    unified(tmp_path, "machine.slice", 0.0)
    sampler = CpuSampler(ControlGroups(tmp_path, clock), clock=clock)
    assert "cannot be read" in words(read(sampler, clock))
    unified(tmp_path, f"machine.slice/libpod-{ID}.scope", 100.0)
    assert "cannot be read" in words(read(sampler, clock))
    assert read(sampler, clock, LOOK_AGAIN_S) is None


def test_a_group_inside_of_a_container_is_nobody_elses(tmp_path: Path, clock: Clock) -> None:
    unified(tmp_path, f"machine.slice/libpod-{ID}.scope/libpod-{OTHER_ID}.scope", 7.0)
    unified(tmp_path, f"machine.slice/libpod-{ID}.scope", 100.0)
    groups = ControlGroups(tmp_path, clock)
    assert list(groups.used([ALICE, BOB])) == ["L2"]
    clock.now += LOOK_AGAIN_S
    unified(tmp_path, f"machine.slice/libpod-{ID}.scope", 101.0)
    found = groups.used([ALICE, BOB])
    assert found["L1"] == pytest.approx(1.0)
    assert "bob/'s container cannot be read" in str(found["L2"])


def test_another_launch_begins_anew(tmp_path: Path, clock: Clock) -> None:
    unified(tmp_path, f"docker/{ID}", 100.0)
    sampler = CpuSampler(ControlGroups(tmp_path, clock), clock=clock)
    read(sampler, clock)
    assert read(sampler, clock, watched=replace(ALICE, launch_id="L9")) is None


def test_a_clock_that_steps_changes_nothing(tmp_path: Path, clock: Clock) -> None:
    unified(tmp_path, f"docker/{ID}", 100.0)
    sampler = CpuSampler(ControlGroups(tmp_path, clock), clock=clock)
    sampler.sample([ALICE], 5000.0)
    unified(tmp_path, f"docker/{ID}", 105.0)
    clock.now += 5.0
    [reading] = sampler.sample([ALICE], 1400.0)
    assert (reading.t, reading.cpu_cores, reading.span_s) == (1400.0, pytest.approx(1.0), 5.0)


BUSY = "import time\nuntil = time.process_time() + {seconds}\nwhile time.process_time() < until: pass\n"
SHELL = f"""
import subprocess, sys, time
while sys.stdin.readline():
    subprocess.run([sys.executable, "-c", {BUSY.format(seconds=0.3)!r}], env={{}})
    print("done", flush=True)
"""


@pytest.fixture
def server() -> Iterator[subprocess.Popen[str]]:
    """A plain server: with each line it runs a program that computes for 0.3 s, and waits for its end."""
    environment = {**os.environ, "MLABHUB_LAUNCH_ID": "P1"}
    argv = [sys.executable, "-c", SHELL]
    with subprocess.Popen(argv, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


PLAIN = Watched("carol/", "P1")


def compute(server: subprocess.Popen[str]) -> None:
    """Have the server compute, and wait for it."""
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write("\n")
    server.stdin.flush()
    assert server.stdout.readline() == "done\n"


def test_a_plain_server_with_programs_that_came_and_went(server: subprocess.Popen[str]) -> None:
    compute(server)
    source = Processes()
    assert source.used([PLAIN]) == {}
    compute(server)
    used = source.used([PLAIN])["P1"]
    assert isinstance(used, float)
    assert 0.28 <= used < 2.0
    used = source.used([PLAIN])["P1"]
    assert isinstance(used, float)
    assert used < 0.1


def test_a_plain_servers_programs_count_while_they_run_and_without_their_environment(
    server: subprocess.Popen[str],
) -> None:
    compute(server)
    source = Processes()
    source.used([PLAIN])
    assert server.stdin is not None
    server.stdin.write("\n")
    server.stdin.flush()
    until, total = time.monotonic() + 30, 0.0
    while total < 0.25 and time.monotonic() < until:
        used = source.used([PLAIN])["P1"]
        total += used if isinstance(used, float) else 0.0
    assert total >= 0.25


def test_a_plain_server_that_is_gone() -> None:
    assert "No process of carol/" in str(Processes().used([PLAIN])["P1"])


def spent(own: float, ended: float = 0.0) -> _Spent:
    """Return what a process of carol's has spent."""
    return _Spent("P1", own, ended)


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        ({1: spent(2.0, 0.0), 2: spent(7.0)}, 3.0),
        ({1: spent(1.0, 6.5)}, 1.5),
        ({1: spent(1.0, 5.0), 3: spent(2.0)}, 2.0),
        ({1: spent(9.0, 0.0)}, "ended uncounted"),
        ({1: spent(9.0, 4.0)}, "ended uncounted"),
        ({3: spent(50.0)}, "ended uncounted"),
        ({1: spent(0.5), 2: spent(5.0)}, "went back"),
    ],
    ids=[
        "both run",
        "one ended",
        "one ended, one began",
        "ended unseen",
        "seen in part",
        "all new",
        "less than before",
    ],
)
def test_what_ended_must_have_been_counted(later: dict[int, _Spent], expected: float | str) -> None:
    earlier = {(1, 0.0): spent(1.0), (2, 0.0): spent(5.0)}
    found = spent_between("carol/", earlier, {(pid, 0.0): one for pid, one in later.items()})
    if isinstance(expected, str):
        assert expected in str(found)
    else:
        assert found == pytest.approx(expected)
