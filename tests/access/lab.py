"""A service with a person's servers, queue and images in it, and everybody who may call it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from mlabhub.service.people.desk import Acting
from mlabhub.service.people.sheets import Sheets
from mlabhub.service.report_tokens import ReportTokens, Subject
from tests.access.table import Row, path_of
from tests.doubles import ScriptedBackend, ScriptedImages
from tests.service.conftest import SECRET, Running, make_settings, run_service
from tests.service.test_api import _signed_cookie
from tests.service.test_queue_api import launch
from tests.service.test_tensorboard import BOARD, IMAGES

NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "same-origin"}
SCRIPT = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty", "Sec-Fetch-Site": "same-origin"}
HOME = "/services/mlabhub/"
GROUP_SCOPES = tuple(
    f"{scope}!group=vision"
    for scope in (
        "admin:users",
        "admin:groups",
        "admin:servers",
        "admin:server_state",
        "admin:auth_state",
        "list:users",
        "read:users",
        "groups",
        "tokens",
        "users",
        "servers",
        "start:servers",
        "delete:servers",
        "access:servers",
    )
)
"""What a role of the hub may give somebody over alice's group."""

BODIES: dict[str, dict[str, Any]] = {
    "api/v1/launches": {"server_name": "new", "user_options": {"profile": "cpu"}},
    "api/v1/launches/{waiting}": {"user_options": {"profile": "cpu"}},
    "api/v1/servers/{user}/{server}/extend": {"hours": 1.0, "reason": "a paper"},
    "api/v1/servers/{user}/{server}/save": {"name": "mine-too"},
    "api/v1/people": {"name": "newcomer"},
    "api/v1/people/{user}/groups": {"groups": ["vision"]},
    "api/v1/quotas/changes": {"group": "vision", "limit": {"gpu": 4}, "reason": "a paper"},
    "api/v1/reservations/{user}/{server}": {"launch_id": "{launch_id}"},
    "api/v1/reservations/{user}/{server}/placed": {"launch_id": "{launch_id}", "node": "n1"},
    "api/v1/reservations/{user}/{server}/short": {"launch_id": "{launch_id}"},
    "api/v1/reservations/{user}/{server}/held": {"launch_id": "{launch_id}"},
    "api/v1/reservations/{user}/{server}/released": {"launch_id": "{launch_id}"},
    "api/v1/reports": {"server": "{user}/{server}", "sent": 1.0, "reports": [{"t": 1.0, "number": 1}]},
    "api/v1/reports/keep": {"server": "{user}/{server}", "seconds": 60.0, "reason": "a paper"},
    "api/v1/reports/release": {"server": "{user}/{server}"},
    "api/v1/reports/saved": {"server": "{user}/{server}"},
}
"""What is sent where an empty object would not be understood."""


