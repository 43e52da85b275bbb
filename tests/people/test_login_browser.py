"""`mlabhub login` by the browser, at a real hub: Chromium says yes, and everybody else gets nothing."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import termios
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from playwright.sync_api import Browser

from mlabhub.core.terminal_login import NO_TOKEN, make_challenge, make_word
from tests.chromium import run_chromium, sign_in
from tests.installation import MLABHUB, Installation, wait_for
from tests.people.conftest import NAVIGATION

pytestmark = [pytest.mark.timeout(300)]
PAGE = "hub/login/terminal"
VERIFIER = make_word()
ASK = {"port": "40123", "state": make_word(), "challenge": make_challenge(VERIFIER), "machine": "laptop"}


@pytest.fixture(scope="module")
def alice(hub: Installation) -> str:
    """Return the password of somebody."""
    return hub.add_user("alice")


@pytest.fixture(scope="module")
def session(hub: Installation, alice: str) -> Iterator[httpx.Client]:
    """Return alice's browser, without a browser."""
    with hub.log_in("alice", alice) as session:
        session.headers.update(NAVIGATION)
        yield session


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with run_chromium() as browser:
        yield browser


def _hear_interrupts() -> None:
    """Let a command hear Ctrl-C, as one in a terminal does: what runs tests in the background may have it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Command:
    """`mlabhub login` as it runs on somebody's machine, whose browser writes down what it is to open."""

    def __init__(self, hub: Installation, folder: Path, *more: str, stdin: int = subprocess.DEVNULL) -> None:
        self.opened = folder / "opened"
        browser = folder / "browser"
        browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {self.opened}.new && mv {self.opened}.new {self.opened}\n')
        browser.chmod(0o755)
        left_out = ("MLABHUB_URL", "MLABHUB_TOKEN", "http_proxy", "https_proxy")
        self.environment = {name: value for name, value in os.environ.items() if name not in left_out}
        self.environment |= {"XDG_CONFIG_HOME": str(folder), "BROWSER": str(browser), "DISPLAY": ":9"}
        self.logins = folder / "mlabhub" / "logins.json"
        argv = [MLABHUB, "login", "--url", hub.url, *more]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            argv, stdin=stdin, stdout=pipe, stderr=pipe, env=self.environment, text=True, preexec_fn=_hear_interrupts
        )

    def __enter__(self) -> Command:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def address(self) -> str:
        """Return the address that the browser was to open."""
        wait_for(self.opened.exists, 60, "the browser is opened")
        return self.opened.read_text()

    def end(self) -> tuple[int, str, str]:
        """Return exit status, output and errors."""
        output, errors = self.process.communicate(timeout=60)
        return self.process.returncode, output, errors

    def run(self, *arguments: str) -> str:
        done = subprocess.run([MLABHUB, *arguments], capture_output=True, text=True, env=self.environment, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


def question(session: httpx.Client, **changed: str) -> dict[str, str]:
    """Return the hidden fields of the question."""
    page = session.get(f"{PAGE}?{urlencode({**ASK, **changed})}")
    assert page.status_code == 200, page.text
    return {
        name: unescape(value) for name, value in re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.text)
    }


def grant(session: httpx.Client, **changed: str) -> httpx.Response:
    """Press the button, and stop where it leads."""
    return session.post(PAGE, data={**question(session), **changed}, follow_redirects=False)


def take(hub: Installation, code: str, verifier: str = VERIFIER) -> httpx.Response:
    return httpx.post(f"{hub.url}hub/api/mlabhub/login", json={"code": code, "verifier": verifier})


def code_of(answer: httpx.Response) -> str:
    to = urlsplit(answer.headers["location"])
    assert (answer.status_code, to.scheme, to.netloc, to.path) == (303, "http", "127.0.0.1:40123", "/")
    told = parse_qs(to.query)
    assert told["state"] == [ASK["state"]]
    return told["code"][0]


def tokens(hub: Installation, session: httpx.Client) -> list[dict[str, Any]]:
    """Return alice's tokens that are no login of a browser."""
    headers = {"X-XSRFToken": str(session.cookies.get("_xsrf", path="/hub/"))}
    listed = session.get("hub/api/users/alice/tokens", headers={**headers, "Referer": f"{hub.url}hub/token"})
    found: list[dict[str, Any]] = listed.json()["api_tokens"]
    return [one for one in found if one["note"].startswith("mlabhub login")]


