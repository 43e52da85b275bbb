"""Accounts: asked for, opened, closed; and nobody becomes an administrator by asking."""

from __future__ import annotations

import sqlite3
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.installation import MLABHUB, Installation

pytestmark = pytest.mark.timeout(120)

PASSWORD = "correct horse battery"


def _xsrf(session: httpx.Client) -> str:
    return str(session.cookies.get("_xsrf", path="/hub/"))


def _sign_up(hub: Installation, name: str) -> None:
    with httpx.Client(base_url=hub.url, follow_redirects=True) as session:
        session.get("hub/signup")
        form = {"username": name, "signup_password": PASSWORD, "signup_password_confirmation": PASSWORD}
        answer = session.post("hub/signup", data={**form, "_xsrf": _xsrf(session)})
        assert answer.is_success, answer.text[:500]


def _may_log_in(hub: Installation, name: str) -> bool:
    with httpx.Client(base_url=hub.url, follow_redirects=True) as session:
        session.get("hub/login")
        form = {"username": name, "password": PASSWORD, "_xsrf": _xsrf(session)}
        return "hub/login" not in str(session.post("hub/login", data=form).url)


def test_opened_and_closed_by_an_administrator(hub: Installation) -> None:
    _sign_up(hub, "grace")
    assert not _may_log_in(hub, "grace")
    with hub.log_in(*hub.first_admin()) as admin:
        admin.get("hub/authorize")
        assert admin.get("hub/authorize/grace").is_success
        assert not _may_log_in(hub, "grace"), "a link opens nothing"
        admin.post("hub/authorize/grace", data={"_xsrf": _xsrf(admin)})
        with hub.log_in("grace", PASSWORD) as grace:
            assert grace.get("hub/home").url.path == "/hub/home"
            admin.post("hub/authorize/grace", data={"_xsrf": _xsrf(admin)})
            assert grace.get("hub/home").url.path == "/hub/login", "closing ends the session"
    assert not _may_log_in(hub, "grace")


def test_a_deleted_administrators_name_opens_nothing(hub: Installation) -> None:
    """Signing up under the name of the first administrator, whose account was deleted, waits like any other."""
    database = hub.state / "jupyterhub.sqlite"
    admin, _ = hub.first_admin()
    with sqlite3.connect(database) as connection:
        row = connection.execute("SELECT * FROM users_info WHERE username = ?", (admin,)).fetchone()
        connection.execute("DELETE FROM users_info WHERE username = ?", (admin,))
    try:
        _sign_up(hub, admin)
        assert not _may_log_in(hub, admin)
    finally:
        with sqlite3.connect(database) as connection:
            connection.execute("DELETE FROM users_info WHERE username = ?", (admin,))
            connection.execute(f"INSERT INTO users_info VALUES ({', '.join('?' * len(row))})", row)
        connection.close()


def test_an_account_is_not_opened_twice(hub: Installation, people: dict[str, str]) -> None:
    """`mlabhub user add` never replaces a password."""
    argv = [MLABHUB, "user", "add", "alice", "--state", str(hub.state)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "alice has an account" in done.stderr
    with hub.log_in("alice", people["alice"]):
        pass


@pytest.mark.parametrize("file", ["jupyterhub.sqlite", "ledger.sqlite", "first-run.json", "secrets/spawner"])
def test_what_is_secret_is_private(hub: Installation, file: str) -> None:
    path: Path = hub.state / file
    assert path.stat().st_mode & 0o077 == 0
