"""What several tests of the pages do."""

from __future__ import annotations

import re
from html import unescape

import httpx

from mlabhub.service.views import Person
from tests.pages.launcher import MemoryLauncher
from tests.pages.site import PREFIX


def field(page: httpx.Response, name: str) -> str:
    """Return a hidden field's value; on the launch page, of the form of choices."""
    found = re.search(rf'name="{name}" value="([^"]*)"', page.text.split('id="launch-form"', 1)[-1])
    assert found, f"no field {name}"
    return unescape(found[1])


def site_path(address: str) -> str:
    """Return an address relative to the pages."""
    return address.removeprefix(PREFIX)


async def ask(client: httpx.AsyncClient, path: str) -> httpx.Response:
    """Return the page that asks, by way of its first step."""
    return await client.get(path, follow_redirects=True)


async def start(launcher: MemoryLauncher, user: str = "alice", name: str = "exp", **options: object) -> str:
    """Start a server behind the pages' back; return the launch's id."""
    answer = await launcher.launch(
        Person(user), user=user, server_name=name, display_name=name, user_options={"profile": "cpu", **options}
    )
    return answer.launch_id