@pytest.mark.browser
def test_a_login_from_beginning_to_end(hub: Installation, alice: str, browser: Browser, tmp_path: Path) -> None:
    with Command(hub, tmp_path) as command:
        page = browser.new_page(locale="en")
        sign_in(page, command.address(), "alice", alice)
        page.wait_for_selector("#seconds")
        port = parse_qs(urlsplit(command.address()).query)["port"][0]
        assert "act as alice?" in page.inner_text("h1")
        assert f"http://127.0.0.1:{port}" in page.inner_text("main")
        assert "You are an administrator" not in page.inner_text("main")
        page.select_option("#seconds", "86400")
        page.click("main button[type=submit]")
        page.wait_for_url(f"http://127.0.0.1:{port}/**")
        assert "You can close this page" in page.inner_text("main")
        status, output, errors = command.end()
        assert (status, output) == (0, f"You are alice at {hub.url}. The token is kept in {command.logins}.\n"), errors
        kept = json.loads(command.logins.read_text())["hubs"][0]["token"]
        assert kept not in errors
        assert kept not in hub.output()
        assert json.loads(command.run("server", "list", "--json")).keys() == {"servers"}
        assert "ended at the hub" in command.run("logout")
        answer = httpx.get(f"{hub.url}hub/api/user", headers={"Authorization": f"token {kept}"})
        assert answer.status_code == 403
        page.goto(f"{hub.url}hub/token")
        assert page.url == f"{hub.url}hub/token", "the browser is still logged in"


@pytest.mark.browser
def test_a_no_ends_the_command(hub: Installation, browser: Browser, tmp_path: Path) -> None:
    """Also the page's own rules are kept by the browser: its form leads to no other port."""
    admin, password = hub.first_admin()
    with Command(hub, tmp_path) as command:
        page = browser.new_page(locale="en")
        sign_in(page, command.address(), admin, password)
        page.wait_for_selector("#seconds")
        assert "You are an administrator" in page.inner_text("main")
        blocked = page.evaluate(
            """() => new Promise(done => {
                addEventListener('securitypolicyviolation', event => done(event.effectiveDirective));
                const form = document.querySelector('main form');
                form.action = 'http://127.0.0.1:1025/';
                form.submit();
            })"""
        )
        assert blocked == "form-action"
        page.goto(command.address())
        page.click("main a.btn")
        page.wait_for_url("http://127.0.0.1:*/?error=denied*")
        status, _, errors = command.end()
        assert status == 1
        assert errors.endswith("mlabhub: You said no in the browser. Nothing is kept.\n")
        assert not command.logins.exists()


