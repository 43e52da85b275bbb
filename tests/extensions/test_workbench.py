"""The bar around the tools: who may open it and frame what, and where its addresses lead."""

from __future__ import annotations

import json
import re

import pytest

from mlabhub_proxies.surroundings import Surroundings
from tests.extensions.server import NAVIGATION, JupyterServer, Start


def page_of(html: str) -> dict[str, object]:
    """Return what the page tells its script."""
    found = re.search(r'<script type="application/json" id="page">(.*?)</script>', html, re.DOTALL)
    assert found
    values: dict[str, object] = json.loads(found[1])
    return values


def test_the_bar_shows_what_is_offered(server: JupyterServer) -> None:
    with server.client(headers=NAVIGATION) as browser:
        assert browser.get("mlabhub/").headers["Location"] == "/user/alice/mlabhub/open/lab"
        answer = browser.get("mlabhub/open/echo/some/file?folder=/a")
        assert answer.status_code == 200
        tools = page_of(answer.text)["tools"]
        assert isinstance(tools, list)
        known = browser.get("mlabhub/api/tools").json()["tools"]
        assert [tool["slug"] for tool in tools] == [tool["slug"] for tool in known]
        assert 'aria-selected="true"' in re.findall(r'<a role="tab" id="tab-echo"[^>]*>', answer.text)[0]
        refused = browser.get("mlabhub/open/absent")
        assert refused.status_code == 404
        assert "This server does not offer Absent." in refused.text
        assert browser.get("mlabhub/open/nothing").status_code == 404


@pytest.mark.parametrize("safe", ["", "1"])
def test_the_bar_says_that_it_is_safe_mode(start: Start, safe: str) -> None:
    with start(offer={"echo": ["serve"]}, environ={"MLABHUB_SAFE": safe}).client(headers=NAVIGATION) as browser:
        assert ("Safe mode</strong>" in browser.get("mlabhub/open/echo").text) == bool(safe)


def test_only_the_bar_may_frame(server: JupyterServer) -> None:
    with server.client(headers=NAVIGATION) as browser:
        bar = browser.get("mlabhub/open/echo")
        assert "frame-ancestors 'none'" in bar.headers["Content-Security-Policy"]
        page = page_of(bar.text)
        for path in ("mlabhub/open/echo", "mlabhub/again", "terminal/", "mlabhub/doctor", "dies/", "mlabhub/nothing"):
            without = browser.get(path).headers["Content-Security-Policy"]
            assert "frame-ancestors 'none'" in without, path
            with_key = browser.get(path, params={str(page["argument"]): str(page["key"])})
            with_another = browser.get(path, params={str(page["argument"]): "x" * 32})
            assert "frame-ancestors 'none'" not in with_key.headers["Content-Security-Policy"]
            assert with_another.headers["Content-Security-Policy"] == without
        for destination in ("iframe", "empty", "embed"):
            framed = browser.get("mlabhub/open/echo", headers={"Sec-Fetch-Dest": destination})
            assert framed.status_code == 403
            assert str(page["key"]) not in framed.text


def test_a_link_of_a_framed_page_leads_to_one_that_may_be_framed(server: JupyterServer) -> None:
    with server.client(headers=NAVIGATION) as browser:
        browser.get("hurt/")
        server.wait_for("hurt", "failed")
        page = page_of(browser.get("mlabhub/open/hurt").text)
        key = {str(page["argument"]): str(page["key"])}
        links = [*re.findall(r'href="([^"]*doctor[^"]*)"', browser.get("hurt/", params=key).text)]
    assert links == [f"/user/alice/mlabhub/doctor?{page['argument']}={page['key']}"]


def test_another_sites_page_cannot_frame_a_tool(server: JupyterServer) -> None:
    with server.client() as client:
        policies = client.get("echo/").headers.get_list("Content-Security-Policy")
        assert "frame-ancestors 'self'" in policies
        own = client.get("echo/policy").headers.get_list("Content-Security-Policy")
        assert own == ["script-src 'self'", "frame-ancestors 'self'"]


def test_not_without_login(server: JupyterServer) -> None:
    with server.stranger(headers=NAVIGATION) as stranger:
        for path in ("mlabhub/", "mlabhub/open/", "mlabhub/open/echo", "mlabhub/again"):
            assert stranger.get(path).status_code in (302, 403), path


def test_a_heartbeat_is_no_activity(server: JupyterServer) -> None:
    with server.client() as client:
        before = client.get("api/status").json()["last_activity"]
        assert client.get("mlabhub/api/alive").status_code == 204
        assert client.get("mlabhub/api/tools").status_code == 200
        assert client.get("api/status").json()["last_activity"] == before
    with server.stranger() as stranger:
        assert stranger.get("mlabhub/api/alive").status_code == 403


@pytest.mark.parametrize(
    ("environ", "name", "home"),
    [
        ({}, "mlabhub", None),
        ({"JUPYTERHUB_USER": "alice", "JUPYTERHUB_BASE_URL": "/"}, "alice", "/services/mlabhub/"),
        (
            {"JUPYTERHUB_USER": "a", "JUPYTERHUB_SERVER_NAME": "b", "JUPYTERHUB_BASE_URL": "/x/"},
            "a / b",
            "/x/services/mlabhub/",
        ),
        (
            {"JUPYTERHUB_BASE_URL": "/", "JUPYTERHUB_PUBLIC_HUB_URL": "https://hub.example/hub/"},
            "mlabhub",
            "https://hub.example/services/mlabhub/",
        ),
    ],
    ids=["no-hub", "default", "named", "subdomains"],
)
def test_names_and_home(environ: dict[str, str], name: str, home: str | None) -> None:
    server = Surroundings.look((), "/user/alice/", environ)
    assert (server.name, server.hub_home) == (name, home)
