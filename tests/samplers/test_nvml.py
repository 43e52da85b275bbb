"""How busy GPUs are, through NVIDIA's own Python package, over a small library that stands for NVIDIA's."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mlabhub.core.readings import Reading, Watched
from mlabhub.samplers import NvmlSampler
from mlabhub.samplers.nvml import Watcher
from tests.inventory.standin import GIB, Standin, slice_of, whole

ID = "c0ffee" + "0" * 58
OTHER_ID = "decade" + "0" * 58
ALICE = Watched("alice/", "L1", ("GPU-00000000",), container=ID)
BOTH = replace(ALICE, gpus=("GPU-00000000", "GPU-00000001"))
BOB = Watched("bob/", "L2", ("GPU-00000001",), container=OTHER_ID)
OURS, STRANGER = 4711, 4712


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A folder as /proc is, with a process of alice's and a stranger's."""
    folder = tmp_path / "proc"
    process(folder, OURS, f"0::/machine.slice/libpod-{ID}.scope/container")
    process(folder, STRANGER)
    return folder


def process(proc: Path, pid: int, cgroup: str = "0::/user.slice", environment: str = "", namespace: str = "") -> None:
    """Write what /proc says of a process."""
    (proc / str(pid) / "ns").mkdir(parents=True)
    (proc / str(pid) / "cgroup").write_text(cgroup)
    (proc / str(pid) / "environ").write_text(environment)
    if namespace:
        (proc / str(pid) / "ns" / "pid").symlink_to(f"pid:[{namespace}]")


@pytest.fixture
def sampler(machine: Standin, proc: Path) -> Iterator[NvmlSampler]:
    """The sampler of a machine to be written, which does not wait long."""
    sampler = NvmlSampler(Watcher(patience_s=10), proc)
    yield sampler
    sampler.close()


def read(sampler: NvmlSampler, watched: Watched = ALICE, now: float = 100.0) -> Reading:
    """Read one server."""
    [reading] = sampler.sample([watched], now)
    return reading


def words(reading: Reading) -> str:
    """Return the reasons of a reading."""
    return " ".join(map(str, reading.reasons))


def test_what_two_gpus_do(sampler: NvmlSampler, machine: Standin) -> None:
    machine.write(
        whole(0, utilisation="0 0", memory=f"{80 * GIB} {3 * GIB}"),
        whole(1, utilisation="37 5", compute=f"{OURS}:{GIB}"),
    )
    assert read(sampler, BOTH) == Reading("alice/", "L1", 100.0, (0.0, 37.0), (3.0 * GIB, 0.0), span_s=1.0)


def test_in_the_order_of_those_held_and_each_servers_own(sampler: NvmlSampler, machine: Standin) -> None:
    machine.write(whole(0, utilisation="1 0"), whole(1, utilisation="2 0"))
    alice, bob = sampler.sample([replace(BOTH, gpus=BOTH.gpus[::-1]), BOB], 100.0)
    assert (alice.gpu_util, bob.gpu_util) == ((2.0, 1.0), (2.0,))


def test_a_server_without_a_gpu_has_no_reading(sampler: NvmlSampler, machine: Standin) -> None:
    machine.write(whole(0))
    assert sampler.sample([replace(ALICE, gpus=())], 100.0) == ()
    assert sampler._watcher._program is None


def test_the_program_lives_on_while_gpus_are_held(sampler: NvmlSampler, machine: Standin) -> None:
    machine.write(whole(0, utilisation="5 0"))
    read(sampler)
    program = sampler._watcher._program
    machine.write(whole(0, utilisation="6 0"))
    assert read(sampler, now=105.0).gpu_util == (6.0,)
    assert sampler._watcher._program is program
    sampler.sample([], 110.0)
    assert program is not None
    assert program.poll() is not None


def test_a_reading_speaks_for_the_time_since_the_one_before(sampler: NvmlSampler, machine: Standin) -> None:
    machine.write(whole(0, utilisation="5 0"))
    spans = [read(sampler, now=now).span_s for now in (100.0, 105.0, 140.0, 139.0, 144.0)]
    assert spans == [1.0, 5.0, 1.0, 1.0, 5.0]  # a hole, and a clock that stepped back


def test_the_drivers_buffer_tells_of_the_time_in_between(sampler: NvmlSampler, machine: Standin) -> None:
    machine.write(whole(0, utilisation="0 0", buffered="10:97 20:0"))
    assert read(sampler).gpu_util == (0.0,)  # what is buffered was perhaps before this server
    machine.write(whole(0, utilisation="0 0", buffered="10:97 20:0 30:64 40:0"))
    assert read(sampler, now=105.0).gpu_util == (64.0,)
    assert read(sampler, now=110.0).gpu_util == (0.0,)


