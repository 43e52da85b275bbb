"""The engine's answers, and what is made of those that are none; on a real Podman."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from mlabhub.engine import Engine, EngineApi, EngineError, labels, make_api
from mlabhub.engine.containerfile import config_lines
from mlabhub.engine.log_stream import Demultiplexer, read_log
from mlabhub.errors import EngineUnavailable
from tests.engine.podman import Playground

NOWHERE = "0" * 64


@pytest.mark.engine
async def test_what_is_not_there_is_no_error(api: EngineApi) -> None:
    assert await api.container("mlabhub-nowhere") is None
    assert await api.image("localhost/mlabhub-nowhere:latest") is None
    assert await api.network_subnet("mlabhub-nowhere") is None
    assert await api.logs(NOWHERE) == ""
    await api.stop(NOWHERE, 1)
    await api.remove(NOWHERE)
    await api.remove_image("localhost/mlabhub-nowhere:latest")
    assert await api.remove_network("mlabhub-nowhere")


@pytest.mark.engine
async def test_a_name_that_is_taken_is_a_sentence(ground: Playground, api: EngineApi) -> None:
    await api.create(ground.spec())
    with pytest.raises(EngineError, match="already in use"):
        await api.create(ground.spec())


@pytest.mark.engine
async def test_only_ones_own_are_listed(ground: Playground, api: EngineApi) -> None:
    mine = await api.create(ground.spec("alice"))
    await api.create(ground.spec("stranger", labels={labels.INSTANCE: "another"}))
    listed = await api.containers({labels.INSTANCE: ground.instance, labels.USER: "alice"})
    await api.remove(labels.container_name(ground.instance, "stranger"))
    assert [container.id for container in listed] == [mine]


@pytest.mark.engine
async def test_starting_and_stopping_twice_is_fine(ground: Playground, api: EngineApi) -> None:
    container = await api.create(ground.spec())
    for _ in range(2):
        await api.start(container)
    for _ in range(2):
        await api.stop(container, 1)
    found = await api.container(container)
    assert found is not None
    assert not found.running


@pytest.mark.engine
async def test_a_long_log_keeps_its_end(ground: Playground, api: EngineApi) -> None:
    script = "python3 -c 'for n in range(20000): print(n)'; python3 -c 'import sys; sys.exit(\"the end\")'"
    container = await api.create(ground.spec(script=script))
    await api.start(container)
    ground.podman("wait", container)
    assert await api.logs(container, 3) == "19998\n19999\nthe end"


@pytest.mark.engine
async def test_a_log_is_followed_until_the_container_ends(ground: Playground, api: EngineApi) -> None:
    container = await api.create(
        ground.spec(script="echo first; while [ ! -e /tmp/go ]; do sleep 0.1; done; echo last")
    )
    await api.start(container)
    socket = api.engine.url.removeprefix("unix://")
    seen = b""
    async for piece in read_log(socket, container, follow=True):
        if not seen:
            ground.podman("exec", container, "touch", "/tmp/go")
        seen += piece
    assert seen == b"first\nlast\n"
    assert b"".join([piece async for piece in read_log(socket, container, follow=False)]) == seen
    with pytest.raises(EngineError):
        await anext(read_log(socket, NOWHERE, follow=False))


async def test_an_engine_that_does_not_answer(tmp_path: Path) -> None:
    api = make_api(Engine("podman", f"unix://{tmp_path}/podman.sock", False, ""))
    for question in (api.containers({labels.INSTANCE: "x"}), api.container("x"), api.image("x"), api.remove("x")):
        with pytest.raises(EngineUnavailable, match="Podman does not answer") as caught:
            await question
        assert str(tmp_path) not in str(caught.value)
    await api.close()


@pytest.mark.parametrize(
    ("failures", "said", "calls"), [(2, "image not known", 3), (9, "image not known", 5), (1, "no space left", 1)]
)
async def test_a_list_of_images_while_one_goes_away(tmp_path: Path, failures: int, said: str, calls: int) -> None:
    asked = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await reader.readuntil(b"\r\n\r\n")
        asked += 1
        status, body = ("200 OK", "[]") if asked > failures else ("500 Error", json.dumps({"message": said}))
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}".encode())
        writer.close()

    async with await asyncio.start_unix_server(answer, tmp_path / "podman.sock"):
        api = make_api(Engine("podman", f"unix://{tmp_path}/podman.sock", False, ""))
        if calls > failures:
            assert await api.images({labels.OWN: ""}) == ()
        else:
            with pytest.raises(EngineError, match=said):
                await api.images({labels.OWN: ""})
        await api.close()
    assert asked == calls


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"", ""),
        (b"\x01\0\0\0\0\0\0\x02a\n\x02\0\0\0\0\0\0\x02b\n", "a\nb\n"),
        (b"\x01\0\0\0\0\0\0\x09cut", "cut"),
        (b"\x01\0\0\0\0\0\0\x01\xff", "\ufffd"),
        (b"\x01\0", ""),
    ],
    ids=["empty", "both streams", "cut off", "not UTF-8", "half a header"],
)
def test_logs_are_put_together(raw: bytes, text: str) -> None:
    assert Demultiplexer().feed(raw).decode("utf-8", "replace") == text
    cut = Demultiplexer()
    assert b"".join(cut.feed(raw[at : at + 1]) for at in range(len(raw))).decode("utf-8", "replace") == text


def test_a_configuration_as_lines() -> None:
    config = {"Env": ["A=1=2", 'B=a"$b\\'], "Entrypoint": ["/entry"], "Cmd": ["a b", '"'], "WorkingDir": "/opt"}
    assert config_lines(config, {"x": "y z"}) == [
        'ENV A="1=2"',
        'ENV B="a\\"\\$b\\\\"',
        'ENTRYPOINT ["/entry"]',
        'CMD ["a b", "\\""]',
        "WORKDIR /opt",
        'LABEL x="y z"',
    ]
    assert config_lines({}, {}) == []


def test_no_name_of_another_image_says_something_else_in_a_containerfile() -> None:
    config = {"Env": ["A=1", "B\nLABEL mlabhub.root=0", "B C=1", "=x"], "WorkingDir": "/x\nLABEL mlabhub.outside="}
    labels = {"fine": "x", "z=1 mlabhub.outside": "", "y\nLABEL mlabhub.outside": "", "$x": ""}
    assert config_lines(config, labels) == ['ENV A="1"', 'LABEL fine="x"']
