"""``mlabhub login`` and ``logout`` over real TLS, with an authority of the test's own: what is kept, or refused."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tornado.httpserver import HTTPServer
from tornado.web import RequestHandler
from typer.testing import CliRunner, Result

from mlabhub.cli import app, exit_status
from mlabhub.cli.address import read_hub_address
from mlabhub.cli.login import check_token
from mlabhub.cli.login_browser import DISPLAYS
from mlabhub.cli.logins import Login, Logins, change_logins, logins_file, read_logins
from mlabhub.errors import InvalidConfiguration, MLabError, NotPermitted, Unavailable
from tests.cli.json_shapes import read, read_shapes
from tests.installation import free_port, wait_for
from tests.service.conftest import Running, running
from tests.site.mirrors import make_certificates

__all__ = ["running"]

ELSEWHERE = "https://other.example.org/"


class Hub:
    """A hub that knows the tokens of the service's test, in front of which there is TLS."""

    def __init__(self, running: Running, port: int, authority: Path) -> None:
        self.running = running
        self.url = f"https://localhost:{port}/"
        self.authority = authority
        self.ended: list[str] = []
        self.asks_by_a_page = True

    def who(self, request: RequestHandler) -> str | None:
        token = request.request.headers.get("Authorization", "").removeprefix("token ")
        name = token.removeprefix("t-")
        known = token.startswith("t-") and name in self.running.hub.users and token not in self.ended
        return name if known else None

    async def run(self, *arguments: str, typed: str = "") -> Result:
        return await asyncio.to_thread(CliRunner().invoke, app, list(arguments), input=typed)

    async def login(self, who: str, *more: str) -> Result:
        arguments = ("login", "--url", self.url, "--token-stdin", "--ca", str(self.authority), *more)
        return await self.run(*arguments, typed=f"t-{who}\n")


class Self(RequestHandler):
    """``GET user``, and the end of a token."""

    def initialize(self, hub: Hub) -> None:
        self.hub = hub

    def check_xsrf_cookie(self) -> None:
        """Let a token in, as the hub does."""

    def get(self) -> None:
        if (name := self.hub.who(self)) is None:
            self.set_status(403)
            self.write({"status": 403, "message": "Missing or invalid credentials."})
        else:
            self.write({"kind": "user", "name": name, "admin": name == "admin", "token_id": f"a-{name}"})

    def delete(self, name: str, token_id: str) -> None:
        assert self.hub.who(self) == name
        assert token_id == f"a-{name}"
        self.hub.ended.append(f"t-{name}")
        self.set_status(204)


class AsksByPage(RequestHandler):
    """Whether there is a page that asks; older hubs have none."""

    def initialize(self, hub: Hub) -> None:
        self.hub = hub

    def get(self) -> None:
        self.set_status(200 if self.hub.asks_by_a_page else 404)
        self.write({"page": "login/terminal"})


class Moved(RequestHandler):
    """A page that leads elsewhere."""

    def get(self) -> None:
        self.redirect(ELSEWHERE)


@pytest.fixture
async def hub(running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hub]:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "of-alice"))
    for name in ("MLABHUB_URL", "MLABHUB_TOKEN", "SSL_CERT_FILE", "MLABHUB_ALLOW_HTTP"):
        monkeypatch.delenv(name, raising=False)
    certificate, key = make_certificates(tmp_path, names=("localhost",))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    port = free_port()
    one = Hub(running, port, tmp_path / "company.pem")
    running.service.application.add_handlers(
        ".*",
        [
            ("/hub/api/user", Self, {"hub": one}),
            (r"/hub/api/users/([^/]+)/tokens/([^/]+)", Self, {"hub": one}),
            ("/hub/api/mlabhub/login", AsksByPage, {"hub": one}),
            ("/moved/hub/api/user", Moved),
        ],
    )
    server = HTTPServer(running.service.application, ssl_options=context)
    server.listen(port, "127.0.0.1")
    yield one
    server.stop()
    await server.close_all_connections()


def refused(result: Result, kind: type[MLabError], status: int) -> str:
    """Return the sentence of a refusal, in which there is no token."""
    assert isinstance(result.exception, kind), (result.output, result.exception)
    assert exit_status(result.exception) == status
    assert "t-alice" not in str(result.exception) + result.output
    return str(result.exception)


