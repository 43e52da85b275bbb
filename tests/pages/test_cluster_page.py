"""The cluster page: what it says of each GPU, to whom, how it is searched, and what it answers when nothing answers."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from html import unescape
from typing import Any

import httpx
import pytest

from mlabhub.core.capacity import Capacity, Gpu, Node
from mlabhub.errors import Unavailable
from mlabhub.ledger import HeldThen
from mlabhub.messages import Message
from tests.pages.conftest import Login
from tests.pages.helpers import start
from tests.pages.launcher import HOSTILE, MemoryLauncher
from tests.pages.site import Site

pytestmark = pytest.mark.asyncio(loop_scope="session")


def labels(page: httpx.Response | str) -> dict[str, str]:
    """Return what each GPU's button says, by its id."""
    text = page if isinstance(page, str) else page.text
    found = re.findall(r'name="gpu" value="([^"]*)"[^>]* aria-label="([^"]*)"', text)
    return {unescape(uuid): unescape(label) for uuid, label in found}


def shown(page: httpx.Response) -> list[str]:
    """Return the machines that are shown."""
    return [unescape(one) for one in re.findall(r'data-node="([^"]*)"', page.text)]


async def hold(launcher: MemoryLauncher, user: str = "alice", gpus: int = 1, name: str = "exp") -> str:
    """Let somebody's server run with GPUs; return its launch."""
    launch_id = await start(launcher, user, name, profile="gpu", gpus=gpus)
    one = launcher.projection.launch(launch_id)
    assert one is not None
    launcher.projection.apply(replace(one, state="held", held=one.created))
    return launch_id


def widen(launcher: MemoryLauncher, *nodes: Node) -> None:
    launcher.capacity = Capacity((*launcher.capacity.nodes, *nodes))


async def test_each_gpu_says_in_words_what_its_sign_says(login: Login, site: Site, launcher: MemoryLauncher) -> None:
    launch_id = await hold(launcher, gpus=4)
    await start(launcher, "bob", "next", profile="gpu")
    site.map.use[launch_id] = (97.0, 12.0, 0.0, None)
    site.map.idle[launch_id] = time.time() - 3600
    page = await (await login("alice")).get("cluster")
    assert page.status_code == 200
    busy, light, idle, unknown, starting, free = list(labels(page).values())[:6]
    assert re.fullmatch(
        r"GPU-sim-\w+-0 \(\w+.*\) · held · alice · vision · since \d\d:\d\d · 97 %, busy · counts as idle since .*",
        busy,
    )
    assert "12 %, light use" in light
    assert "0 %, idle" in idle
    assert "use not known" in unknown
    assert "for a server that starts" in starting
    assert free.endswith("· free")
    signs = re.findall(r'name="gpu"[^>]*class="mlab-gpu mlab-gpu-(\w+)[^>]*>([^<]*)<', page.text)
    assert signs[:6] == [("busy", "##"), ("light", "#"), ("idle", "."), ("blur", "?"), ("reserved", "//"), ("free", "")]
    assert "8 GPUs: 4 held, 1 for servers that start, 3 free." in page.text


async def test_names_of_others_are_told_as_far_as_privacy_lets(
    login: Login, site: Site, launcher: MemoryLauncher
) -> None:
    site.map.use[await hold(launcher)] = (63.0,)
    uuid = next(iter(launcher.projection)).gpus[0]
    for who in ("root", "carol", "alice", "carol"):
        told = who != "carol"
        page = await (await login(who)).get("cluster", params={"gpu": uuid})
        assert ("63 %" in page.text) == told, who
        assert ("alice · vision" in labels(page)[uuid]) == told, who
        assert ("privacy setting" in page.text) != told, who
        assert ("How busy its server is" in page.text) == told, who


async def test_a_press_without_a_script_shows_one_gpu_and_keeps_what_was_looked_for(
    login: Login, launcher: MemoryLauncher
) -> None:
    await hold(launcher)
    uuid = next(iter(launcher.projection)).gpus[0]
    page = await (await login("alice")).get("cluster", params={"q": "alice", "ago": "0", "gpu": uuid})
    details = page.text.split('id="gpu-details"', 1)[1]
    for word in ("Holder", "alice", "exp", "Paid by", "vision", "40 GiB", uuid, "Simulated"):
        assert word in details
    assert 'value="alice"' in page.text
    assert '<aside class="mlab-gpu-panel" id="gpu" aria-label="About one GPU">' in page.text
    gone = await (await login("alice")).get("cluster", params={"gpu": "GPU-none"})
    assert "This GPU is not on the map" in gone.text


async def test_machines_are_found_by_name_type_holder_and_room(login: Login, launcher: MemoryLauncher) -> None:
    full = Node("m2", 8, 16, (Gpu("GPU-x", "h100", "m2", "H100", healthy=False),))
    widen(launcher, full, Node("c1", 64, 512, ()))
    await hold(launcher)
    client = await login("alice")
    assert shown(await client.get("cluster")) == ["n1", "m2", "c1"]
    for query, names in (
        ({"q": "M2"}, ["m2"]),
        ({"q": "alice"}, ["n1"]),
        ({"q": "vision"}, ["n1"]),
        ({"q": "h100"}, ["m2"]),
        ({"free": "1"}, ["n1"]),
        ({"kind": "H100"}, ["m2"]),
        ({"q": "nobody"}, []),
    ):
        page = await client.get("cluster", params=query)
        assert shown(page) == names, query
        assert ("No machine is like that" in page.text) == (not names)
    stranger = await (await login("carol")).get("cluster", params={"q": "alice"})
    assert shown(stranger) == [], "whom one may not know one cannot look for"


