"""Several names at once, below a path, with nginx in front by the configuration that the documentation gives."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect
from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from tests.chromium import run_chromium, sign_in
from tests.e2e.place import PREFIX, Place
from tests.installation import wait_for
from tests.jupyterlab import run_in_new_notebook
from tests.nginx import NAME, run_nginx

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


class Session:
    """A browser's session under one name: whatever names another one is a fault."""

    def __init__(self, place: Place, origin: str, connection: str) -> None:
        self.place, self.origin, self.host = place, origin, origin.split("://")[1]
        self.hosts = {name.split("://")[1] for name, _ in place.names()} - {self.host}
        trusted = ssl.create_default_context(cafile=str(place.nginx.authority))
        self.http = httpx.Client(
            base_url=f"{connection.replace(NAME, '127.0.0.1')}/{PREFIX}",
            headers={"Host": self.host, "Origin": origin},
            timeout=60,
            verify=trusted,
            event_hooks={"response": [self.check], "request": [self.name]},
        )

    def name(self, request: httpx.Request) -> None:
        """Say the certificate's name."""
        request.extensions["sni_hostname"] = NAME

    def check(self, answer: httpx.Response) -> None:
        """No redirect, cookie or page may lead to another name; what logs in is for https only where it is spoken."""
        location = answer.headers.get("location", "/")
        assert re.match(r"/(?!/)", location), location
        for cookie in answer.headers.get_list("set-cookie"):
            assert "domain=" not in cookie.lower()
            if not cookie.startswith("_xsrf=") and '=""' not in cookie:
                assert ("secure" in cookie.lower()) == self.origin.startswith("https"), cookie
            assert "path=/lab/" in cookie.lower(), cookie
        if "html" in answer.headers.get("content-type", ""):
            text = answer.read().decode()
            assert not [host for host in self.hosts if host in text]

    def get(self, path: str) -> httpx.Response:
        """Follow redirects by hand, as what was connected to is not what is named."""
        answer = self.http.get(path)
        for _ in range(10):
            if not answer.is_redirect:
                break
            answer = self.http.get(self.http.base_url.join(answer.headers["location"]))
        return answer

    def log_in(self) -> None:
        """Log in by the form."""
        page = self.get("hub/login")
        assert page.status_code == 200
        xsrf = str(self.http.cookies.get("_xsrf", path="/lab/hub/"))
        data = {"username": "alice", "password": self.place.password, "_xsrf": xsrf}
        answer = self.http.post("hub/login", data=data)
        assert answer.status_code == 302, answer.text

    def start(self) -> None:
        """Start the server as the hub's pages do, and wait for it."""
        self.get("hub/home")
        xsrf = str(self.http.cookies.get("_xsrf", path="/lab/hub/"))
        answer = self.http.post("hub/api/users/alice/server", headers={"X-XSRFToken": xsrf}, json={})
        assert answer.status_code in (201, 202), answer.text
        self.place.hub.wait_ready("alice")

    async def open_kernel(self, **headers: str) -> WebSocketClientConnection:
        """Open a kernel's websocket with the session's cookies."""
        cookies = "; ".join(
            f"{one.name}={one.value}" for one in self.http.cookies.jar if one.path == "/lab/user/alice/"
        )
        xsrf = str(self.http.cookies.get("_xsrf", path="/lab/user/alice/"))
        made = self.http.post("user/alice/api/kernels", json={"name": "python3"}, headers={"X-XSRFToken": xsrf})
        assert made.status_code == 201, made.text
        url = f"{self.http.base_url}user/alice/api/kernels/{made.json()['id']}/channels".replace("http", "ws", 1)
        context = ssl.create_default_context(cafile=str(self.place.nginx.authority))
        context.check_hostname = False  # connected to 127.0.0.1
        sent = {"Host": self.host, "Origin": self.origin, "Cookie": cookies, **headers}
        return await websocket_connect(HTTPRequest(url, headers=sent, ssl_options=context))


def test_one_works_under_every_name_at_once(place: Place) -> None:
    sessions = [Session(place, *name) for name in place.names()]
    for session in sessions:
        session.log_in()
    for session in sessions:
        session.start()
        assert session.get("").status_code == 200
        assert session.get("user/alice/lab").status_code == 200
        asyncio.run(_computes(session))
        place.hub.stop_server("alice")
    for session in sessions:
        assert session.get("services/mlabhub/").status_code == 200
        session.http.close()


async def _computes(session: Session) -> None:
    kernel = await session.open_kernel()
    header = {"msg_id": "1", "msg_type": "execute_request", "username": "", "session": "1", "version": "5.3"}
    content = {"code": "print(6 * 7)", "silent": False, "user_expressions": {}, "allow_stdin": False}
    message: dict[str, Any] = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
    await kernel.write_message(json.dumps({**message, "channel": "shell"}))
    while (answer := json.loads(str(await kernel.read_message())))["header"]["msg_type"] != "stream":
        pass
    assert answer["content"]["text"] == "42\n"
    kernel.close()
    while await kernel.read_message() is not None:  # until the line is closed on both sides
        pass


def test_what_people_are_told_is_the_outside_address(place: Place) -> None:
    public = f"{place.nginx.origin}/{PREFIX}"
    assert json.loads((place.hub.state / "first-run.json").read_text())["url"] == public
    assert public in place.hub.output().replace("\n", "")
    assert "from other machines" not in place.hub.output()


