"""What was installed in a server is there again, whatever happened in between."""

from __future__ import annotations

import pytest

from mlabhub.engine import ContainerInfo, EngineApi, labels
from mlabhub.engine.saved import SavedLayers, make_changes, worth_keeping
from tests.engine.podman import Playground

CHANGED, ADDED, DELETED = 0, 1, 2


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        pytest.param([], False, id="nothing"),
        pytest.param([(CHANGED, "/etc"), (CHANGED, "/etc/passwd"), (ADDED, "/etc/group")], False, id="accounts"),
        pytest.param([(CHANGED, "/mnt"), (ADDED, "/mnt/user"), (ADDED, "/mnt/user/alice")], False, id="mounts"),
        pytest.param(
            [(ADDED, "/opt/venv/lib/__pycache__/x.pyc"), (CHANGED, "/opt/venv/lib")], True, id="a changed folder"
        ),
        pytest.param(
            [(ADDED, "/opt/x/__pycache__/x.pyc"), (CHANGED, "/opt/x/__pycache__")], False, id="compiled files"
        ),
        pytest.param([(CHANGED, "/opt"), (ADDED, "/opt/new")], True, id="a new file"),
        pytest.param([(CHANGED, "/usr"), (DELETED, "/usr/bin")], True, id="a deleted folder"),
        pytest.param([(ADDED, "/etc/passwd-")], True, id="a look-alike"),
        pytest.param([(ADDED, "/tmp/x"), (ADDED, "/run/x"), (ADDED, "/var/lib/mlabhub/entered")], False, id="passing"),
    ],
)
def test_what_is_worth_keeping(changes: list[tuple[int, str]], kept: bool) -> None:
    assert worth_keeping(changes) is kept


def test_one_launchs_environment_is_taken_out_and_the_images_put_back() -> None:
    container = ContainerInfo(
        id="1",
        name="c",
        state="exited",
        labels={},
        image_id="2",
        networks={},
        environment=(
            "PATH=/bin",
            "TOKEN=secret",
            "LANG=C",
            "KEPT=as it was",
            'QUOTE=a"b',
            "container=podman",
            "TERM=x",
        ),
    )
    image = ("LANG=en_US.UTF-8", "KEPT=as it was", "TERM=dumb$x", "WITHOUT")
    assert make_changes(container, image, {labels.LAYERS: "3"}) == [
        'ENV TOKEN=""',
        'ENV LANG="en_US.UTF-8"',
        'ENV QUOTE=""',
        'ENV TERM="dumb\\$x"',
        'LABEL mlabhub.layers="3"',
        'LABEL mlabhub.launch-id=""',
        'LABEL mlabhub.gpus=""',
        'LABEL mlabhub.kind=""',
    ]


class Server:
    """A server whose container is new at each start, as the spawner makes it."""

    def __init__(self, ground: Playground, api: EngineApi, saved: SavedLayers, name: str = "alice"):
        self.ground, self.api, self.saved, self.name = ground, api, saved, name

    async def run(self, script: str, **more: object) -> str:
        """Start from what was saved, run a script, return its output; the container stays, stopped."""
        found = await self.saved.find(self.name, "tiny")
        spec = self.ground.spec(self.name, script, **more)
        spec.labels[labels.LAYERS] = str(found.layers if found else 0)
        container = await self.api.create(
            self.ground.spec(
                self.name, script, image=found.reference if found else self.ground.image, labels=spec.labels, **more
            )
        )
        await self.api.start(container)
        await self._wait(container)
        return (await self.api.logs(container, 100)).strip()

    async def _wait(self, container: str) -> None:
        self.ground.podman("wait", container)

    async def keep(self) -> bool:
        """Carry over what the stopped container changed."""
        found = await self.api.container(labels.container_name(self.ground.instance, self.name))
        assert found is not None
        return await self.saved.carry_over(found, self.name)


@pytest.fixture
async def server(ground: Playground, api: EngineApi) -> Server:
    made = Server(ground, api, SavedLayers(api, ground.instance, most_layers=3))
    await made.saved.reset("alice", "")
    return made


