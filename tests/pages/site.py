"""A whole site: our routes in a real tornado application, and a stand-in for the hub that vouches for people."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path
from typing import Any

from jupyterhub.services.auth import HubOAuth, HubOAuthenticated
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler, StaticFileHandler

from mlabhub.core.privacy import Viewer
from mlabhub.ledger import MemoryLedger
from mlabhub.service.audit_desk import AuditDesk
from mlabhub.service.handlers.logs import LogEventsHandler, LogsHandler
from mlabhub.service.pages import NotFoundHandler, routes
from mlabhub.service.report_tokens import ReportTokens
from mlabhub.service.server_logs import ServerLogs
from mlabhub.settings import Settings
from tests.doubles import ScriptedBackend
from tests.pages.cluster import MemoryMap
from tests.pages.idle import MemoryIdle
from tests.pages.launcher import MemoryLauncher
from tests.pages.usage import PagesUsage

PREFIX = "/services/mlabhub/"
HUB_STATIC = Path(sys.prefix) / "share" / "jupyterhub" / "static"


class WhoAmI(RequestHandler):
    """The hub's ``/user``: the token is the name, and who is called root is an admin."""

    def get(self) -> None:
        """Vouch for the holder of a token that was given out."""
        name = self.request.headers.get("Authorization", "").removeprefix("token ")
        groups = self.settings["launcher"].groups
        if name not in groups:
            self.set_status(403)
            self.finish({"message": "no such token"})
            return
        scopes = ["access:services!service=mlabhub"]
        self.finish(
            {"kind": "user", "name": name, "admin": name == "root", "groups": list(groups[name]), "scopes": scopes}
        )


class LoginAs(HubOAuthenticated, RequestHandler):
    """A shortcut through the login: gives the cookie that the hub's OAuth would have led to."""

    def get(self, name: str) -> None:
        """Set the login cookie."""
        self.hub_auth = self.settings["hub_auth"]
        self.hub_auth.set_cookie(self, name)
        self.redirect(self.get_argument("next", PREFIX))


class Landing(RequestHandler):
    """Where the hub's own pages would be, or a server, whose owner decides what it sends."""

    def get(self, path: str) -> None:
        """Say so, or whatever the server's owner wants."""
        headers, text = self.settings["servers_pages"].get(path, ({}, None))
        for name, value in headers.items():
            self.set_header(name, value)
        if text is not None:
            self.finish(text)
            return
        self.finish(f"<!DOCTYPE html><html lang=en><title>there</title><h1>Arrived at {path}</h1></html>")


class Logo(RequestHandler):
    """The hub's logo."""

    def get(self) -> None:
        """Answer with the picture."""
        self.set_header("Content-Type", "image/png")
        self.finish((HUB_STATIC / "images" / "jupyterhub-80.png").read_bytes())


class Site:
    """The application on a port of its own."""

    def __init__(self, launcher: MemoryLauncher, state_dir: Path, **settings: Any) -> None:
        socket = bind_sockets(0, "127.0.0.1")[0]
        self.port = socket.getsockname()[1]
        self.origin = f"http://127.0.0.1:{self.port}"
        self.url = self.origin + PREFIX
        self.launcher = launcher
        self.idle = MemoryIdle(launcher)
        self.ledger = MemoryLedger()
        self.usage = PagesUsage()
        self.map = MemoryMap(launcher)
        self.backend = ScriptedBackend()
        self.servers_pages: dict[str, tuple[dict[str, str], str]] = {}
        self.settings = Settings(
            instance="cafe0001",
            state_dir=state_dir,
            config_dir=state_dir,
            public_url=self.origin + "/",
            hub_port=1,
            proxy_api_port=2,
            service_port=self.port,
            **{"backend": "container", "simulate_gpus": "4xA100,4xT4", **settings},
        )
        hub_auth = HubOAuth(
            api_url=f"{self.origin}/hub/api",
            api_token="service-token",
            oauth_client_id="service-mlabhub",
            base_url=PREFIX,
            hub_prefix="/hub/",
            hub_host="",
            access_scopes={"access:services!service=mlabhub"},
            cache_max_age=0,
        )
        self.app = Application(
            [
                *routes(PREFIX),
                (PREFIX + r"api/v1/servers/([^/]*)/([^/]*)/logs", LogsHandler),
                (PREFIX + r"api/v1/servers/([^/]*)/([^/]*)/logs/events", LogEventsHandler),
                (r"/hub/api/user", WhoAmI),
                (r"/hub/static/(.+)", StaticFileHandler, {"path": str(HUB_STATIC)}),
                (r"/hub/logo", Logo),
                (r"/login-as/(\w+)", LoginAs),
                (r"/((?:user|hub)/.*)", Landing),
            ],
            default_handler_class=NotFoundHandler,
            cookie_secret=secrets.token_bytes(32),
            xsrf_cookies=True,
            launcher=launcher,
            queue_desk=launcher.waits,
            idle_looks=self.idle,
            idle_desk=self.idle,
            usage_desk=self.usage.desk,
            shelving=self.idle,
            map_desk=self.map.desk(),
            server_logs=ServerLogs(self.backend),
            report_tokens=ReportTokens("service-token"),
            settings=self.settings,
            audit_desk=AuditDesk(self, lambda person: Viewer(person.name, admin=person.admin, privacy="group")),
            servers_pages=self.servers_pages,
            hub_auth=hub_auth,
        )
        self._server = HTTPServer(self.app)
        self._server.add_sockets([socket])

    async def close(self) -> None:
        """Stop listening."""
        self._server.stop()
        await self._server.close_all_connections()