FORGED = {
    "X-Forwarded-Host": "evil.test",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Prefix": "/evil",
    "X-Forwarded-For": "6.6.6.6",
    "X-Forwarded-Port": "666",
    "X-Real-Ip": "6.6.6.6",
    "X-Scheme": "https",
    "X-Original-Url": "/evil",
    "X-Rewrite-Url": "/evil",
    "Forwarded": "for=6.6.6.6;host=evil.test;proto=https",
    "Via": "1.1 evil.test",
}


def test_who_forges_what_a_proxy_says_gains_nothing(place: Place) -> None:
    """Asked directly, and through nginx, which drops it."""
    for base in (f"http://127.0.0.1:{place.hub.port}", place.nginx.origin.replace(NAME, "127.0.0.1")):
        context = ssl.create_default_context(cafile=str(place.nginx.authority))
        with httpx.Client(base_url=base, headers={**FORGED, "Host": NAME}, verify=context, timeout=30) as client:
            for path in ("/lab/hub/login", "/lab/", "/lab/hub/home", "/lab/user/alice/lab", "/lab/services/mlabhub/"):
                answer = client.get(path, extensions={"sni_hostname": NAME})
                said = f"{answer.text}{answer.headers}"
                assert "evil" not in said
                assert "6.6.6.6" not in said
                assert answer.headers.get("location", "/lab/").startswith("/lab/"), answer.headers
            for path in ("/lab/hub/api/users", "/lab/user/alice/api/contents", "/lab/services/mlabhub/api/v1/servers"):
                assert client.get(path, extensions={"sni_hostname": NAME}).status_code in (302, 403)


def test_logs_name_who_came_through_nginx_and_believe_nobody_else(place: Place) -> None:
    log = place.hub.state / "log" / "hub.log"
    context = ssl.create_default_context(cafile=str(place.nginx.authority))
    with httpx.Client(verify=context, headers={"Host": NAME, "X-Forwarded-For": "6.6.6.6"}) as client:
        url = f"{place.nginx.origin.replace(NAME, '127.0.0.1')}/lab/hub/api/users?through-nginx"
        client.get(url, extensions={"sni_hostname": NAME})
    lines = wait_for(
        lambda: [line for line in log.read_text().splitlines() if "through-nginx" in line], 5, "a log line"
    )
    assert not [line for line in lines if "6.6.6.6" in line]


def test_a_browser_works_through_nginx(place: Place) -> None:
    """Chromium, https, below a path: it logs in, starts, computes in a notebook's kernel, and the doctor is content."""
    with run_chromium(f"--host-resolver-rules=MAP {NAME} 127.0.0.1", "--ignore-certificate-errors") as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 800}, ignore_https_errors=True)
        sockets: list[str] = []
        page.on("websocket", lambda socket: sockets.append(socket.url))
        sign_in(page, f"{place.nginx.origin}/{PREFIX}", "alice", place.password)
        page.wait_for_url("**/services/mlabhub/**")
        page.goto(f"{place.nginx.origin}/{PREFIX}hub/spawn")
        page.click("#start")
        page.wait_for_url("**/user/alice/**", timeout=60_000)
        page.goto(f"{place.nginx.origin}/{PREFIX}user/alice/lab")
        run_in_new_notebook(page, page, "print(6 * 7)")
        expect(page.locator(".jp-Cell-outputArea").first).to_contain_text("42")
        page.goto(f"{place.nginx.origin}/{PREFIX}user/alice/mlabhub/doctor")
        expect(page.locator("#findings li").first).to_be_visible(timeout=30_000)
        found = {row.get_attribute("data-slug"): row.inner_text() for row in page.locator("#findings li.missing").all()}
    assert not found
    assert all(url.startswith(f"wss://{place.nginx.host}/lab/user/alice/") for url in sockets)
    assert sockets
    place.hub.stop_server("alice")


def test_large_files_go_up(place: Place, tmp_path: Path) -> None:
    """Twenty megabytes in one request, the most that JupyterLab sends at once."""
    place.hub.launch("alice", profile="cpu")
    place.hub.wait_ready("alice")
    context = ssl.create_default_context(cafile=str(place.nginx.authority))
    headers = {"Host": place.nginx.host, "Authorization": f"token {place.hub.token('alice')}"}
    body = {"type": "file", "format": "text", "content": "x" * 20_000_000}
    with httpx.Client(verify=context, headers=headers, timeout=60) as client:
        url = f"{place.nginx.origin.replace(NAME, '127.0.0.1')}/lab/user/alice/api/contents/large.txt"
        answer = client.put(url, json=body, extensions={"sni_hostname": NAME})
    assert answer.status_code == 201, answer.text
    place.hub.stop_server("alice")


class _Greedy(BaseHTTPRequestHandler):
    """A person's server that would have a service worker for everybody's pages."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Service-Worker-Allowed", "/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def test_no_persons_server_gets_a_service_worker_for_all_pages(tmp_path: Path) -> None:
    greedy = HTTPServer(("127.0.0.1", 0), _Greedy)
    threading.Thread(target=greedy.serve_forever, daemon=True).start()
    try:
        with run_nginx(tmp_path, greedy.server_port, tls=False) as nginx:
            answer = httpx.get(f"{nginx.origin}/user/alice/worker.js")
    finally:
        greedy.shutdown()
        greedy.server_close()
    assert answer.status_code == 200
    assert "Service-Worker-Allowed" not in answer.headers
