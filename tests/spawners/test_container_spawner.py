"""The container spawner in a real hub on a real Podman."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from mlabhub.engine import ContainerInfo, EngineApi, labels, make_api
from mlabhub.engine.cdi import write_simulated_spec
from mlabhub.engine.podman_service import podman_service_command
from mlabhub.inventory.container import ContainerBackend
from mlabhub.settings import Settings
from tests.engine.podman import Playground, wait_for_socket
from tests.spawners.hub import Hub, make_hub_settings, wait_for
from tests.spawners.service import Book, serve

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="module")]
SPAWNER = "mlabhub.spawners.container.MLabContainerSpawner"
COMMAND = 'c.MLabContainerSpawner.cmd = ["python3", "-u", "/opt/jupyter.py"]\n'


@dataclass
class Site:
    """Hub, service and engine."""

    hub: Hub
    book: Book
    api: EngineApi
    ground: Playground
    backend: ContainerBackend

    async def containers(self) -> tuple[ContainerInfo, ...]:
        """Return what there is on the engine."""
        return await self.api.containers({labels.INSTANCE: self.ground.instance})

    async def nothing_is_left(self) -> bool:
        """Return whether containers, networks and reservations are gone."""
        held = set(self.book.held) - set(self.book.released)
        networks = await self.api.networks({labels.INSTANCE: self.ground.instance})
        return not await self.containers() and not networks and not held


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(ground: Playground, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    settings = make_hub_settings(ground.settings, tmp_path_factory.mktemp("hub"), "container")
    book = Book(settings, ground.image)
    service = serve(book)
    made = Site(Hub(settings, SPAWNER, COMMAND), book, make_api(ground.engine), ground, ContainerBackend(settings))
    yield made
    await made.hub.close()
    service.stop()
    await made.api.close()
    await made.backend.close()


@pytest_asyncio.fixture(loop_scope="module")
async def site(running: Site) -> AsyncIterator[Site]:
    """The site as if it were new."""
    running.book.renew()
    await running.hub.renew()
    yield running
    await running.hub.stop_all()
    for server in await running.backend.servers():
        await running.backend.remove(server)
    for user in ("alice", "bob"):
        for name in ("", "one", "two"):
            await running.backend.reset(user, name)


async def test_start_and_stop_and_nothing_is_left(site: Site) -> None:
    launch_id = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
    answer = await site.hub.spawn({"profile": "small", "launch_id": launch_id})
    assert answer.status_code == 201, answer.text
    [container] = await site.containers()
    assert container.running
    assert container.labels[labels.LAUNCH_ID] == launch_id
    assert site.book.held == [launch_id]
    assert site.book.asked[0]["groups"] == ["vision"]
    assert await site.hub.stored_options() == {"profile": "small"}
    assert (await site.hub.stop()).status_code == 204
    await wait_for(site.nothing_is_left, 10, "nothing left")
    assert site.book.released == [launch_id]

    assert (await site.hub.spawn()).status_code == 201
    assert site.book.asked[1]["user_options"] == {"profile": "small"}
    assert site.book.asked[1]["launch_id"] not in {"", launch_id}


async def test_options_reach_the_service_and_nothing_else(site: Site) -> None:
    reaching = {
        "image": "docker.io/evil",
        "cmd": ["sh", "-c", "touch /evil"],
        "environment": {"EVIL": "1"},
        "volumes": {"/": "/host"},
        "extra_host_config": {"privileged": True},
        "mem_limit": "1T",
    }
    assert (await site.hub.spawn(reaching)).status_code == 201
    [container] = await site.containers()
    found = await site.api.container(container.id)
    assert found is not None
    assert not any(entry.startswith("EVIL") for entry in found.environment)
    inspected = site.ground.podman("inspect", container.id)
    assert "evil" not in inspected
    assert '"Privileged": false' in inspected
    assert site.book.asked[0]["user_options"] == reaching


@pytest.mark.parametrize(
    "options",
    ["text", [1, 2], 7, True, {"cpu": float("nan")}, {"cpu": float("inf")}],
    ids=["text", "list", "number", "boolean", "NaN", "infinite"],
)
async def test_what_cannot_be_options_is_refused_in_words(site: Site, options: Any) -> None:
    for _ in range(4):  # One more than the hub's limit of failures.
        answer = await site.hub.http.post("users/alice/server", content=json.dumps({"user_options": options}))
        assert 400 <= answer.status_code < 500, answer.text
        assert "user_options" in answer.text
    assert "Traceback" not in site.hub.log
    assert site.book.asked == []
    assert (await site.hub.spawn({"profile": "small"})).status_code == 201


async def test_a_refusal_is_shown_counts_as_no_failure_and_is_repeated(site: Site) -> None:
    site.book.refusal = 'vision holds 6 of 6 A100: alice 2, <b>"bob"</b> 4'
    for options in ({"profile": "gpu"}, None, None, None):
        answer = await site.hub.spawn(options)
        assert answer.status_code == 409
        assert answer.json()["message"] == site.book.refusal
    assert [asked["user_options"] for asked in site.book.asked] == [{"profile": "gpu"}] * 4
    site.book.status = 409
    assert (await site.hub.spawn()).json()["message"] == site.book.refusal
    assert "Traceback" not in site.hub.log
    assert site.hub.process is not None
    assert site.hub.process.poll() is None
    assert await site.containers() == ()


async def test_nothing_starts_without_the_service(site: Site) -> None:
    site.book.settings.spawner_secret_file.unlink()
    answer = await site.hub.spawn({"profile": "small"})
    assert answer.status_code == 503
    assert "does not answer" in answer.json()["message"]
    assert await site.containers() == ()
    assert "Traceback" not in site.hub.log


async def test_a_server_that_dies_at_once_tells_why(site: Site) -> None:
    site.book.mode = "die"
    for _ in range(3):
        answer = await site.hub.spawn({"profile": "small"})
        assert answer.status_code == 409, answer.text
        assert "No module named <jupyterlab>" in answer.json()["message"]
    await wait_for(lambda: len(site.book.released) == 3, 10, "released")
    assert await site.nothing_is_left()
    assert "Traceback" not in site.hub.log


async def test_an_image_that_is_not_there_is_a_sentence(site: Site) -> None:
    site.book.image_reference = "localhost/mlabhub-test/nowhere:latest"
    answer = await site.hub.spawn({"profile": "small"})
    assert answer.status_code == 409
    assert "(localhost/mlabhub-test/nowhere:latest) is not on this machine" in answer.json()["message"]
    await wait_for(lambda: site.book.released, 10, "released")


async def test_a_server_never_starts_without_its_gpu(site: Site) -> None:
    write_simulated_spec(site.ground.instance, ["GPU-sim-a100-0"])
    site.book.gpus = ("GPU-sim-a100-0", "GPU-sim-a100-1")
    answer = await site.hub.spawn({"profile": "gpu"})
    assert answer.status_code in {409, 503}
    assert await site.containers() == ()
    site.book.gpus = ("GPU-sim-a100-0",)
    assert (await site.hub.spawn({"profile": "gpu"})).status_code == 201


async def test_a_killed_hub_finds_its_servers_again(site: Site) -> None:
    await site.hub.spawn({"profile": "small"})
    site.hub.kill()
    [container] = await site.containers()
    assert container.running
    await site.hub.start()
    server = await wait_for(site.hub.server, 20, "the server")
    assert server["ready"]
    assert server["state"]["mlabhub"]["launch_id"] == site.book.held[0]
    assert (await site.hub.stop()).status_code == 204
    await wait_for(site.nothing_is_left, 10, "nothing left")


async def test_a_hub_killed_in_the_middle_of_a_start_leaves_nothing_for_ever(site: Site) -> None:
    site.book.mode = "slow"
    spawning = asyncio.ensure_future(site.hub.spawn({"profile": "small"}))
    await wait_for(site.containers, 20, "a container")
    site.hub.kill()
    await asyncio.gather(spawning, return_exceptions=True)
    [old] = await site.containers()
    site.book.mode = "install"
    await site.hub.start()
    assert (await site.hub.spawn({"profile": "small"})).status_code == 201
    [new] = await site.containers()
    assert new.id != old.id
    assert new.labels[labels.LAUNCH_ID] != old.labels[labels.LAUNCH_ID]


async def test_the_reconciler_can_remove_what_a_killed_hub_left(site: Site) -> None:
    site.book.mode = "install"
    await site.hub.spawn({"profile": "small"})
    site.hub.kill()
    [server] = await site.backend.servers()
    assert (server.user, server.server_name, server.state) == ("alice", "", "running")
    assert server.launch_id == site.book.held[0]
    await asyncio.gather(site.backend.remove(server), site.backend.remove(server))
    assert await site.backend.servers() == ()
    [saved] = await site.backend.saved("alice")
    assert (saved.image, saved.newer_image) == ("tiny", False)


async def test_what_was_installed_is_there_again_with_another_size(site: Site) -> None:
    site.book.mode = "install"
    await site.hub.spawn({"profile": "small"})
    await site.hub.stop()
    site.book.mode, site.book.memory_gib = "", 0.5
    assert (await site.hub.spawn({"profile": "small"})).status_code == 201
    [container] = await site.containers()
    assert site.ground.run_in(container.id, "cat /opt/venv/package") == "installed"
    assert site.ground.podman("inspect", "--format", "{{.HostConfig.Memory}}", container.id) == str(2**29)


async def test_a_server_that_ends_by_itself_is_given_back(site: Site) -> None:
    site.book.mode = "install"
    await site.hub.spawn({"profile": "small"})
    [container] = await site.containers()
    await site.api.stop(container.id, 1)
    await wait_for(site.nothing_is_left, 20, "nothing left")
    assert await site.hub.server() is None
    assert len(await site.backend.saved("alice")) == 1
    assert [reason.split(" (")[0] for reason in site.book.reasons] == ["It was ended from outside of the hub"]


async def test_a_pending_start_can_be_stopped(site: Site) -> None:
    site.book.mode = "slow"
    spawning = asyncio.ensure_future(site.hub.spawn({"profile": "small"}))
    await wait_for(site.containers, 20, "a container")
    await site.hub.stop()
    await asyncio.gather(spawning, return_exceptions=True)
    await wait_for(lambda: site.book.released, 30, "released")
    await wait_for(site.nothing_is_left, 10, "nothing left")


async def test_with_sudo_the_folders_are_behind_a_map_and_the_layer_stays_known_for_it(site: Site) -> None:
    site.book.sudo, site.book.mode = True, "install"
    assert (await site.hub.spawn({"profile": "root"})).status_code == 201, site.hub.log[-2000:]
    [container] = await site.containers()
    assert "idmapped" in site.ground.run_in(container.id, "cat /proc/self/mounts")
    await site.hub.stop()
    site.book.sudo = False
    assert (await site.hub.spawn({"profile": "small"})).status_code == 201
    [container] = await site.containers()
    assert "idmapped" in site.ground.run_in(container.id, "cat /proc/self/mounts")
    assert container.labels[labels.ROOT] == "1"
    assert not list((site.book.settings.run_dir / "mounts").glob("*/*"))


async def test_folders_are_made_with_the_right_owner_and_what_is_away_is_told(site: Site) -> None:
    site.book.shares = {"gone": {"display_name": "Gone", "source": "/nowhere/gone", "target": "/mnt/data/gone"}}
    await site.hub.spawn({"profile": "small"})
    assert [(note["text"], note["values"]["target"]) for note in site.book.notes] == [
        ("Without {target}: {reason}", "/mnt/data/gone")
    ]
    home, share = site.book.settings.nas_dir / "user" / "alice", site.book.settings.nas_dir / "share" / "vision"
    status = [(path.stat().st_uid, path.stat().st_gid, path.stat().st_mode & 0o7777) for path in (home, share)]
    assert status == [(200001, 200001, 0o700), (0, 200100, 0o2770)]


async def test_a_start_says_what_it_does(site: Site) -> None:
    site.book.mode = "slow"
    spawning = asyncio.ensure_future(site.hub.spawn({"profile": "small"}))
    await wait_for(site.containers, 20, "a container")
    said = ""
    async with site.hub.http.stream("GET", "users/alice/server/progress") as events:
        async for line in events.aiter_lines():
            said += line
            if "Waiting for it to answer" in said:
                break
    assert "Admitted" in said
    assert "Starting the server" in said
    await site.hub.stop()
    await asyncio.gather(spawning, return_exceptions=True)


def start_engine(settings: Settings) -> subprocess.Popen[bytes]:
    """Start a service of Podman that a test may end."""
    argv, more = podman_service_command(settings)
    return subprocess.Popen(argv, env={**os.environ, **more}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


async def test_an_engine_that_is_away_stops_no_server(site: Site) -> None:
    """The hub talks to a service of its own here, which can be ended."""
    other = site.book.settings.model_copy(update={"engine_url": f"unix://{site.book.settings.run_dir}/podman.sock"})
    other.save()
    site.hub.kill()
    engine = start_engine(other)
    try:
        wait_for_socket(other.run_dir / "podman.sock")
        await site.hub.start()
        assert (await site.hub.spawn({"profile": "small"})).status_code == 201
    finally:
        engine.send_signal(signal.SIGTERM)
        await asyncio.to_thread(engine.wait, 20)
    await asyncio.sleep(3)  # The hub looks every second.
    assert await site.hub.server() is not None
    answer = await site.hub.spawn({"profile": "small"}, user="bob")
    assert answer.status_code == 503
    assert "does not answer" in answer.json()["message"]
    await site.hub.stop()  # The hub forgets the server; the reservation and the container stay for the reconciler.
    assert site.book.held[0] not in site.book.released
    [container] = await site.containers()
    assert container.running
    site.hub.kill()  # The next one shall know another engine.


async def test_one_server_stops_while_the_next_starts(site: Site) -> None:
    """The first one takes the user's network along, perhaps after the second one found it."""
    for _ in range(3):
        await site.hub.spawn({"profile": "small"}, server="one")
        first, second = await asyncio.gather(
            site.hub.stop(server="one"), site.hub.spawn({"profile": "small"}, server="two")
        )
        assert (first.status_code, second.status_code) == (204, 201), second.text
        await site.hub.stop(server="two")
    await wait_for(site.nothing_is_left, 10, "nothing left")


async def test_eight_at_once(site: Site) -> None:
    each = [(user, name) for user in ("alice", "bob") for name in ("", "one", "two", "three")]
    answers = await asyncio.gather(*(site.hub.spawn({}, user=user, server=name) for user, name in each))
    assert [answer.status_code for answer in answers] == [201] * len(each), [answer.text for answer in answers]
    containers = await site.containers()
    assert {(one.labels[labels.USER], one.labels[labels.SERVER]) for one in containers if one.running} == set(each)
    assert len({network for one in containers for network in one.networks}) == 2
    await asyncio.gather(*(site.hub.stop(user=user, server=name) for user, name in each))
    await wait_for(site.nothing_is_left, 20, "nothing left")