async def test_a_machine_says_what_of_it_is_free_and_why_it_takes_nothing(
    login: Login, launcher: MemoryLauncher
) -> None:
    note = Message("Cordoned for new fans.")
    widen(launcher, Node("m2", 8, 16, (Gpu("GPU-x", "h100", "m2", "H100"),), schedulable=False, notes=(note,)))
    await hold(launcher)
    page = await (await login("alice")).get("cluster")
    assert "CPU 56 of 64 free" in page.text
    assert "memory 480 GiB of 512 GiB free" in page.text
    assert "Cordoned for new fans." in page.text
    assert labels(page)["GPU-x"].endswith("free, but the machine takes no new servers")


async def test_back_in_the_day(login: Login, site: Site, launcher: MemoryLauncher) -> None:
    uuid = launcher.capacity.nodes[0].gpus[0].uuid
    began = time.time() - 9000
    site.map.then = (HeldThen("01OLD", "bob", "old", "Old", "nlp", "gpu", "a100", (uuid,), "n1", began),)
    site.map.use["01OLD"] = (73.0,)
    page = await (await login("root")).get("cluster", params={"ago": "120"})
    assert "bob · nlp" in labels(page)[uuid]
    assert "73 %, busy" in labels(page)[uuid]
    assert "not recorded" in page.text
    assert "1 held, 7 not held" in page.text
    for ago in ("-5", "x", "999999999", "٣"):
        assert (await (await login("root")).get("cluster", params={"ago": ago})).status_code == 200


async def test_only_what_is_new_comes_again(login: Login, site: Site, launcher: MemoryLauncher) -> None:
    widen(launcher, Node("m2", 8, 16, (Gpu("GPU-x", "h100", "m2", "H100"),)))
    client = await login("alice")

    async def parts(**query: str) -> dict[str, Any]:
        site.map.changes.note()
        answer: dict[str, Any] = (await client.get("cluster/parts", params=query)).json()
        return answer

    first = await parts()
    assert set(first["map"]["nodes"]) == {"n1", "m2"}
    known = f"{first['map']['number']}.{first['seal']}"
    assert (await parts(known=known))["map"]["nodes"] == {}
    await hold(launcher)
    site.app.settings["map_desk"]._made_at = float("-inf")
    news = await parts(known=known)
    assert set(news["map"]["nodes"]) == {"n1"}
    assert [(one["kind"], one["nodes"]) for one in news["map"]["kinds"]][-1] == ("H100", ["m2"])
    for other in ("", "1", "x.y", f"{first['map']['number']}.0", "9" * 30 + f".{first['seal']}"):
        assert set((await parts(known=other))["map"]["nodes"]) == {"n1", "m2"}, other
    assert set((await parts(known=known, q="m2"))["map"]["nodes"]) == {"m2"}, "another question"


async def test_it_comes_the_same_compressed_or_not(login: Login) -> None:
    client = await login("alice")
    pressed = await client.get("cluster", headers={"Accept-Encoding": "gzip"})
    plain = await client.get("cluster", headers={"Accept-Encoding": "identity"})
    assert (pressed.headers.get("Content-Encoding"), plain.headers.get("Content-Encoding")) == ("gzip", None)
    assert pressed.headers["Vary"] == "Accept-Encoding"

    def without_tokens(page: httpx.Response) -> str:
        return re.sub(r'data-xsrf="[^"]*"', "", page.text)

    assert without_tokens(pressed) == without_tokens(plain)


async def test_names_that_attack_stay_text(login: Login, launcher: MemoryLauncher) -> None:
    evil = Gpu(f'G"{HOSTILE}', "h100", HOSTILE, "H100", health=(Message.of("{x}", x=HOSTILE),))
    widen(launcher, Node(HOSTILE, 8, 16, (evil,), notes=(Message.of("{x}", x=HOSTILE),)))
    launcher.groups[HOSTILE] = ("vision",)
    await hold(launcher, HOSTILE, name=HOSTILE)
    client = await login("root")
    for path in ("cluster", "cluster/parts", "cluster/gpu"):
        answer = await client.get(path, params={"q": HOSTILE, "gpu": evil.uuid, "kind": HOSTILE, "known": HOSTILE})
        texts = [answer.text] if path == "cluster" else list(_strings(answer.json()))
        assert answer.status_code == 200
        wrong = [text for text in texts if text != HOSTILE and ("<img src=x" in text or "<script>alert" in text)]
        assert [text[max(0, text.index("<img src=x") - 200) :][:400] for text in wrong] == []


def _strings(value: Any) -> Any:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one)


async def test_while_the_machines_do_not_answer_it_says_so(login: Login, launcher: MemoryLauncher) -> None:
    client = await login("alice")
    launcher.down = Unavailable("The engine does not answer.")
    page = await client.get("cluster")
    assert page.status_code == 503
    assert "The engine does not answer." in page.text
    assert (await client.get("cluster/parts")).json()["error"]["message"] == "The engine does not answer."


async def test_in_chinese(login: Login, launcher: MemoryLauncher) -> None:
    await hold(launcher)
    page = await (await login("alice")).get("cluster", params={"lang": "zh_CN"})
    assert "集群" in page.text
    assert "占用" in next(iter(labels(page).values()))


async def test_a_stranger_sees_nothing_of_it(site: Site) -> None:
    async with httpx.AsyncClient(base_url=site.url) as client:
        assert (await client.get("cluster")).status_code == 302
        for path in ("cluster/parts", "cluster/gpu?gpu=x"):
            assert (await client.get(path)).status_code == 403
