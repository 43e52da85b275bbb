"""As much of a hub as a single-user server asks for: who a token belongs to, and the hub's version."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jupyterhub

PREFIX = "/user/alice/tb/"
SCOPE = "access:servers!server=alice/tb"
TOKEN = "alice"
"""What alice's browser or program sends. Any other token is nobody's."""


class Answers(BaseHTTPRequestHandler):
    """The two answers."""

    def do_GET(self) -> None:
        """Answer."""
        known = self.headers.get("Authorization") == f"token {TOKEN}"
        if self.path.rstrip("/").endswith("/api"):
            self._answer(200, {"version": jupyterhub.__version__})
        elif known:
            self._answer(200, {"kind": "user", "name": "alice", "admin": False, "groups": [], "scopes": [SCOPE]})
        else:
            self._answer(403, {"message": "unknown token"})

    def do_POST(self) -> None:
        """Take the server's activity."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(200, {})

    def _answer(self, status: int, body: Mapping[str, object]) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("X-JupyterHub-Version", jupyterhub.__version__)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


class Hub:
    """It, in threads of its own."""

    def __init__(self) -> None:
        """Start it."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hub/api"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def environ(self, port: int) -> dict[str, str]:
        """Return what a spawner sets for a server on this port."""
        scopes = json.dumps([SCOPE])
        return {
            "JUPYTERHUB_API_TOKEN": "the-servers-own",
            "JUPYTERHUB_API_URL": self.url,
            "JUPYTERHUB_ACTIVITY_URL": f"{self.url}/users/alice/activity",
            "JUPYTERHUB_BASE_URL": "/",
            "JUPYTERHUB_HOST": "",
            "JUPYTERHUB_USER": "alice",
            "JUPYTERHUB_SERVER_NAME": "tb",
            "JUPYTERHUB_SERVICE_PREFIX": PREFIX,
            "JUPYTERHUB_SERVICE_URL": f"http://127.0.0.1:{port}{PREFIX}",
            "JUPYTERHUB_CLIENT_ID": "jupyterhub-user-alice-tb",
            "JUPYTERHUB_OAUTH_CALLBACK_URL": f"{PREFIX}oauth_callback",
            "JUPYTERHUB_OAUTH_SCOPES": scopes,
            "JUPYTERHUB_OAUTH_ACCESS_SCOPES": scopes,
        }

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