@pytest.mark.engine
async def test_it_is_there_again_with_another_size(server: Server) -> None:
    await server.run("echo installed > /opt/venv/package; rm /etc/group.bak 2> /dev/null", memory_bytes=64 * 2**20)
    assert await server.keep()
    assert await server.run("cat /opt/venv/package", memory_bytes=256 * 2**20, cpu=1.0, pids=100) == "installed"
    assert not await server.keep()
    assert await server.run("cat /opt/venv/package; rm /opt/venv/package") == "installed"
    await server.keep()
    assert "No such file" in await server.run("cat /opt/venv/package")


@pytest.mark.engine
async def test_nothing_is_kept_of_a_start_that_changed_nothing(server: Server, ground: Playground) -> None:
    await server.run("echo root:x:0:0::/root:/bin/sh > /etc/passwd; touch /tmp/x /run/y")
    assert not await server.keep()
    assert await server.saved.of_user("alice") == ()
    assert await server.api.containers({labels.INSTANCE: ground.instance}) == ()


@pytest.mark.engine
async def test_twice_is_once(server: Server, ground: Playground) -> None:
    await server.run("echo x > /opt/venv/package")
    found = await server.api.container(labels.container_name(ground.instance, "alice"))
    assert found is not None
    await server.api.commit(
        found.id, labels.saved_repository(ground.instance, "alice"), "tiny", []
    )  # Then it was killed.
    assert await server.keep()
    assert await server.run("cat /opt/venv/package") == "x"
    assert ground.podman("images", "-q", "--filter", f"label=mlabhub.instance={ground.instance}").count("\n") == 0


@pytest.mark.engine
async def test_secrets_are_not_in_the_saved_image(server: Server, ground: Playground) -> None:
    await server.run("echo x > /opt/venv/package", environment={"JUPYTERHUB_API_TOKEN": "do-not-keep"})
    await server.keep()
    assert "do-not-keep" not in ground.podman(
        "image", "inspect", labels.saved_reference(ground.instance, "alice", "tiny")
    )
    assert "launch-alice" not in ground.podman(
        "image", "inspect", labels.saved_reference(ground.instance, "alice", "tiny")
    )


@pytest.mark.engine
@pytest.mark.parametrize("apart", [False, True], ids=["plain", "user namespace"])
async def test_layers_are_squashed_and_ids_stay(server: Server, apart: bool) -> None:
    layers = []
    for number in range(5):
        script = f"mkdir -p /opt/venv/{number}; touch /opt/venv/{number}/file; chmod 4755 /opt/venv/{number}/file"
        await server.run(f"{script}; chown 33:44 /opt/venv/{number}", user_namespace=apart)
        await server.keep()
        layers += [saved.layers for saved in await server.saved.of_user("alice")]
    assert layers == [1, 2, 3, 1, 2]
    listed = await server.run("stat -c '%u:%g %a' /opt/venv /opt/venv/? /opt/venv/?/file", user_namespace=apart)
    assert listed.split("\n") == ["0:0 777"] + ["33:44 755"] * 5 + ["0:0 4755"] * 5


@pytest.mark.engine
async def test_reset_forgets_one_server_and_no_other(server: Server, ground: Playground) -> None:
    other = Server(ground, server.api, server.saved, "bob")
    for one in (server, other):
        await one.run("echo x > /opt/venv/package")
        await one.keep()
    await server.saved.reset("alice", "")
    assert "No such file" in await server.run("cat /opt/venv/package")
    assert await other.run("cat /opt/venv/package") == "x"
    await other.keep()
    await server.saved.reset("bob", "")


@pytest.mark.engine
async def test_no_image_is_left_behind_by_replacing_it(server: Server, ground: Playground) -> None:
    for number in range(5):
        await server.run(f"echo x > /opt/venv/{number}")
        await server.keep()
    mine = f"label=mlabhub.instance={ground.instance}"
    assert ground.podman("images", "-q", "--filter", mine).count("\n") == 0
    await server.saved.reset("alice", "")
    assert ground.podman("images", "-aq", "--filter", mine) == ""