UNKNOWN: list[tuple[dict[str, object], float | None, float | None, str]] = [
    ({"utilisation": None, "mig": "1 1"}, None, 0.0, "Nobody measures how busy GPU-00000000 is"),
    ({"utilisation": "0 0", "mig": "1 1"}, None, 0.0, "Nobody measures how busy GPU-00000000 is"),
    ({"utilisation": None}, None, 0.0, "Nobody measures how busy GPU-00000000 is"),
    ({"utilisation.error": 15}, None, 0.0, "GPU-00000000 could not be read (GPU is lost)."),
    ({"handle.error": 15}, None, None, "GPU-00000000 could not be read (GPU is lost)."),
    ({"uuid": "GPU-another"}, None, None, "GPU-00000000 could not be read (Not Found)."),
    ({"utilisation": "255 0"}, None, 0.0, "GPU-00000000 could not be read (no number)."),
    ({"utilisation": "0 0", "memory.error": 999}, 0.0, None, "GPU-00000000 could not be read (Unknown Error)."),
    ({"utilisation": "3 0", "compute": None, "graphics": None}, 3.0, 0.0, ""),
    ({"utilisation": "3 0", "buffered.error": 999, "process_use.error": 999}, 3.0, 0.0, ""),
]
UNKNOWN_IDS = [
    "divided",
    "divided, and the driver says zero",
    "not supported",
    "use fails",
    "lost",
    "gone",
    "more than all",
    "memory fails",
    "no list of processes",
    "no buffers",
]


@pytest.mark.parametrize(("told", "util", "memory", "said"), UNKNOWN, ids=UNKNOWN_IDS)
def test_what_is_not_read_is_unknown(
    sampler: NvmlSampler, machine: Standin, told: dict[str, object], util: float | None, memory: float | None, said: str
) -> None:
    machine.write(whole(0, **told), whole(1, utilisation="9 0"))
    reading = read(sampler, BOTH)
    assert (reading.gpu_util, reading.gpu_mem_used) == ((util, 9.0), (memory, 0.0))
    assert words(reading) == "" if not said else said in words(reading)


def test_a_slice(sampler: NvmlSampler, machine: Standin) -> None:
    machine.write(whole(0, mig="1 1", utilisation="50 0"), slice_of(0, 2, memory=f"{10 * GIB} {4 * GIB}"))
    reading = read(sampler, replace(ALICE, gpus=("MIG-0-2",)))
    assert (reading.gpu_util, reading.gpu_mem_used) == ((None,), (4.0 * GIB,))
    assert "Nobody measures how busy MIG-0-2 is" in words(reading)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"init.error": 9}, "driver is not loaded"),
        ({"init.error": 12}, "driver is not loaded"),
        ({"init.error": 18}, "was updated, and the one from before is still loaded"),
        ({"init.error": 999}, "driver does not work (Unknown Error)"),
        ({"gpu0.utilisation.crash": 1}, "library crashed when it was asked (status -11)"),
    ],
    ids=["unloaded", "no library", "updated", "broken", "crashes"],
)
@pytest.mark.parametrize("before", [False, True], ids=["first", "later"])
def test_a_driver_that_fails(
    sampler: NvmlSampler, machine: Standin, fault: dict[str, object], said: str, before: bool
) -> None:
    machine.write(whole(0, utilisation="0 0"))
    if before:
        assert read(sampler).gpu_util == (0.0,)
        if "init.error" in fault:  # a library that runs notices nothing; all GPUs fail, and it is started anew
            machine.write(whole(0, **{"handle.error": 999}))
            assert read(sampler).gpu_util == (None,)
    machine.write(whole(0), fault)
    reading = read(sampler)
    assert (reading.gpu_util, reading.gpu_mem_used) == ((None,), (None,))
    assert said in words(reading)
    machine.write(whole(0, utilisation="8 0"))
    assert read(sampler).gpu_util == (8.0,)


def test_a_program_that_somebody_ended_is_started_again(sampler: NvmlSampler, machine: Standin) -> None:
    machine.write(whole(0, utilisation="8 0"))
    read(sampler)
    assert sampler._watcher._program is not None
    sampler._watcher._program.kill()
    sampler._watcher._program.wait(10)
    assert read(sampler).gpu_util == (8.0,)


def test_a_driver_that_hangs_is_not_waited_for(sampler: NvmlSampler, machine: Standin) -> None:
    machine.write(whole(0, utilisation="8 0"))
    read(sampler)
    machine.write(whole(0, **{"utilisation.hang": 1}))
    sampler._watcher.patience_s = 0.5
    began = time.monotonic()
    reading = read(sampler)
    assert reading.gpu_util == (None,)
    assert "does not answer within 0.5 s" in words(reading)
    stuck = sampler._watcher._stuck
    assert stuck is not None
    stuck.wait(10)  # this one can be ended; one in the kernel's hands could not
    assert time.monotonic() - began < 10
    machine.write(whole(0, utilisation="8 0"))
    sampler._watcher.patience_s = 10
    assert read(sampler).gpu_util == (8.0,)


def test_while_one_question_hangs_in_the_driver_no_other_is_asked(sampler: NvmlSampler, machine: Standin) -> None:
    machine.write(whole(0, utilisation="8 0"))
    with subprocess.Popen(["sleep", "60"]) as unkillable:
        sampler._watcher._stuck = unkillable
        assert "does not answer" in words(read(sampler))
        assert sampler._watcher._program is None
        unkillable.kill()
    assert read(sampler).gpu_util == (8.0,)


