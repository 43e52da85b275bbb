"""`mlabhub doctor SERVER` against a real hub: through nginx, for administrators and people, and whatever goes wrong."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from tests.chromium import run_chromium, sign_in
from tests.e2e.place import PREFIX, Place
from tests.installation import MLABHUB
from tests.nginx import NAME, run_nginx

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def running(place: Place) -> Iterator[Place]:
    """Let alice have a default server and one that she called "My_work", and bob an account."""
    place.hub.add_user("bob", "nlp")
    with place.hub.api("alice") as alice:
        for name, typed in (("", ""), ("my-work", "My_work")):
            body = {"server_name": name, "display_name": typed, "user_options": {"profile": "cpu"}}
            assert alice.post("services/mlabhub/api/v1/launches", json=body).status_code == 201
    place.hub.wait_ready("alice")
    place.hub.wait_ready("alice", "my-work")
    yield place
    place.hub.stop_server("alice")
    place.hub.stop_server("alice", "my-work")


def doctor(place: Place, *arguments: str, by: str = "", token: str = "") -> subprocess.CompletedProcess[str]:
    """Run it as the administrator of the machine, or ``by`` a person with a token."""
    environment = {**os.environ, "SSL_CERT_FILE": str(place.nginx.authority), "NO_COLOR": "1"}
    argv = [MLABHUB, "doctor", *arguments]
    if by:
        environment |= {"MLABHUB_URL": f"http://127.0.0.1:{place.hub.port}/{PREFIX}", "MLABHUB_TOKEN": token}
        environment["MLABHUB_TOKEN"] = token or place.hub.token(by)
    else:
        argv += ["--state", str(place.hub.state)]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60, check=False)


def through(place: Place) -> tuple[str, str]:
    return "--url", f"https://localhost:{place.nginx.port}/{PREFIX}"


def found(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, str]]:
    return {one["name"]: one for one in json.loads(done.stdout)}


@pytest.mark.parametrize("server", ["alice/", "alice/my-work", "alice/My_work"])
def test_an_administrator_looks_through_nginx(running: Place, server: str) -> None:
    done = doctor(running, server, *through(running), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    findings = found(done)
    assert findings["Websockets"]["status"] == "ok"
    assert findings["Base path"]["found"].startswith("/lab/user/alice/")
    assert findings["Who reaches your ports"]["status"] == "better"  # plain processes
    assert findings["Service worker"]["status"] == "ok"


@pytest.mark.parametrize("server", ["alice/", "my-work", "My_work"])
def test_a_person_looks_at_a_server_of_their_own(running: Place, server: str) -> None:
    done = doctor(running, server, by="alice")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Websockets" in done.stdout


def test_what_nginx_lacks_is_named_and_the_status_says_so(running: Place, tmp_path: Path) -> None:
    changes = {"        proxy_set_header Upgrade $http_upgrade;\n": ""}
    with run_nginx(tmp_path, running.hub.port, tls=False, path="/lab/", changes=changes) as nginx:
        done = doctor(running, "alice/", "--url", f"{nginx.origin}/lab/")
    assert done.returncode == 1
    assert "MISSING Websockets" in done.stdout
    assert "proxy_set_header Upgrade $http_upgrade;" in done.stdout


def test_a_prefix_that_nginx_cuts_off_is_named(running: Place, tmp_path: Path) -> None:
    cut = {f"{running.hub.port};": f"{running.hub.port}/;"}
    with run_nginx(tmp_path, running.hub.port, tls=False, path="/lab/", changes=cut) as nginx:
        done = doctor(running, "alice/", "--url", f"{nginx.origin}/lab/")
    assert done.returncode == 1
    assert "a prefix such as /lab/ must reach the hub" in done.stderr


def last_activity(place: Place) -> str:
    """Return what the server will tell the hub."""
    with place.hub.api("alice") as alice:
        return str(alice.get("user/alice/my-work/api/status").json()["last_activity"])


@pytest.mark.browser
def test_the_page_of_a_server_shows_the_report(running: Place) -> None:
    """Through nginx, in a browser: before it has opened the server it says so, then it shows what the doctor finds."""
    address = f"{running.nginx.origin}/{PREFIX}"
    with running.hub.api("alice") as alice:
        servers = alice.get("services/mlabhub/api/v1/servers").json()["servers"]
    (launch_id,) = [one["launch_id"] for one in servers if one["server_name"] == "my-work"]
    with run_chromium(f"--host-resolver-rules=MAP {NAME} 127.0.0.1", "--ignore-certificate-errors") as browser:
        page = browser.new_page(ignore_https_errors=True, locale="en-US")
        sign_in(page, address, "alice", running.password)
        page.wait_for_url("**/services/mlabhub/**")
        page.goto(f"{address}services/mlabhub/servers/{launch_id}")
        expect(page.locator("#reach-said")).to_contain_text("did not let this page look", timeout=30_000)
        page.click("#doctor")
        expect(page.locator("#findings li").first).to_be_visible(timeout=30_000)
        page.goto(f"{address}services/mlabhub/servers/{launch_id}")
        expect(page.locator("#reach-fine")).to_contain_text("An echo took", timeout=30_000)
        expect(page.locator("#reach-when")).to_have_text("Checked just now.")
        shown = page.locator("#reach-wrong").inner_text()
        assert "Who reaches your ports" in shown  # plain processes
        assert "Websockets" not in shown
        before = last_activity(running)
        again = page.locator("#reach-again")
        with page.expect_response("**/mlabhub/api/doctor?*") as answered:
            again.click()
        assert answered.value.status == 200
        expect(again).to_be_enabled()
        assert last_activity(running) == before
        # Pages of other people's servers come from the same address, and have no key.
        api = page.locator("#reach").get_attribute("data-api")
        assert page.evaluate("address => fetch(address).then(answer => answer.status)", api) == 403


WRONG: list[tuple[tuple[str, ...], str, int, str]] = [
    (("nobody/",), "", 1, "has no user"),
    (("bob/",), "", 1, "does not run"),
    (("alice/other",), "", 1, "There is no server"),
    (("alice/",), "bob", 1, ""),
    (("other",), "alice", 1, "There is no server"),
    (("work",), "", 2, "Whose server"),
    (("a/b/c",), "", 2, "is no server"),
    (("/",), "", 2, "is no server"),
    (("",), "", 2, "is no server"),
    (("alice/", "--url", "lab.example.org"), "", 2, "is no address"),
    (("alice/", "--url", "http://127.0.0.1:9/lab/"), "", 3, "Nothing answers"),
    (("alice/\x1b[31m",), "", 1, "There is no server"),
    (("..%2f/x",), "", 1, "has no user"),
]


@pytest.mark.parametrize(("arguments", "by", "status", "words"), WRONG, ids=str)
def test_what_cannot_be_is_one_line(
    running: Place, arguments: tuple[str, ...], by: str, status: int, words: str
) -> None:
    done = doctor(running, *arguments, by=by)
    assert done.returncode == status, done.stdout + done.stderr
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "\x1b" not in done.stderr


def test_a_token_that_the_hub_does_not_know(running: Place) -> None:
    for server in ("alice/", "my-work"):
        done = doctor(running, server, by="alice", token="0" * 32)
        assert done.returncode == 1
        assert len(done.stderr.strip().splitlines()) == 1


class _Ears(BaseHTTPRequestHandler):
    """A server that keeps what it is told."""

    heard: list[str]

    def do_GET(self) -> None:
        self.heard.append(self.headers.get("Authorization", ""))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def test_no_server_gets_hold_of_the_rights_of_who_asks(running: Place) -> None:
    """What a server, or a wrong address, is sent opens that one server, and nothing when the command has ended."""
    _Ears.heard = []
    ears = HTTPServer(("127.0.0.1", 0), _Ears)
    threading.Thread(target=ears.serve_forever, daemon=True).start()
    try:
        done = doctor(running, "alice/", "--url", f"http://127.0.0.1:{ears.server_port}/")
        assert done.returncode == 1
    finally:
        ears.shutdown()
        ears.server_close()
    assert _Ears.heard
    for secret in ("command-line-token", "service-token", "spawner"):
        assert (running.hub.state / "secrets" / secret).read_text() not in "".join(_Ears.heard)
    with httpx.Client(base_url=running.hub.url, headers={"Authorization": _Ears.heard[0]}) as thief:
        assert thief.get("hub/api/user").status_code == 403
        assert thief.get("user/alice/api/status").status_code in (302, 403)
