"""The page that follows the fetching of an image, and the one that saves a server as an image."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Callable
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import pytest_asyncio

from mlabhub.core.names import is_saved_name
from mlabhub.ledger import AuditEntry
from mlabhub.service.fetching import ImageFetcher
from mlabhub.service.projection import Projection
from mlabhub.service.views import LaunchAnswer, Person
from mlabhub.service.writer import Outcome
from tests.doubles import ScriptedImages
from tests.pages.conftest import GROUPS, Login
from tests.pages.helpers import ask, site_path
from tests.pages.helpers import field as field_of
from tests.pages.launcher import HOSTILE, MemoryLauncher
from tests.pages.site import PREFIX, Site

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Fetching(MemoryLauncher):
    """A launcher whose image is missing until it was fetched."""

    def __init__(self, groups: dict[str, tuple[str, ...]]) -> None:
        super().__init__(groups)
        self.images = ScriptedImages(registries={"master0:5000/x:1": ""})
        self.fetcher = ImageFetcher(self.images, lambda: 0.0)
        self.noted: list[tuple[str, str, str]] = []

    async def submit(self, act: Callable[[Projection], Outcome[None]]) -> None:
        """Take what is written into the ledger."""
        records = act(self.projection).records
        self.noted += [(one.actor, one.act, one.user) for one in records if isinstance(one, AuditEntry)]

    async def launch(self, actor: Person, **launch: Any) -> LaunchAnswer:
        """Refuse while the image is fetched."""
        request = SimpleNamespace(
            user=actor.name,
            server_name=launch["server_name"],
            image="torch",
            image_reference="master0:5000/x:1",
            image_kind="typed",
        )
        await self.fetcher.require(request)  # type: ignore[arg-type]
        return await super().launch(actor, **launch)


@pytest.fixture
def launcher() -> Fetching:
    return Fetching(dict(GROUPS))


@pytest_asyncio.fixture(loop_scope="session")
async def site(launcher: Fetching, tmp_path: Path) -> AsyncIterator[Site]:
    site = Site(launcher, tmp_path)
    backend = SimpleNamespace(images=launcher.images)
    site.app.settings["world"] = SimpleNamespace(
        fetcher=launcher.fetcher, backend=backend, writer=launcher, clock=time.time
    )
    yield site
    await launcher.fetcher.close()
    await site.close()


async def start(client: httpx.AsyncClient) -> httpx.Response:
    """Send the launch form as browsers do, its empty fields too."""
    page = await client.get("launch")
    names = ("_xsrf", "key")
    filled = {"profile": "cpu", "name": "exp", "memory_gib": ""}
    return await client.post("launch", data={**filled, **{n: field_of(page, n) for n in names}})


async def test_a_missing_image_is_followed_and_then_started(login: Login, launcher: Fetching) -> None:
    client = await login("alice")
    answer = await start(client)
    assert answer.status_code == 303
    address = answer.headers["location"]
    assert address.startswith(f"{PREFIX}fetching?")
    page = await client.get(site_path(address))
    assert "Fetching the image torch" in page.text
    assert 'data-by-itself="yes"' in page.text
    assert '<noscript><meta http-equiv="refresh" content="5"></noscript>' in page.text
    assert 'id="fetching-hint" hidden>Your server starts by itself' in page.text  # its script shows it
    said = (await client.get("fetching/progress?wanted=torch")).json()
    assert (said["state"], "50 %" in said["html"]) == ("fetching", True)
    launcher.images.go_on.set()
    await launcher.fetcher._tasks["torch"]
    assert (await client.get("fetching/progress?wanted=torch")).json()["state"] == "here"
    page = await client.get(site_path(address))
    sent = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', page.text))
    started = await client.post("launch", data={name: unescape(text) for name, text in sent.items()})
    assert started.headers["location"].startswith(f"{PREFIX}starting/")
    assert launcher.calls[-1][4] == "exp"


@pytest.mark.parametrize(
    "change",
    [
        lambda address: address.replace("profile=cpu", "profile=gpu"),
        lambda address: address + "&cpu=9",
        lambda address: re.sub("ticket=[^&]+", "ticket=forged", address),
        lambda address: re.sub("&?ticket=[^&]+", "", address),
    ],
    ids=["another choice", "one more choice", "forged", "none"],
)
async def test_an_address_that_somebody_made_starts_nothing_by_itself(
    login: Login, launcher: Fetching, change: Any
) -> None:
    client = await login("alice")
    address = site_path((await start(client)).headers["location"])
    page = await client.get(change(address))
    assert page.status_code == 200
    assert 'data-by-itself="no"' in page.text
    other = await (await login("bob")).get(address)
    assert 'data-by-itself="no"' in other.text


async def test_a_failure_is_told(login: Login, launcher: Fetching) -> None:
    launcher.images.registries["master0:5000/x:1"] = f"no space left on device {HOSTILE}."
    launcher.images.go_on.set()
    client = await login("alice")
    address = site_path((await start(client)).headers["location"])
    if task := launcher.fetcher._tasks.get("torch"):
        await task
    page = await client.get(address)
    assert "could not be fetched" in page.text
    assert "no space left on device" in page.text
    assert HOSTILE not in page.text


async def test_a_server_is_saved_listed_and_deleted(login: Login, launcher: Fetching) -> None:
    client = await login("alice")
    page = await client.get("save?server=exp")
    data = {"_xsrf": re.findall(r'name="_xsrf" value="([^"]+)"', page.text)[0], "server": "exp"}
    done = await client.post("save", data={**data, "name": "My Torch", "description": HOSTILE})
    assert done.status_code == 303
    page = await client.get(site_path(done.headers["location"]))
    assert "The image was saved" in page.text
    assert "my-torch" in page.text
    assert HOSTILE not in page.text
    [image] = launcher.images.owned["alice"]
    assert is_saved_name(image.name)
    assert (await client.post("save", data={"server": "exp", "name": "x"})).status_code == 403
    asked = await ask(client, "delete-image?image=my-torch")
    assert "Delete the image my-torch?" in asked.text
    answer = {"_xsrf": data["_xsrf"], "image": "my-torch", "confirm": field_of(asked, "confirm")}
    stale = await client.post("delete-image", data={**answer, "confirm": "forged"})
    assert "stale=1" in stale.headers["location"]
    assert launcher.images.owned["alice"] == (image,)
    gone = await client.post("delete-image", data=answer)
    assert "The image was deleted" in (await client.get(site_path(gone.headers["location"]))).text
    assert launcher.images.owned["alice"] == ()
    assert (await client.post("delete-image", data=answer)).status_code == 404
    assert (await ask(client, "delete-image?image=my-torch")).status_code == 404
    assert launcher.noted == [("alice", "save_image", "alice"), ("alice", "delete_image", "alice")]