BOTH_USE = {"compute": f"{OURS}:{GIB} {STRANGER}:{2 * GIB}", "utilisation": "90 0", "memory": f"{80 * GIB} {9 * GIB}"}
SHARED: list[tuple[dict[str, object], float | None, float | None]] = [
    ({"process_use": f"1:{STRANGER}:90:0:0 2:{STRANGER}:90:0:0"}, 0.0, 1.0),
    ({"process_use": f"1:{OURS}:9:0:0 2:{OURS}:30:0:0 3:{OURS}:7:0:0 4:{STRANGER}:60:0:0"}, 30.0, 1.0),
    ({"process_use": f"1:{OURS}:0:0:0 2:{OURS}:0:0:44"}, 44.0, 1.0),
    ({"process_use": f"1:{OURS}:9:0:0 2:{OURS}:300:0:0"}, None, 1.0),
    ({}, None, 1.0),
    ({"process_use.error": 6}, None, 1.0),
    ({"utilisation": "0 0"}, 0.0, 1.0),
    ({"compute": f"{OURS}:18446744073709551615 {STRANGER}:5", "utilisation": "0 0"}, 0.0, None),
    ({"graphics": f"{OURS}:{GIB}", "utilisation": "0 0"}, 0.0, 1.0),
]
SHARED_IDS = [
    "only the stranger works",
    "both work",
    "decoding is work",
    "nonsense",
    "not supported",
    "nothing found",
    "nobody works",
    "memory not told",
    "draws, too",
]


@pytest.mark.parametrize(("told", "util", "gib"), SHARED, ids=SHARED_IDS)
def test_where_something_else_uses_it_too_the_own_part_counts(
    sampler: NvmlSampler, machine: Standin, told: dict[str, object], util: float | None, gib: float | None
) -> None:
    machine.write(whole(0, **{**BOTH_USE, "process_use": f"1:{OURS}:1:0:0"}))
    read(sampler)
    machine.write(whole(0, **{**BOTH_USE, **told}))
    reading = read(sampler, now=105.0)
    assert (reading.gpu_util, reading.gpu_mem_used) == ((util,), (None if gib is None else gib * GIB,))
    assert ("Something else uses GPU-00000000, too" in words(reading)) == (None in (util, gib))


LEARN = "77"


@pytest.mark.parametrize(
    ("cgroup", "environment", "namespace", "mine"),
    [
        (f"0::/system.slice/docker-{ID}.scope", "", "", True),
        (f"12:pids:/libpod_parent/libpod-{ID}\n0::/\n", "", "", True),
        (f"0::/docker/{'a' * 64}/libpod-{ID}/x", "", "", True),
        (f"0::/system.slice/docker-{OTHER_ID}.scope/{ID}", "", "", False),
        ("0::/", "", LEARN, True),
        ("0::/", "", "78", False),
        ("0::/", "MLABHUB_LAUNCH_ID=L1", "", False),
        ("0::/", "MLABHUB_LAUNCH_ID=P1", "", False),
    ],
    ids=[
        "Docker",
        "older groups",
        "the hub is in a container itself",
        "a group with another's name",
        "a group of its own, but the namespace",
        "another namespace",
        "says so",
        "a plain server's",
    ],
)
def test_whose_process_it_is(
    sampler: NvmlSampler,
    machine: Standin,
    proc: Path,
    cgroup: str,
    environment: str,
    namespace: str,
    mine: bool,
) -> None:
    process(proc, 50, cgroup, environment, namespace)
    process(proc, 51, namespace=LEARN)
    machine.write(whole(0, compute=f"50:{GIB}", utilisation="90 0"), whole(1, utilisation="0 0"))
    plain = Watched("carol/", "P1", ("GPU-00000001",))
    alice, _, _ = sampler.sample([replace(ALICE, pid=51), BOB, plain], 100.0)
    assert alice.gpu_util == ((90.0 if mine else None),)


def test_a_container_in_the_machines_own_namespace_owns_nothing_by_it(
    sampler: NvmlSampler, machine: Standin, proc: Path
) -> None:
    (proc / "self" / "ns").mkdir(parents=True)
    (proc / "self" / "ns" / "pid").symlink_to("pid:[1]")
    process(proc, 50, namespace="1")
    process(proc, 51, namespace="1")
    machine.write(whole(0, compute=f"50:{GIB}", utilisation="90 0"))
    assert read(sampler, replace(ALICE, pid=51)).gpu_util == (None,)


def test_a_plain_servers_process_by_its_environment(machine: Standin) -> None:
    me = Watched("alice/", "L1", ("GPU-00000000",))
    with subprocess.Popen(["sleep", "60"], env={**os.environ, "MLABHUB_LAUNCH_ID": "L1"}) as sleeper:
        machine.write(whole(0, compute=f"{sleeper.pid}:{GIB} 999999999:0", utilisation="90 0"))
        sampler = NvmlSampler(Watcher(patience_s=10))
        assert read(sampler, me).gpu_util == (90.0,)
        assert read(sampler, replace(me, launch_id="L2")).gpu_util == (None,)
        sampler.close()
        sleeper.kill()
