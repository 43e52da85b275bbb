"""Real GPUs through NVIDIA's own Python package, over a small library that stands for NVIDIA's."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mlabhub.core.capacity import Capacity, Gpu, GpuProcess
from mlabhub.engine import driver
from mlabhub.inventory.machine import Inventory
from mlabhub.inventory.nvml import NvmlReader
from mlabhub.inventory.tenants import Tenants
from tests.engine.podman import make_settings
from tests.inventory.standin import GIB, Standin, slice_of, whole

NOBODY = Tenants()
CONTAINER = "c0ffee" + "0" * 58


@pytest.fixture
def inventory(tmp_path: Path, machine: Standin) -> Inventory:
    """The inventory of the machine, which does not wait long."""
    return Inventory(make_settings(tmp_path, "0123abcd"), NvmlReader(patience_s=10))


def read(inventory: Inventory, tenants: Tenants = NOBODY) -> Capacity:
    """Look and read."""
    return inventory.read(inventory.look(), tenants)


def gpus(inventory: Inventory, tenants: Tenants = NOBODY) -> tuple[Gpu, ...]:
    """Return the GPUs of a machine whose driver works."""
    [node] = read(inventory, tenants).nodes
    assert node.gpu_fault is None
    return node.gpus


def read_once(library: Path, folders: pytest.TempPathFactory, rows: list[dict[str, object]]) -> tuple[Gpu, ...]:
    """Return the GPUs of a machine that has one for each row."""
    folder = folders.mktemp("rows")
    standin = Standin(library, folder / "machine.txt")
    with pytest.MonkeyPatch.context() as monkeypatch:
        standin.use(monkeypatch)
        standin.write(*(whole(index, **told) for index, told in enumerate(rows)))
        return gpus(Inventory(make_settings(folder, "0123abcd")))


def words(gpu: Gpu) -> str:
    """Return what is known against a GPU."""
    return " ".join(map(str, gpu.health))


def process(folder: Path, pid: int, cgroup: str = "0::/user.slice", environment: str = "") -> None:
    """Write what /proc says of a process."""
    (folder / str(pid)).mkdir(parents=True)
    (folder / str(pid) / "cgroup").write_text(cgroup)
    (folder / str(pid) / "environ").write_text(environment)


def test_a_machine_with_two_gpus(inventory: Inventory, machine: Standin) -> None:
    machine.write(whole(0), whole(1, "Tesla T4", 15))
    a100 = Gpu(
        uuid="GPU-00000000",
        type="a100",
        node=inventory.node,
        name="NVIDIA A100-SXM4-80GB",
        memory_gib=80.0,
        used_gib=0.0,
        cdi="nvidia.com/gpu=GPU-00000000",
        index=0,
    )
    t4 = replace(
        a100, uuid="GPU-00000001", type="t4", name="Tesla T4", memory_gib=15.0, cdi="nvidia.com/gpu=GPU-00000001"
    )
    assert gpus(inventory) == (a100, replace(t4, index=1))
    facts = inventory.look()
    assert facts is not None
    assert (facts.driver, facts.cuda) == ("570.86.15", "12.8")


def test_how_busy_they_are(inventory: Inventory, machine: Standin) -> None:
    half = f"{80 * GIB} {40 * GIB}"
    machine.write(
        whole(0, utilisation="37 12", memory=half),
        whole(1, utilisation="0 0"),
        whole(2, memory=None),
        whole(3, mig="1 1", utilisation="99 0"),
        slice_of(3, 0, utilisation="5 5"),
    )
    found = [(gpu.utilisation, gpu.used_gib) for gpu in gpus(inventory)]
    assert found == [(37, 40.0), (0, 0.0), (None, None), (None, 0.0), (None, 0.0)]
    machine.write({"init.error": 999})
    [node] = read(inventory).nodes
    assert {(gpu.utilisation, gpu.used_gib) for gpu in node.gpus} == {(None, None)}


def test_sixteen_gpus_of_mixed_types(inventory: Inventory, machine: Standin) -> None:
    names = ["NVIDIA A100-SXM4-80GB", "NVIDIA H100 80GB HBM3", "NVIDIA GeForce RTX 3090", "Tesla T4"]
    machine.write(*(whole(index, names[index % 4]) for index in range(16)))
    found = read(inventory)
    assert found.gpu_types == ("a100", "h100", "rtx-3090", "t4")
    assert {gpu_type: len(listed) for gpu_type, listed in found.nodes[0].usable.items()} == dict.fromkeys(
        found.gpu_types, 4
    )


def test_no_driver_is_no_gpus(inventory: Inventory, machine: Standin) -> None:
    assert gpus(inventory) == ()  # the file is not there: the stand-in has no driver
    machine.write({"init.error": driver.LIBRARY_NOT_FOUND})
    assert gpus(inventory) == ()


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ({"init.error": 999}, "driver does not work (Unknown Error)"),
        ({"count.error": 999}, "driver does not work (Unknown Error)"),
        ({"init.error": 18}, "was updated, and the one from before is still loaded. Restart the machine"),
        ({"gpu0.memory.crash": 1}, "library crashed when it was asked (status -11)"),
    ],
    ids=["broken", "count fails", "driver updated", "library crashes"],
)
@pytest.mark.parametrize("before", [False, True], ids=["first", "later"])
def test_a_driver_that_fails_is_a_sentence(
    inventory: Inventory, machine: Standin, fault: dict[str, object], sentence: str, before: bool
) -> None:
    if before:
        machine.write(whole(0))
        assert gpus(inventory)[0].usable
    machine.write(whole(0), fault)
    [node] = read(inventory).nodes
    assert sentence in str(node.gpu_fault)
    assert [(gpu.uuid, gpu.busy) for gpu in node.gpus] == ([("GPU-00000000", None)] if before else [])
    assert not node.usable
    machine.write(whole(0))
    assert gpus(inventory)[0].usable


def test_a_driver_that_was_unloaded(inventory: Inventory, machine: Standin) -> None:
    machine.write(whole(0))
    gpus(inventory)
    machine.write({"init.error": driver.DRIVER_NOT_LOADED})
    [node] = read(inventory).nodes
    assert "modprobe nvidia" in str(node.gpu_fault)
    assert [gpu.usable for gpu in node.gpus] == [False]


def test_a_driver_that_hangs_is_not_waited_for(inventory: Inventory, machine: Standin) -> None:
    machine.write(whole(0), {"gpu0.name.hang": 1})
    inventory._reader = NvmlReader(patience_s=0.5)
    began = time.monotonic()
    [node] = read(inventory).nodes
    assert "does not answer within 0.5 s" in str(node.gpu_fault)
    stuck = inventory._reader._stuck
    assert stuck is not None
    stuck.wait(10)  # this one can be ended; one in the kernel's hands could not
    assert time.monotonic() - began < 10
    machine.write(whole(0))
    inventory._reader.patience_s = 10
    assert gpus(inventory)[0].usable


def test_while_one_question_hangs_in_the_driver_no_other_is_asked(machine: Standin) -> None:
    machine.write(whole(0))
    with subprocess.Popen(["sleep", "60"], text=True) as unkillable:
        reader = NvmlReader(_stuck=unkillable)
        began = time.monotonic()
        assert "does not answer" in str(reader.read().fault)
        assert time.monotonic() - began < 5
        unkillable.kill()
    assert len(reader.read().gpus) == 1


HEALTH: list[tuple[dict[str, object], bool, str]] = [
    ({}, True, ""),
    ({"ecc_volatile": 3}, False, "could not correct 3 memory errors since the driver was loaded"),
    ({"ecc_aggregate": 2}, True, "could not correct 2 memory errors in its lifetime"),
    ({"remapped": "4 1 0 1"}, False, "row remapping failed"),
    ({"remapped": "4 1 1 0"}, False, "wait to be replaced by spare ones"),
    ({"remapped": "4 1 0 0"}, True, ""),
    ({"retired_pending": 1}, False, "wait to be retired"),
    ({"recovery": 1}, False, "needs a reset"),
    ({"recovery": 2}, False, "asks for a restart of the machine"),
    ({"recovery": 77}, False, "NVML action 77"),
    ({"memory.error": 15}, False, "fallen off the bus"),
    ({"compute.error": 15}, False, "fallen off the bus"),
    ({"memory.error": 16, "memory": None}, False, "needs a reset"),
    ({"ecc_volatile.error": 999}, False, "cannot say: its memory errors (NVML error 999)"),
    ({"mig": "0 1"}, True, "MIG mode changes at the next reset"),
    (dict.fromkeys(("mig", "ecc_volatile", "ecc_aggregate", "remapped", "retired_pending", "recovery")), True, ""),
    ({"ecc_volatile.error": 4}, True, ""),
]
HEALTH_IDS = [
    "well",
    "uncorrected errors",
    "old errors",
    "no spare rows",
    "rows pending",
    "rows replaced",
    "pages pending",
    "reset asked for",
    "restart asked for",
    "an action of later drivers",
    "lost",
    "lost at the last question",
    "reset required",
    "errors cannot be read",
    "MIG pending",
    "a consumer's board",
    "not permitted",
]


@pytest.mark.parametrize("row", range(len(HEALTH)), ids=HEALTH_IDS)
def test_health(row: int, health_machine: tuple[Gpu, ...]) -> None:
    _, healthy, said = HEALTH[row]
    gpu = health_machine[row]
    assert (gpu.healthy, gpu.usable) == (healthy, healthy)
    assert said in words(gpu)
    assert (words(gpu) == "") == (said == "")


@pytest.fixture(scope="module")
def health_machine(nvml_library: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Gpu, ...]:
    """One machine with a GPU for each row."""
    return read_once(nvml_library, tmp_path_factory, [told for told, _, _ in HEALTH])


def test_one_that_is_lost_keeps_its_name_if_it_was_seen_before(inventory: Inventory, machine: Standin) -> None:
    lost: dict[str, object] = {"gpu1.handle.error": 15}
    machine.write(whole(0), whole(1, "Tesla T4"), lost)
    assert [(gpu.uuid, gpu.healthy) for gpu in gpus(inventory)] == [("GPU-00000000", True), ("GPU-unknown-1", False)]
    machine.write(whole(0), whole(1, "Tesla T4"))
    assert [gpu.usable for gpu in gpus(inventory)] == [True, True]
    machine.write(whole(0), whole(1, "Tesla T4"), lost)
    _, second = gpus(inventory)
    assert (second.uuid, second.type, second.healthy) == ("GPU-00000001", "t4", False)
    assert "fallen off the bus" in words(second)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"handle.error": 8}, "The driver cannot say: anything about it (NVML error 8)."),
        ({"uuid": None}, "does not tell its UUID"),
    ],
    ids=["no handle", "no UUID"],
)
def test_one_without_a_name_is_listed_and_not_handed_out(
    inventory: Inventory, machine: Standin, told: dict[str, object], said: str
) -> None:
    machine.write(whole(0, **told), whole(1))
    nameless, other = gpus(inventory)
    assert (nameless.healthy, nameless.usable, other.usable) == (False, False, True)
    assert said in words(nameless)


def test_one_that_was_taken_out_stays_listed(inventory: Inventory, machine: Standin) -> None:
    machine.write(whole(0), whole(1), whole(2))
    gpus(inventory)
    machine.write(whole(0), {"count": 1})
    assert [(gpu.uuid, gpu.usable) for gpu in gpus(inventory)] == [
        ("GPU-00000000", True),
        ("GPU-00000001", False),
        ("GPU-00000002", False),
    ]
    machine.write(whole(0), whole(1), whole(2), whole(3))
    assert [gpu.usable for gpu in gpus(inventory)] == [True] * 4


def test_slices_are_handed_out_in_place_of_their_gpu(inventory: Inventory, machine: Standin) -> None:
    machine.write(whole(0, mig="1 1"), slice_of(0, 0), slice_of(0, 4, "3g.40gb", memory=f"{40 * GIB} 0"), whole(1))
    found = gpus(inventory)
    assert [(gpu.uuid, gpu.type, gpu.usable) for gpu in found] == [
        ("GPU-00000000", "a100", False),
        ("MIG-0-0", "a100-1g.10gb", True),
        ("MIG-0-4", "a100-3g.40gb", True),
        ("GPU-00000001", "a100", True),
    ]
    assert found[0].divided
    assert (found[2].mig, found[2].parent, found[2].memory_gib, found[2].cdi) == (
        "3g.40gb",
        "GPU-00000000",
        40.0,
        "nvidia.com/gpu=MIG-0-4",
    )


@pytest.mark.parametrize(
    ("told", "slice_type"),
    [
        ({"name": "NVIDIA H100 80GB HBM3 MIG 1c.3g.40gb"}, "a100-1c.3g.40gb"),
        ({"name": "NVIDIA A100 MIG 1g.10gb+me"}, "a100-1g.10gb-me"),
        ({"name": None}, "a100-1g.10gb"),
        ({"name": None, "attributes": "3 1 40192"}, "a100-1c.3g.40gb"),
        ({"name": None, "attributes": None}, "a100-slice"),
    ],
    ids=["compute slice", "media extensions", "by its attributes", "compute slice by attributes", "nothing known"],
)
def test_types_of_slices(inventory: Inventory, machine: Standin, told: dict[str, object], slice_type: str) -> None:
    machine.write(whole(0, mig="1 1"), slice_of(0, 0, **told))
    assert gpus(inventory)[1].type == slice_type


def test_a_slice_is_no_healthier_than_its_gpu(inventory: Inventory, machine: Standin) -> None:
    machine.write(whole(0, mig="1 1", ecc_volatile=1), slice_of(0, 0))
    assert [gpu.healthy for gpu in gpus(inventory)] == [False, False]


def test_mig_switched_while_things_are_held(inventory: Inventory, machine: Standin) -> None:
    holders = Tenants(containers={CONTAINER: frozenset({"MIG-0-0"})})
    machine.write(whole(0, mig="1 1"), slice_of(0, 0), slice_of(0, 1))
    assert len(gpus(inventory, holders)) == 3
    machine.write(whole(0))
    found = gpus(inventory, holders)
    assert [(gpu.uuid, gpu.usable) for gpu in found] == [("GPU-00000000", True), ("MIG-0-0", False)]
    assert "no longer lists it" in words(found[1])
    assert [gpu.uuid for gpu in gpus(inventory)] == ["GPU-00000000"]


FOREIGN = 4711


USED: list[tuple[dict[str, object], bool | None, list[bool]]] = [
    ({"compute": f"{FOREIGN}:{GIB}"}, True, [True]),
    ({"compute": f"{FOREIGN}:0"}, True, [True]),
    ({"compute": f"{FOREIGN}:18446744073709551615"}, True, [True]),
    ({"graphics": f"{FOREIGN}:{GIB // 2}"}, False, [False]),
    ({"graphics": f"{FOREIGN}:{GIB * 9}"}, True, [True]),
    ({"graphics": f"{FOREIGN}:{GIB * 5} 4712:{GIB * 5}"}, True, [True, True]),
    ({"graphics": f"{FOREIGN}:18446744073709551615", "memory": f"{80 * GIB} {GIB}"}, False, [False]),
    ({"graphics": f"{FOREIGN}:18446744073709551615", "memory": None}, None, [True]),
    ({"graphics": f"{FOREIGN}:{GIB // 2}", "compute": f"{FOREIGN}:{GIB // 2}"}, True, [True]),
    ({"graphics": None}, False, []),
    ({"compute": None}, False, []),
    ({"compute": None, "memory": f"{80 * GIB} {40 * GIB}"}, True, []),
    ({"compute": None, "memory": None}, None, []),
    ({"compute.error": 999}, None, []),
    ({"graphics.error": 999}, None, []),
    ({"compute.error": 4}, False, []),
]
USED_IDS = [
    "computing",
    "computing, without memory",
    "computing, memory not told",
    "a display",
    "drawing, with much memory",
    "two drawing, together too much",
    "drawing, memory not told, little in all",
    "drawing, nothing told",
    "drawing and computing",
    "graphics not supported",
    "no list, memory empty",
    "no list, memory full",
    "no list, no memory",
    "list fails",
    "graphics fails",
    "list not permitted",
]


@pytest.mark.parametrize("row", range(len(USED)), ids=USED_IDS)
def test_who_uses_it(row: int, used_machine: tuple[Gpu, ...]) -> None:
    _, busy, blocks = USED[row]
    gpu = used_machine[row]
    assert gpu.busy is busy
    assert [one.blocks for one in gpu.processes] == blocks
    assert gpu.usable == (busy is False)


@pytest.fixture(scope="module")
def used_machine(nvml_library: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Gpu, ...]:
    """One machine with a GPU for each row."""
    return read_once(nvml_library, tmp_path_factory, [told for told, _, _ in USED])


def test_an_older_driver_tells_the_same(inventory: Inventory, machine: Standin) -> None:
    machine.write(whole(0, compute=f"{FOREIGN}:{GIB}"), whole(1), {"old": 1})
    assert [(gpu.busy, gpu.memory_gib) for gpu in gpus(inventory)] == [(True, 80.0), (False, 80.0)]


def test_a_process_is_named(inventory: Inventory, machine: Standin) -> None:
    machine.write(whole(0, compute=f"{os.getpid()}:{3 * GIB} 999999999:0"))
    [gpu] = gpus(inventory)
    mine, gone = gpu.processes
    assert (mine.pid, mine.memory_gib, mine.name != "") == (os.getpid(), 3.0, True)
    assert gone == GpuProcess(999999999, "", 0.0)


@pytest.mark.parametrize(
    ("cgroup", "gpus_held", "busy"),
    [
        (f"0::/system.slice/docker-{CONTAINER}.scope", ["GPU-00000000"], False),
        (f"0::/machine.slice/libpod-{CONTAINER}.scope/container/kernel", ["GPU-00000000"], False),
        (f"12:pids:/libpod_parent/libpod-{CONTAINER}\n0::/\n", ["GPU-00000000"], False),
        (f"0::/system.slice/docker-{CONTAINER}.scope", ["GPU-00000001"], True),
        (f"0::/system.slice/docker-{'d' * 64}.scope", ["GPU-00000000"], True),
        ("0::/user.slice/user-1000.slice", ["GPU-00000000"], True),
    ],
    ids=["Docker", "Podman", "older groups", "a GPU of somebody else", "another container", "no container"],
)
def test_processes_of_containers_are_ours(
    inventory: Inventory, machine: Standin, tmp_path: Path, cgroup: str, gpus_held: list[str], busy: bool
) -> None:
    process(tmp_path / "proc", FOREIGN, cgroup)
    machine.write(whole(0, compute=f"{FOREIGN}:{GIB}"))
    ours = Tenants(containers={CONTAINER: frozenset(gpus_held)}, proc=tmp_path / "proc")
    [gpu] = gpus(inventory, ours)
    assert (gpu.busy, bool(gpu.processes)) == (busy, busy)


@pytest.mark.parametrize(
    ("environment", "busy", "launch"),
    [
        ("MLABHUB_INSTANCE=0123abcd\0MLABHUB_LAUNCH_ID=L1\0", False, None),
        ("MLABHUB_INSTANCE=0123abcd\0MLABHUB_LAUNCH_ID=L2\0", True, "L2"),
        ("MLABHUB_INSTANCE=another\0MLABHUB_LAUNCH_ID=L1\0", True, "L1"),
        ("HOME=/root\0", True, ""),
        ("\xff\0=\0MLABHUB_LAUNCH_ID", True, ""),
    ],
    ids=["ours", "of a server that stopped", "another installation's", "nobody's", "rubbish"],
)
def test_processes_of_plain_servers_are_ours(
    inventory: Inventory, machine: Standin, tmp_path: Path, environment: str, busy: bool, launch: str | None
) -> None:
    process(tmp_path / "proc", FOREIGN, environment=environment)
    machine.write(whole(0, compute=f"{FOREIGN}:{GIB}"))
    ours = Tenants(launches={"L1": frozenset({"GPU-00000000"})}, instance="0123abcd", proc=tmp_path / "proc")
    [gpu] = gpus(inventory, ours)
    assert gpu.busy is busy
    assert [one.launch_id for one in gpu.processes] == ([] if launch is None else [launch])


def test_while_the_engine_is_silent_a_used_gpu_is_not_known_to_be_free(inventory: Inventory, machine: Standin) -> None:
    machine.write(whole(0, compute=f"{FOREIGN}:{GIB}"), whole(1), whole(2, compute=None))
    assert [gpu.busy for gpu in gpus(inventory, Tenants(known=False))] == [None, False, None]


def test_without_a_list_memory_is_put_down_to_the_holder(inventory: Inventory, machine: Standin) -> None:
    machine.write(whole(0, compute=None, memory=f"{80 * GIB} {70 * GIB}"))
    holder = Tenants(containers={CONTAINER: frozenset({"GPU-00000000"})})
    assert gpus(inventory, holder)[0].busy is False
    assert gpus(inventory)[0].busy is True


def test_processes_on_slices(inventory: Inventory, machine: Standin) -> None:
    machine.write(
        whole(0, mig="1 1", compute=f"{FOREIGN}:{GIB}"), slice_of(0, 0), slice_of(0, 1, compute=f"{FOREIGN}:{GIB}")
    )
    assert [gpu.busy for gpu in gpus(inventory)] == [False, False, True]


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process of a server that is a plain process."""
    environment = {"MLABHUB_INSTANCE": "0123abcd", "MLABHUB_LAUNCH_ID": "L1", "MLABHUB_GPUS": "GPU-00000000"}
    with subprocess.Popen(["sleep", "60"], env={**os.environ, **environment}) as process:
        yield process
        process.kill()


async def test_the_process_backend_knows_its_own(
    machine: Standin, tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    from mlabhub.inventory.process import ProcessBackend

    pid = sleeper.pid
    machine.write(whole(0, compute=f"{pid}:{GIB}"), whole(1, compute=f"{pid}:{GIB}"))
    capacity = await ProcessBackend(make_settings(tmp_path, "0123abcd")).capacity()
    assert [gpu.busy for gpu in capacity.nodes[0].gpus] == [False, True]
    assert capacity.nodes[0].gpus[1].processes[0].launch_id == "L1"