def test_ctrl_c_ends_it_in_words_and_the_terminal_shows_again(hub: Installation, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with Command(hub, tmp_path, "--no-browser", stdin=theirs) as command:
        assert command.process.stderr is not None
        said = ""
        while "paste" not in said:
            said += os.read(command.process.stderr.fileno(), 4096).decode()
        assert f"{hub.url}{PAGE}?port=" in said
        assert f"{hub.url}hub/token" in said
        command.process.send_signal(signal.SIGINT)
        status, _, errors = command.end()
        assert status == 1
        assert errors.endswith("mlabhub: It was ended before somebody said yes in the browser. Nothing is kept.\n")
        assert not command.opened.exists()
        assert termios.tcgetattr(theirs)[3] & termios.ECHO
        os.close(ours)
        os.close(theirs)


def test_the_page_says_what_it_does_and_does_nothing_by_itself(hub: Installation, session: httpx.Client) -> None:
    page = session.get(
        f"{PAGE}?{urlencode({**ASK, 'machine': '<b>your bank</b>'})}", headers={"Sec-Fetch-Site": "cross-site"}
    )
    assert page.status_code == 200
    assert "<b>your" not in page.text
    assert "Say yes only if you ran mlabhub login yourself" in page.text
    assert "http://127.0.0.1:40123" in page.text
    rules = dict(part.partition(" ")[::2] for part in page.headers["content-security-policy"].split("; "))
    assert rules["form-action"] == "'self' http://127.0.0.1:40123"
    assert rules["frame-ancestors"] == "'none'"
    assert page.headers["cross-origin-opener-policy"] == "noopener-allow-popups"
    assert page.history[-1].headers["cross-origin-opener-policy"] == "same-origin"
    assert tokens(hub, session) == []


def test_a_code_buys_one_token_of_its_own(hub: Installation, session: httpx.Client) -> None:
    code = code_of(grant(session, seconds="86400"))
    assert tokens(hub, session) == [], "nothing is made before the command asks"
    answer = take(hub, code)
    assert answer.status_code == 200
    headers = {"Authorization": f"token {answer.json()['token']}"}
    [made] = tokens(hub, session)
    assert made["note"] == "mlabhub login on laptop"
    assert made["expires_at"] is not None
    again = take(hub, code)
    assert (again.status_code, again.json()["message"]) == (403, NO_TOKEN)
    mine = httpx.get(f"{hub.url}hub/api/user", headers=headers).json()
    assert mine["name"] == "alice"
    assert httpx.delete(f"{hub.url}hub/api/users/alice/tokens/{mine['token_id']}", headers=headers).status_code == 204
    assert tokens(hub, session) == []
    assert answer.json()["token"] not in hub.output()
    assert code not in hub.output()


def test_a_wrong_verifier_buys_nothing(hub: Installation, session: httpx.Client) -> None:
    code = code_of(grant(session))
    for verifier in (make_word(), VERIFIER):
        answer = take(hub, code, verifier)
        assert (answer.status_code, answer.json()["message"]) == (403, NO_TOKEN)
    for body in ("[]", "{}", '{"code": 1, "verifier": null}'):
        assert httpx.post(f"{hub.url}hub/api/mlabhub/login", content=body).status_code == 403


def test_a_code_dies_with_the_logins_of_its_person(hub: Installation) -> None:
    with hub.log_in("carol", hub.add_user("carol")) as session:
        session.headers.update(NAVIGATION)
        code = code_of(grant(session))
        admin = {"Authorization": f"token {hub.token(hub.first_admin()[0])}"}
        shut = httpx.post(f"{hub.url}hub/api/mlabhub/accounts/carol/close", headers=admin, json={})
        assert shut.status_code == 200, shut.text
    assert take(hub, code).status_code == 403


@pytest.mark.parametrize(
    "changed",
    [
        {"port": "80"},
        {"port": "40123@evil.example"},
        {"port": "x"},
        {"state": "1"},
        {"challenge": "1"},
        {"machine": ""},
    ],
    ids=str,
)
def test_an_address_that_no_command_made(session: httpx.Client, changed: dict[str, str]) -> None:
    page = session.get(f"{PAGE}?{urlencode({**ASK, **changed})}")
    assert page.status_code == 400
    assert "This address is not whole" in page.text
    assert session.post(PAGE, data={**question(session), **changed}, follow_redirects=False).status_code == 400


def test_a_form_that_the_question_did_not_show_grants_nothing(hub: Installation, session: httpx.Client) -> None:
    fields = question(session)
    for changed in ({"confirm": ""}, {"port": "40124"}, {"machine": "other"}, {"challenge": make_challenge("x")}):
        answer = session.post(PAGE, data={**fields, **changed}, follow_redirects=False)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/hub/login/terminal?")
    assert "Look at it again, then decide" in session.get(answer.headers["location"]).text
    without = {name: value for name, value in fields.items() if name != "_xsrf"}
    assert session.post(PAGE, data=without, follow_redirects=False).status_code == 403
    code_of(session.post(PAGE, data=fields, follow_redirects=False))
    used = session.post(PAGE, data=fields, follow_redirects=False)
    assert used.headers["location"].startswith("/hub/login/terminal?"), "a question is answered once"


@pytest.mark.parametrize(
    "sent",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Mode": "cors"},
        {"Sec-Fetch-Dest": "iframe"},
    ],
    ids=str,
)
def test_other_pages_and_scripts_press_no_button(session: httpx.Client, sent: dict[str, str]) -> None:
    assert session.post(PAGE, data=question(session), headers=sent, follow_redirects=False).status_code == 403


def test_a_token_neither_sees_nor_answers_the_question(hub: Installation, alice: str) -> None:
    headers = {"Authorization": f"token {hub.token('alice')}", **NAVIGATION}
    with httpx.Client(base_url=hub.url, headers=headers) as client:
        assert client.get(f"{PAGE}?{urlencode(ASK)}").headers["location"].startswith("/hub/login?next=")
        assert client.post(PAGE, data=ASK).status_code == 403


def test_who_is_not_logged_in_is_led_to_the_login(hub: Installation) -> None:
    answer = httpx.get(f"{hub.url}{PAGE}?{urlencode(ASK)}", headers=NAVIGATION)
    assert answer.status_code == 302
    assert answer.headers["location"].startswith("/hub/login?next=")
    assert httpx.post(f"{hub.url}{PAGE}", data=ASK, headers=NAVIGATION).status_code == 403