async def test_one_logs_in_uses_the_hub_and_logs_out(hub: Hub) -> None:
    done = await hub.login("alice")
    assert done.output == f"You are alice at {hub.url}. The token is kept in {logins_file()}.\n"
    assert logins_file().stat().st_mode & 0o777 == 0o600
    assert (await hub.run("queue")).output == "Nobody waits.\n"
    assert json.loads((await hub.run("server", "list", "--json")).output) == {"servers": []}
    refused(await hub.run("idle", "list"), NotPermitted, 1)
    assert "an administrator" in (await hub.login("admin")).output
    assert (await hub.run("idle", "list")).exit_code == 0
    out = await hub.run("logout")
    assert out.output == f"{hub.url}: the token of admin is forgotten and ended at the hub.\n"
    assert hub.ended == ["t-admin"]
    assert "t-admin" not in logins_file().read_text()
    assert (await hub.run("logout")).output == "Nobody is logged in.\n"
    documents = {"login": await hub.login("alice", "--json"), "logout": await hub.run("logout", "--json")}
    shapes = read_shapes()
    assert [shapes[f"mlabhub {verb}"].faults(read(done.stdout)) for verb, done in documents.items()] == [[], []]


async def test_an_unknown_authority_is_named_and_can_be_trusted(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("login", "--url", hub.url, "--token-stdin")
    said = refused(await hub.run(*arguments, typed="t-alice\n"), Unavailable, 3)
    assert "certificate" in said
    assert "--ca FILE" in said
    monkeypatch.setenv("SSL_CERT_FILE", str(hub.authority))
    assert json.loads((await hub.run(*arguments, "--json", typed="t-alice\n")).output) == {
        "url": hub.url,
        "user": "alice",
        "admin": False,
    }
    hub.authority.write_text("nothing")
    said = refused(await hub.login("alice"), InvalidConfiguration, 2)
    assert "is not a file of certificates" in said


async def test_nothing_is_kept_of_what_the_hub_does_not_know(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in DISPLAYS:
        monkeypatch.delenv(name, raising=False)
    assert "does not know this token" in refused(await hub.login("mallory"), NotPermitted, 1)
    url = hub.url + "moved/"
    moved = await hub.run("login", "--url", url, "--token-stdin", "--ca", str(hub.authority), typed="t-alice\n")
    assert ELSEWHERE in refused(moved, Unavailable, 3)
    nowhere = await hub.run("login", "--url", f"https://localhost:{free_port()}/", "--token-stdin", typed="t-alice\n")
    assert "does not answer" in refused(nowhere, Unavailable, 3)
    assert "There is no terminal" in refused(await hub.run("login", "--url", hub.url), InvalidConfiguration, 2)
    assert "Say which hub" in refused(await hub.run("login"), InvalidConfiguration, 2)
    assert read_logins() == Logins()


async def test_a_token_goes_unencrypted_to_this_machine_alone(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("login", "--url", "http://192.0.2.7/", "--token-stdin")
    assert "--allow-http" in refused(await hub.run(*arguments, typed="t-alice\n"), InvalidConfiguration, 2)
    monkeypatch.setenv("MLABHUB_URL", "http://192.0.2.7/hub/")
    monkeypatch.setenv("MLABHUB_TOKEN", "t-alice")
    assert "MLABHUB_ALLOW_HTTP=1" in refused(await hub.run("queue"), InvalidConfiguration, 2)
    here = hub.running.settings.service_url.removesuffix("services/mlabhub/")
    monkeypatch.setenv("MLABHUB_URL", here)
    assert (await hub.run("queue")).exit_code == 0


async def test_the_environment_goes_before_what_is_kept(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    change_logins(lambda kept: kept.keep(Login(ELSEWHERE, "bob", "t-bob")))
    assert (await hub.login("alice")).exit_code == 0
    change_logins(lambda kept: Logins(ELSEWHERE, kept.hubs))
    monkeypatch.setenv("MLABHUB_URL", hub.url.rstrip("/"))
    assert (await hub.run("queue")).output == "Nobody waits.\n"  # with the token that is kept for that one
    monkeypatch.setenv("MLABHUB_TOKEN", "wrong")
    monkeypatch.setenv("SSL_CERT_FILE", str(hub.authority))
    refused(await hub.run("queue"), NotPermitted, 1)
    monkeypatch.setenv("MLABHUB_URL", "https://third.example.org/")
    monkeypatch.delenv("MLABHUB_TOKEN")
    assert "mlabhub login --url https://third.example.org/" in refused(await hub.run("queue"), InvalidConfiguration, 2)


async def test_a_hub_that_is_away_is_forgotten_all_the_same(hub: Hub) -> None:
    gone = f"https://localhost:{free_port()}/"
    change_logins(lambda kept: kept.keep(Login(gone, "alice", "t-alice")))
    told = refused(await hub.run("logout", "--json"), Unavailable, 3)
    assert "end it on the page Tokens" in told
    assert read_logins() == Logins()
    assert "there are: none" in refused(await hub.run("logout", "--url", gone), InvalidConfiguration, 2)


async def test_a_file_that_others_can_read_is_refused(hub: Hub) -> None:
    await hub.login("alice")
    logins_file().chmod(0o640)
    assert "chmod 600" in refused(await hub.run("queue"), InvalidConfiguration, 2)
    logins_file().chmod(0o600)
    for damaged in (
        "{",
        "[]",
        '{"hubs": [{"url": 1}]}',
        '{"current": null, "hubs": [{"url": 1, "user": "", "token": 2}]}',
    ):
        logins_file().write_text(damaged)
        assert "is damaged" in refused(await hub.run("queue"), InvalidConfiguration, 2)


@pytest.mark.parametrize("by_a_page", [True, False], ids=["beside the browser", "at a hub without the page"])
async def test_it_is_asked_for_on_a_terminal_and_not_shown(hub: Hub, by_a_page: bool) -> None:
    hub.asks_by_a_page = by_a_page
    shown, ended = await asyncio.to_thread(type_token, "login", "--url", hub.url, "--ca", str(hub.authority))
    assert ended == 0
    assert f"{hub.url}hub/token" in shown
    assert (f"{hub.url}hub/login/terminal?port=" in shown) == by_a_page
    assert "You are alice" in shown
    assert "t-alice" not in shown


def type_token(*arguments: str) -> tuple[str, int]:
    """Run the program on a terminal without a display, type a token when it asks; return what is seen, and the end."""
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name not in DISPLAYS}
    command = [sys.executable, "-c", "from mlabhub.cli import main; main()", *arguments]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""

    def asks() -> bool:
        nonlocal shown
        shown += os.read(ours, 4096)
        return b"not shown" in shown

    wait_for(asks, 60, "it asks")
    os.write(ours, b"t-alice\n")
    ended = process.wait(60)
    with contextlib.suppress(OSError):  # how a terminal ends
        while more := os.read(ours, 4096):
            shown += more
    os.close(ours)
    return shown.decode(), ended


def test_two_that_log_in_at_once_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    code = (
        "import sys\nfrom mlabhub.cli.logins import *\n"
        "for n in range(20): change_logins(lambda kept: kept.keep(Login(f'https://{sys.argv[1]}-{n}/', 'a', 't')))"
    )
    both = [subprocess.Popen([sys.executable, "-c", code, name]) for name in "ab"]
    assert [one.wait(120) for one in both] == [0, 0]
    assert len(read_logins().hubs) == 40
    assert sorted(one.name for one in logins_file().parent.iterdir()) == ["logins.json", "logins.lock"]


def test_the_last_one_counts_and_the_one_before_it_after_a_logout() -> None:
    one, two = Login("https://a/", "a", "t"), Login("https://b/", "b", "t")
    both = Logins().keep(one).keep(two)
    assert both.find(None) == two
    assert both.find("https://a/") == one
    assert both.forget("https://b/").find(None) == one
    assert both.forget("https://a/").find(None) == two
    assert both.keep(one).forget("https://a/").forget("https://b/") == Logins()
    assert "'t'" not in repr(both)


@pytest.mark.parametrize(
    ("typed", "address"),
    [
        ("lab.example.org", "https://lab.example.org/"),
        (" HTTPS://Lab.Example.org:8443/Lab/hub/home?x=1#y ", "https://lab.example.org:8443/Lab/"),
        ("http://127.0.0.1:8000/user/alice/lab", "http://127.0.0.1:8000/"),
        ("https://lab/services/mlabhub/queue", "https://lab/"),
        ("https://hub.example.org/hubs", "https://hub.example.org/hubs/"),
    ],
)
def test_an_address_as_a_browser_shows_it(typed: str, address: str) -> None:
    assert read_hub_address(typed) == address


@pytest.mark.parametrize("typed", ["", "ftp://lab/", "http://", "x y", "https://lab:99999/", "https://[::1", "a\nb"])
def test_what_is_no_address(typed: str) -> None:
    with pytest.raises(InvalidConfiguration, match="no address of a hub"):
        read_hub_address(typed)


def test_a_password_in_an_address_is_not_repeated() -> None:
    with pytest.raises(InvalidConfiguration, match="no name or password") as error:
        read_hub_address("https://alice:secret@lab/")
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("typed", ["", " \n", "a b", "t\x1bx", "é", "t" * 5000])
def test_what_is_no_token(typed: str) -> None:
    with pytest.raises(InvalidConfiguration, match="no token"):
        check_token(typed)
    assert check_token(" t-alice\r\n") == "t-alice"
