"""Addresses, headers and bodies that nobody sends in good faith, to a real server."""

from __future__ import annotations

import http.client
import json
import re
import tempfile
from collections.abc import Iterator

import httpx
import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

from mlabhub_proxies.parts import PARTS, TOOLS
from mlabhub_proxies.surroundings import Surroundings
from tests.extensions.server import BASE_URL, NAVIGATION, TOKEN, JupyterServer

SIGNED_IN = {"Authorization": f"token {TOKEN}"}


def ask(server: JupyterServer, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    """Send a request line exactly as it is written; return status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in {**SIGNED_IN, **headers}.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    finally:
        connection.close()


@pytest.fixture
def browser(server: JupyterServer) -> Iterator[httpx.Client]:
    """Return a browser that signed in once: it has cookies and no token."""
    with server.stranger(headers=NAVIGATION) as client:
        client.get("tree", params={"token": TOKEN})
        client.get("mlabhub/api/tools")
        yield client


# Paths -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "//",
        "//evil.example/",
        "/../../../../etc/passwd",
        "/..%2f..%2f..%2fetc%2fpasswd",
        "/%2e%2e/%2E%2E/mlabhub/api/tools",
        "/a%3Fb%23c%25d%00",
        "/%0d%0aSet-Cookie:%20a=b",
        "/@169.254.169.254/",
        "/a b".replace(" ", "%20"),
        "/?folder=/home/%E4%B8%AD&a=b+c%2B",
        "/%E4%B8%AD%E6%96%87",
    ],
)
def test_a_path_reaches_the_tool_as_it_was_written_and_nothing_else(server: JupyterServer, path: str) -> None:
    status, body = ask(server, f"{BASE_URL}echo{path}")
    assert status == 200
    assert json.loads(body)["uri"] == path


@pytest.mark.parametrize(
    "path",
    [
        "mlabhub/static/../../../../../../../../etc/passwd",
        "mlabhub/static/..%2f..%2f..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
        "mlabhub/static/%2e%2e/%2e%2e/base.py",
        "mlabhub/static//etc/passwd",
        "mlabhub/static/%2fetc%2fpasswd",
        "mlabhub/static/icons/",
        "mlabhub/static/",
        "mlabhub/static/..%5c..%5cbase.py",
        "mlabhub/static/a%00b",
        "mlabhub/api/tools/..",
        "mlabhub/api/tools/%2e%2e%2fechoes",
        "mlabhub/api/tools/" + "a" * 10_000,
        "mlabhub/nothing",
        "server-proxy/icon/..%2f..%2fetc%2fpasswd",
        "echo2/x",
    ],
)
def test_what_is_not_there(server: JupyterServer, path: str) -> None:
    status, body = ask(server, BASE_URL + path)
    assert status in (400, 403, 404)
    assert "root:" not in body
    assert "Traceback" not in body
    assert "import " not in body


@pytest.mark.parametrize(
    "line",
    [
        "http://evil.example/",
        "http://169.254.169.254/latest/meta-data/",
        f"http://evil.example{BASE_URL}echo/",
        f"http://127.0.0.1{BASE_URL}echo/",
        "https://169.254.169.254:80",
        "*",
        "evil.example:80",
    ],
)
def test_this_is_no_proxy_to_elsewhere(server: JupyterServer, line: str) -> None:
    status, body = ask(server, line)
    assert status in (400, 403, 404)
    assert "headers" not in body
    assert ask(server, line, "CONNECT")[0] in (400, 403, 404, 405)


HOSTS = [
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "[::ffff:169.254.169.254]",
    "[fd00:ec2::254]",
    "[::1]",
    "0.0.0.0",
    "0",
    "127.1",
    "127.0.0.2",
    "localhost.",
    "LOCALHOST",
    "localhost%2F@169.254.169.254",
    "localhost%40169.254.169.254",
    "localhost%23169.254.169.254",
    "127.0.0.1%00.evil.example",
    "metadata.google.internal",
    "kubernetes.default.svc",
    "user@localhost",
]


@pytest.mark.parametrize("kind", ["proxy/", "proxy/absolute/"])
@pytest.mark.parametrize("host", HOSTS)
def test_only_this_machine_is_reached_by_port(server: JupyterServer, kind: str, host: str) -> None:
    status, body = ask(server, f"{BASE_URL}{kind}{host}:80/latest/meta-data")
    assert status in (403, 404)
    assert "ami-id" not in body
    assert "Traceback" not in body


@pytest.mark.parametrize("path", ["80@169.254.169.254/x", "127.0.0.1:80@169.254.169.254/x", "-1/x", "1e3/x", "x"])
def test_what_is_no_port(server: JupyterServer, path: str) -> None:
    assert ask(server, f"{BASE_URL}proxy/{path}")[0] == 404


def test_a_port_where_nobody_listens(server: JupyterServer) -> None:
    for path in ("proxy/1/", "proxy/99999999/", "proxy/absolute/1/"):
        status, body = ask(server, BASE_URL + path)
        assert 500 <= status < 600
        assert "Traceback" not in body


# Without a login ---------------------------------------------------------------------------------------------------

METHODS = ("HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")
ROUTES = [
    "echo/",
    "echo/echo",
    "raw/",
    "proxy/80/",
    "proxy/127.0.0.1:80/",
    "proxy/absolute/80/",
    "proxy/169.254.169.254:80/",
    "mlabhub/api/tools",
    "mlabhub/api/tools/echo",
    "mlabhub/api/alive",
    "mlabhub/static/tools.css",
    "mlabhub/start/echo",
    "absent/",
    "server-proxy/servers-info",
]


@pytest.mark.parametrize("path", [path for path in ROUTES if path != "server-proxy/servers-info"])
async def test_a_websocket_without_a_login(server: JupyterServer, path: str) -> None:
    url = server.url.replace("http:", "ws:") + path
    with pytest.raises(HTTPClientError) as refused:
        await websocket_connect(HTTPRequest(url, request_timeout=20))
    assert refused.value.code == 403


@pytest.mark.parametrize("path", ["echo/echo", "raw/"])
async def test_a_websocket_from_another_sites_page(server: JupyterServer, browser: httpx.Client, path: str) -> None:
    cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    for origin in ("https://evil.example", "null", f"http://127.0.0.1:{server.port}.evil.example"):
        request = HTTPRequest(server.url.replace("http:", "ws:") + path, headers={"Cookie": cookies, "Origin": origin})
        with pytest.raises(HTTPClientError) as refused:
            await websocket_connect(request)
        assert refused.value.code == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_a_change_from_another_sites_page(browser: httpx.Client, method: str) -> None:
    assert browser.request(method, "echo/x").json()["method"] == method
    refused = browser.request(method, "echo/x", headers={"Origin": "https://evil.example"})
    assert refused.status_code == 403
    assert "uri" not in refused.text


@pytest.mark.parametrize("path", ROUTES)
def test_nothing_without_a_login(server: JupyterServer, path: str) -> None:
    sent = ({}, NAVIGATION, {"Authorization": "token wrong"}, {"Cookie": "username-x=forged; _xsrf=a"})
    for method, headers in [*(("GET", headers) for headers in sent), *((method, {}) for method in METHODS)]:
        with server.stranger(headers=headers) as stranger:
            answer = stranger.request(method, path)
        assert answer.status_code in (302, 403, 405, 204)
        if answer.status_code == 302:
            assert answer.headers["location"].startswith(f"{BASE_URL}login?next=")
        elif answer.status_code == 204:
            assert method == "OPTIONS"
        assert "uri" not in answer.text
        assert "state" not in answer.text


def every_address() -> list[str]:
    """Return an address for each route of each part, below the server's."""
    with tempfile.TemporaryDirectory(prefix="jr-") as runtime:
        surroundings = Surroundings.look(TOOLS, "/", {"XDG_RUNTIME_DIR": runtime})
        routes = [route[0] for part in PARTS for route in part(surroundings)]
        surroundings.close()
    examples = (
        *(("(/.*)?", ""), ("/?", "/"), ("?", ""), ("(.*)", "x"), (".*", "x")),
        *(("([a-z]+)", "lab"), ("([^/]+)", "lab"), (r"(\w+)", "1")),
    )
    for pattern, example in examples:
        routes = [route.replace(pattern, example) for route in routes]
    return sorted({route[1:] for route in routes})


@pytest.mark.parametrize("path", every_address())
def test_every_part_asks_for_a_login(server: JupyterServer, path: str) -> None:
    assert re.fullmatch(r"[\w/.-]*", path), f"{path} is a pattern yet: say above what stands for it"
    with server.stranger() as stranger:
        for method, headers in (("GET", {}), ("GET", NAVIGATION), ("POST", {}), ("DELETE", {})):
            answer = stranger.request(method, path, headers=headers)
            if answer.has_redirect_location:
                to = answer.headers["location"]
                assert to == f"{BASE_URL}{path}/" or to.startswith(f"{BASE_URL}login?next=")
            else:
                assert answer.status_code in (403, 405)
        upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"}
        answer = stranger.get(path, headers={**upgrade, "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="})
        assert answer.status_code in (301, 403)


# Forged requests ---------------------------------------------------------------------------------------------------


def test_a_change_needs_the_token_of_our_pages(server: JupyterServer, browser: httpx.Client) -> None:
    body = {"action": "stop"}
    assert browser.get("mlabhub/api/tools").status_code == 200
    for headers in ({}, {"X-XSRFToken": "wrong"}, {"Origin": "https://evil.example"}):
        assert browser.post("mlabhub/api/tools/echo", json=body, headers=headers).status_code in (403, 404)
    assert browser.post("mlabhub/start/echo", data={"back": BASE_URL}).status_code == 403
    page = browser.get("hurt/").text
    if "_xsrf" not in page:
        server.wait_for("hurt", "failed")
        page = browser.get("hurt/").text
    token = re.search(r'name="_xsrf" value="([^"]+)"', page)
    assert token
    stopped = browser.post("mlabhub/api/tools/hurt", json=body, headers={"X-XSRFToken": token[1]})
    assert stopped.json()["state"] == "stopped"


@pytest.mark.parametrize("body", ["", "{", "[]", '"stop"', "null", '{"action": "rm"}', '{"action": {}}', "[" * 100_000])
def test_a_body_that_is_wrong(server: JupyterServer, body: str) -> None:
    with server.client() as client:
        answer = client.post("mlabhub/api/tools/echo", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "bad_request"


@pytest.mark.parametrize(
    "back",
    [
        "https://evil.example/",
        "//evil.example/",
        "/user/bob/echo/",
        "/user/alice/echoes/",
        "javascript:alert(1)",
        "/user/alice/echo/\r\nSet-Cookie: a=b",
        "\\\\evil.example",
        "",
    ],
)
def test_the_button_leads_back_to_the_tool_only(server: JupyterServer, back: str) -> None:
    with server.client() as client:
        answer = client.post("mlabhub/start/echo", data={"back": back})
    assert answer.status_code == 303
    assert answer.headers["location"] == f"{BASE_URL}echo/"
    assert "set-cookie" not in answer.headers or "a=b" not in answer.headers["set-cookie"]


@pytest.mark.parametrize("language", ["zh-CN", "xx", "../../etc", "a" * 10_000, "%00", "%ff", "zh_CN%0d%0a", "{t}"])
def test_a_wish_for_a_language(server: JupyterServer, language: str) -> None:
    for path, headers in ((f"?lang={language}", {}), ("", {"Accept_Language": f"{language[:5000]};q=nan,;;;,q"})):
        status, body = ask(server, f"{BASE_URL}mlabhub/api/tools/echo{path}", **headers)
        assert status == 200
        assert json.loads(body)["slug"] == "echo"


# Headers -----------------------------------------------------------------------------------------------------------


def test_huge_headers_are_refused_and_the_server_stays(server: JupyterServer) -> None:
    for headers in ({"X_Huge": "a" * 200_000}, {"Cookie": "a=b; " * 30_000}, {f"X_{i}": "b" * 500 for i in range(300)}):
        try:
            status, _ = ask(server, f"{BASE_URL}echo/", **headers)
        except (http.client.HTTPException, ConnectionError):
            status = 0  # closed without an answer
        assert status in (0, 400, 431)
        assert ask(server, f"{BASE_URL}echo/")[0] == 200
    status, body = ask(server, f"{BASE_URL}echo/", X_Large="a" * 30_000)
    assert status == 200
    assert len(json.loads(body)["headers"]["X-Large"]) == 30_000


def test_credentials_do_not_reach_a_tool(server: JupyterServer) -> None:
    cookies = (
        "jupyterhub-user-alice=secret; jupyterhub-session-id=secret; _xsrf=secret; username-127-0-0-1-80=secret; "
        'vscode-tkn=kept; theme="dark blue"'
    )
    path = f"{BASE_URL}echo/x?token={TOKEN}&a=1&b=%2F"
    status, body = ask(server, path, Cookie=cookies, X_XSRFToken="secret", X_Kept="yes")
    asked = json.loads(body)
    assert status == 200
    assert asked["uri"] == "/x?a=1&b=%2F"
    assert asked["headers"]["Cookie"] == 'vscode-tkn=kept; theme="dark blue"'
    assert asked["headers"]["X-Kept"] == "yes"
    assert TOKEN not in body
    assert "secret" not in body


def test_cookies_that_are_no_cookies(server: JupyterServer) -> None:
    for cookie in ("=;;=", "a", "\x01=b", "jupyterhub-x=secret, _xsrf=secret", "a=1;jupyterhub-y=secret", "%%%;é=b"):
        status, body = ask(server, f"{BASE_URL}echo/", Cookie=cookie)
        assert status in (200, 400)
        assert "secret" not in body
