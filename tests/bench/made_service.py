"""The real service process over a ledger of `made_ledger`, with the machines, the hub and the logins that belong to it.

    python -m tests.bench.made_service STATE/settings.json

Everything is as in production (tornado, writer, all loops); hub, logins and backend are doubles that answer at once.
User ``userN`` comes to the API with the token ``t-userN``, and the administrator ``admin`` with ``t-admin``; to pages
with `login_cookies`.
"""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import time

from tornado.web import create_signed_value

from mlabhub.client import HubServer
from mlabhub.ledger import KnownId, Reservation, open_ledger
from mlabhub.service.app import cookie_secret, login_options, serve
from mlabhub.service.scopes import CLIENT_ID
from mlabhub.settings import Settings, load_settings
from tests.bench.admission_service import make_backend
from tests.bench.bench_admission import is_healthy
from tests.bench.made_ledger import group_of
from tests.doubles import KnownTokens, ScriptedBackend, ScriptedHub
from tests.installation import wait_for

TOKEN = "t" * 32
EVERYTHING = ("start:servers", "delete:servers")


def start_made_service(settings: Settings, timeout_s: float = 120.0) -> subprocess.Popen[bytes]:
    """Start the process and wait for its health; whoever starts it ends it."""
    process = subprocess.Popen([sys.executable, "-m", "tests.bench.made_service", str(settings.settings_file)])
    wait_for(lambda: process.poll() is not None or is_healthy(settings), timeout_s, "the service answers")
    return process


def login_cookies(user: str) -> dict[str, str]:
    """Return what a browser has whose person is logged in."""
    return {CLIENT_ID: create_signed_value(cookie_secret(TOKEN), CLIENT_ID, f"t-{user}").decode()}


def read(settings: Settings) -> tuple[tuple[Reservation, ...], tuple[KnownId, ...]]:
    """Return what runs, and all people and groups."""
    ledger = open_ledger(settings)
    try:
        contents = ledger.load(time.time())
        return contents.reservations, contents.ids
    finally:
        ledger.close()


def make_doubles(settings: Settings) -> tuple[ScriptedHub, ScriptedBackend, dict[str, tuple[str, ...]]]:
    """Return a hub and machines on which everything runs that the ledger says is held, and people with their groups."""
    running, ids = read(settings)
    hub, backend = ScriptedHub(), make_backend()
    hub.add_user("admin", admin=True)
    groups = sum(one.kind == "group" for one in ids)
    people = {one.name: (group_of(one.name, groups),) for one in ids if one.kind == "user"}
    for name, those in people.items():
        hub.add_user(name, *those)
    for one in running:
        ready = one.state == "held"
        if ready:
            backend.run(one.launch_id, one.user, one.server, one.gpus)
        hub.servers[one.user, one.server] = HubServer(
            one.user,
            one.server,
            ready=ready,
            pending=None if ready else "spawn",
            user_options={"launch_id": one.launch_id},
            last_activity=one.held,
        )
    return hub, backend, people


async def main() -> None:
    """Serve until SIGTERM."""
    settings = load_settings(sys.argv[1])
    hub, backend, people = make_doubles(settings)
    tokens = KnownTokens(**login_options(settings, TOKEN))
    tokens.models = {}
    tokens.vouch("t-admin", "admin", admin=True, scopes=EVERYTHING)
    for name, groups in people.items():
        tokens.vouch(f"t-{name}", name, *groups)
    await serve(settings, hub=hub, backend=backend, hub_auth=tokens)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(main())