@dataclass
class Lab:
    """The service, and what of alice's the places in an address stand for: one set for her, one for administrators."""

    running: Running
    things: dict[str, dict[str, str]] = field(default_factory=dict)

    async def ask(
        self, row: Row, headers: Mapping[str, str], things: Mapping[str, str], *, sent: Mapping[str, Any] | None = None
    ) -> httpx.Response:
        """Call what a row is about; of a stream that goes on, the beginning."""
        places = {name: quote(value, safe="") for name, value in things.items()}
        address = path_of(HOME, row.address.format_map(places))
        keywords: dict[str, Any] = {}
        if row.changes and "api/v1" in row.address:
            keywords["json"] = {**body_of(row, things), **(sent or {})}
        elif row.changes:
            query = httpx.QueryParams(urlsplit(address).query)
            keywords["data"] = {**dict(query), **(sent or {})}
        origin = self.running.settings.service_url.removesuffix(HOME)
        request = self.running.http.build_request(row.method, origin + address, headers=dict(headers), **keywords)
        answer = await asyncio.wait_for(self.running.http.send(request, stream=True), 30)
        if not answer.headers.get("content-type", "").startswith("text/event-stream"):
            await answer.aread()
        await answer.aclose()
        return answer

    def token(self, name: str) -> dict[str, str]:
        """Return the headers of somebody's token."""
        return {"Authorization": f"token t-{name}"}

    @property
    def spawner(self) -> dict[str, str]:
        """Return the headers of a spawner."""
        return {"Authorization": f"Bearer {SECRET}"}

    def agent(self, server: str) -> dict[str, str]:
        """Return the headers of the agent in a server of alice's."""
        one = self.running.of_server("alice", server)
        assert one is not None
        made = ReportTokens(self.running.tokens.api_token).make(Subject("alice", server, one.launch_id))
        return {"Authorization": f"Bearer {made}"}

    def cookie(self, name: str) -> str:
        """Return the cookie of somebody who is logged in."""
        return _signed_cookie(self.running, self.running.tokens.cookie_name, f"t-{name}")

    async def browser(self, name: str, *, script: bool = False) -> tuple[dict[str, str], str]:
        """Return the headers of a browser that has a page of ours open, and the token of that page."""
        login = self.cookie(name)
        page = await self.running.http.get("", headers={"Cookie": login, **NAVIGATION})
        xsrf = page.cookies["_xsrf"]
        self.running.http.cookies.clear()
        headers = {"Cookie": f"{login}; _xsrf={xsrf}", **(SCRIPT if script else NAVIGATION)}
        return ({**headers, "X-Xsrftoken": xsrf} if script else headers), xsrf


def body_of(row: Row, things: Mapping[str, str]) -> dict[str, Any]:
    """Return what is sent to a call of the API."""
    return {name: _filled(value, things) for name, value in BODIES.get(row.address, {}).items()}


def _filled(value: Any, things: Mapping[str, str]) -> Any:
    return value.format_map(things) if isinstance(value, str) else value


@asynccontextmanager
async def open_lab(folder: Path) -> AsyncIterator[Lab]:
    """Run a service where alice has two servers with GPUs, two launches that wait and two images of her own."""
    images = ScriptedImages(here={"localhost/base"})
    backend = ScriptedBackend(images=images)
    settings = make_settings(folder)
    with (settings.config_dir / "profiles.yaml").open("a") as profiles:
        profiles.write(BOARD)
    (settings.config_dir / "images.yaml").write_text(IMAGES)
    async with run_service(settings, backend=backend) as running:
        lab = Lab(running)
        running.hub.add_user("lead", "vision")
        running.tokens.vouch("t-lead", "lead", "vision", scopes=GROUP_SCOPES)
        for who in ("alice", "admin"):
            status, told = await launch(running, "alice", f"of{who}", 3)
            assert status == 201, told
        for who in ("alice", "admin"):
            lab.things[who] = await _things(running, images, who)
        yield lab


async def _things(running: Running, images: ScriptedImages, who: str) -> dict[str, str]:
    """Return what addresses are about; what can be used up is made for ``who`` alone."""
    server = f"of{who}"
    status, waiting = await launch(running, "alice", f"waits{who}", 3)
    assert status == 202, waiting
    await images.save("alice", server, f"image-{who}", "")
    running.backend.logs["alice", server] = [b"It listens.\n"]
    body = {"user": "alice", "cap": {"gpu": 8}, "reason": "a paper"}
    change = (await running.call("POST", "api/v1/quotas/changes", "admin", json=body)).json()
    one = running.of_server("alice", server)
    assert one is not None
    sheets: Sheets = running.service.application.settings["sheets"]
    return {
        "sheet": (await sheets.read(Acting("admin", "t-admin"), b"name\nnewcomer\n")).sheet_id,
        "user": "alice",
        "server": server,
        "launch_id": one.launch_id,
        "waiting": waiting["launch_id"],
        "image": f"image-{who}",
        "wanted": '{"group": "vision", "limit": {"gpu": 5}, "reason": "a paper"}',
        "change": change["changes"][0]["change_id"],
    }
