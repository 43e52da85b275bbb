"""Browsers that are logged in at a service that runs in this process, and that see its pages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from jupyterhub.services.auth import HubOAuthenticated
from tornado.web import RequestHandler, StaticFileHandler

from tests.pages.site import HUB_STATIC, Logo
from tests.service.conftest import Running

BROWSER = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "same-origin"}


class LoginAs(HubOAuthenticated, RequestHandler):
    """A shortcut through the login: gives the cookie that the hub's OAuth would have led to."""

    def get(self, name: str) -> None:
        """Set the login cookie."""
        self.hub_auth = self.settings["hub_auth"]
        self.hub_auth.set_cookie(self, f"t-{name}")
        self.redirect(self.settings["settings"].service_prefix + "quotas")


def open_door(running: Running) -> str:
    """Let people log in at once; return the address that does it, without the name."""
    look = (r"/hub/static/(.+)", StaticFileHandler, {"path": str(HUB_STATIC)})
    running.service.application.add_handlers(".*", [(r"/login-as/(\w+)", LoginAs), (r"/hub/logo", Logo), look])
    return f"http://127.0.0.1:{running.settings.service_port}/login-as/"


@asynccontextmanager
async def log_in(running: Running, name: str, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
    """Give a browser of somebody who is logged in."""
    door, url = open_door(running), running.settings.service_url
    sent = {**BROWSER, **headers}
    async with httpx.AsyncClient(base_url=url, headers=sent, trust_env=False, timeout=30) as client:
        await client.get(door + name)
        await client.get("quotas")
        yield client
