"""What a container may and may not, on a real Podman."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from mlabhub.engine import Bind, ContainerInfo, ContainerSpec, EngineApi, EngineError
from mlabhub.engine.cdi import cdi_name, write_simulated_spec
from mlabhub.engine.idmapped import IdMap
from mlabhub.engine.places import Opened, make_places, mounted
from mlabhub.engine.spec import FIRST_INNER_ID
from mlabhub.spawners.verify import GpuNotThere, check_gpus
from tests.engine.podman import Playground

pytestmark = pytest.mark.engine


async def started(api: EngineApi, spec: ContainerSpec) -> ContainerInfo:
    """Create and start a container and return how it looks."""
    container = await api.create(spec)
    await api.start(container)
    found = await api.container(container)
    assert found is not None
    return found


async def ended(api: EngineApi, container: str) -> ContainerInfo:
    """Return a container after it ended."""
    for _ in range(200):
        found = await api.container(container)
        assert found is not None
        if not found.running:
            return found
        await asyncio.sleep(0.05)
    raise AssertionError("it did not end")


async def test_limits_of_processes_files_and_shared_memory(ground: Playground, api: EngineApi) -> None:
    container = await started(api, ground.spec())
    assert ground.run_in(container.id, "ulimit -n").strip() == "1024"
    shm = ground.run_in(container.id, "stat -f -c %b*%S /dev/shm").strip().split("*")
    assert int(shm[0]) * int(shm[1]) == 16 * 2**20


async def test_more_processes_than_allowed_fail_and_the_container_lives(ground: Playground, api: EngineApi) -> None:
    bomb = "python3 -c 'import os,time\nfor i in range(200):\n  if os.fork() == 0: time.sleep(100)'"
    container = await started(api, ground.spec(script=f"{bomb} || sleep 100"))
    await asyncio.sleep(1)
    assert "Resource temporarily unavailable" in await api.logs(container.id)
    assert (await api.container(container.id)).running  # type: ignore[union-attr]


async def test_more_memory_than_allowed_ends_the_process(ground: Playground, api: EngineApi) -> None:
    script = "python3 -c 'x = bytearray(300 * 2**20)'; echo ended with $?; sleep 100"
    container = await started(api, ground.spec(script=script))
    await asyncio.sleep(2)
    assert "ended with 137" in await api.logs(container.id)


async def test_cpu_is_bounded(ground: Playground, api: EngineApi) -> None:
    burn = "from time import *\nend = time() + 2\nwhile time() < end: pass\nprint(process_time())"
    container = await started(api, ground.spec(script=f"python3 -c '{burn}'", cpu=0.25))
    await ended(api, container.id)
    assert float(await api.logs(container.id)) < 1.0


async def test_capabilities_are_the_named_ones_and_none_can_be_gained(ground: Playground, api: EngineApi) -> None:
    container = await started(api, ground.spec(script="cat /proc/self/status; sleep 100"))
    await asyncio.sleep(0.3)
    status = dict(line.split(":\t", 1) for line in (await api.logs(container.id, 100)).splitlines() if ":\t" in line)
    chown, kill, setgid, setuid, setpcap = 0, 5, 6, 7, 8
    assert int(status["CapBnd"], 16) == sum(1 << bit for bit in (chown, kill, setgid, setuid, setpcap))
    assert status["NoNewPrivs"] == "1"


async def test_no_device_can_be_made(ground: Playground, api: EngineApi) -> None:
    container = await started(api, ground.spec())
    make = "import os; os.mknod('/root/sda', 0o60600, os.makedev(8, 0))"
    assert "Operation not permitted" in ground.run_in(container.id, f'python3 -c "{make}"')


async def test_nothing_of_the_engine_is_inside(ground: Playground, api: EngineApi) -> None:
    container = await started(api, ground.spec())
    assert "podman.sock" not in ground.run_in(container.id, "ls /run /var/run /tmp 2>&1; cat /proc/self/mountinfo")
    assert str(ground.settings.state_dir) not in ground.run_in(container.id, "env")


async def test_files_on_the_nas_have_the_users_ids(ground: Playground, api: EngineApi, tmp_path: Path) -> None:
    (tmp_path / "before").write_text("x")
    bind = Bind(str(tmp_path), "/mnt/user/alice")
    os.chmod(tmp_path, 0o777)
    container = await started(api, ground.spec(binds=(bind,)))
    ground.run_in(container.id, "touch /mnt/user/alice/mine", user="200001:200002")
    status = (tmp_path / "mine").stat()
    assert (status.st_uid, status.st_gid) == (200001, 200002)
    assert (tmp_path / "before").stat().st_uid == 0
    assert "nosuid,nodev" in ground.run_in(container.id, "cat /proc/self/mountinfo")


async def test_a_read_only_folder_is_read_only(ground: Playground, api: EngineApi, tmp_path: Path) -> None:
    container = await started(api, ground.spec(binds=(Bind(str(tmp_path), "/mnt/data", read_only=True),)))
    assert "Read-only file system" in ground.run_in(container.id, "touch /mnt/data/x")


@pytest.mark.parametrize("apart", [True, False], ids=["user namespace", "own ids only"])
async def test_root_owns_nothing_on_the_nas(ground: Playground, api: EngineApi, tmp_path: Path, apart: bool) -> None:
    home, share = tmp_path / "alice", tmp_path / "vision"
    for folder, owner, mode in ((home, (200001, 200001), 0o700), (share, (0, 200100), 0o2770)):
        folder.mkdir()
        folder.chmod(mode)
        os.chown(folder, *owner)
        folder.chmod(mode)
    secret = share / "bobs"
    secret.write_text("bob's")
    os.chown(secret, 200002, 200100)
    secret.chmod(0o600)
    places = make_places(2, ground.settings.run_dir / "mounts" / "L1")
    binds = (Bind(places[0], "/mnt/user/alice"), Bind(places[1], "/mnt/share/vision"))
    every = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETGID", "SETUID")
    spec = ground.spec(binds=binds, capabilities=every, no_new_privileges=False, user_namespace=apart)
    container = await api.create(spec)
    opened = [os.open(folder, os.O_PATH) for folder in (home, share)]
    folders = [Opened(one, place, "a folder") for one, place in zip(opened, places, strict=True)]
    with mounted(folders, IdMap(200001, (200001, 200100), apart)):
        await api.start(container)
    for one in opened:
        os.close(one)
    assert not (ground.settings.run_dir / "mounts" / "L1").exists()

    ground.run_in(container, "touch /mnt/user/alice/own /mnt/share/vision/own", user="200001:200100")
    assert (home / "own").stat().st_uid == 200001
    assert (share / "own").exists() == apart
    if apart:
        assert ((share / "own").stat().st_uid, (share / "own").stat().st_gid) == (200001, 200100)

    said = ground.run_in(container, "touch /mnt/user/alice/roots /mnt/share/vision/roots; cat /mnt/share/vision/bobs")
    assert "bob's" not in said
    said += ground.run_in(container, "cat /mnt/share/vision/bobs; touch /mnt/share/vision/forged", user="200002:200100")
    assert "bob's" not in said
    ground.run_in(container, "chown 0 /mnt/user/alice/own; chmod 777 /mnt/share/vision/bobs; rm /mnt/share/vision/bobs")
    assert sorted(path.name for path in home.iterdir()) == ["own"]
    assert {path.name for path in share.iterdir()} == {"bobs", "own"} if apart else {"bobs"}
    assert (secret.stat().st_mode & 0o777, (home / "own").stat().st_uid) == (0o600, 200001)

    for inside in (200002, FIRST_INNER_ID + 200002):
        become = f"import os; os.setuid({inside}); print(open('/mnt/share/vision/bobs').read())"
        said = ground.run_in(container, f'python3 -c "{become}"')
        assert "Error" in said
    assert "uid=200001" in ground.run_in(container, "setpriv --reuid=200001 --clear-groups id")


@pytest.mark.parametrize("apart", [False, True], ids=["plain", "user namespace"])
async def test_a_gpu_is_there_and_its_neighbour_is_not(ground: Playground, api: EngineApi, apart: bool) -> None:
    uuids = [f"GPU-sim-a100-{number}" for number in range(3)]
    write_simulated_spec(ground.instance, uuids)
    spec = ground.spec(devices=(cdi_name(uuids[1], ground.instance),), user_namespace=apart)
    container = await started(api, spec)
    check_gpus(container.pid, uuids[1:2], ground.instance)
    with pytest.raises(GpuNotThere, match="GPU-sim-a100-0"):
        check_gpus(container.pid, uuids[:2], ground.instance)
    said = ground.run_in(container.id, "ls /dev; cat /proc/1/environ")
    assert "mlabgpu1" in said
    assert "MLABHUB_SIM_GPU_1=GPU-sim-a100-1" in said
    assert "mlabgpu0" not in said


async def test_a_gpu_that_is_not_there_fails_the_start(ground: Playground, api: EngineApi) -> None:
    write_simulated_spec(ground.instance, ["GPU-sim-a100-0"])
    with pytest.raises(EngineError):
        await started(api, ground.spec(devices=(cdi_name("GPU-sim-a100-7", ground.instance),)))


async def test_signals_reach_a_server_of_another_user_id(ground: Playground, api: EngineApi) -> None:
    script = "trap 'echo told; exit 0' TERM; while :; do sleep 0.1; done"
    command = (
        "setpriv",
        "--reuid=200001",
        "--regid=200001",
        "--clear-groups",
        "--bounding-set=-all",
        "sh",
        "-c",
        script,
    )
    container = await started(api, replace(ground.spec(), command=command))
    await asyncio.sleep(0.5)
    began = time.monotonic()
    await api.stop(container.id, 8)
    assert time.monotonic() - began < 4
    assert "told" in await api.logs(container.id)
