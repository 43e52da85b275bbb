"""A real JupyterHub with many users, for the logins of `bench_pages` and for its own admin page beside ours.

Without a proxy and without running servers: 3,000 processes are not what is measured, and fewer of them make the hub's
page quicker, not ours.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx
import sqlalchemy as sa
from jupyterhub import orm, roles

from mlabhub.service.scopes import ACCESS_SCOPE, CLIENT_ID, CUSTOM_SCOPES
from mlabhub.settings import SERVICE_NAME, Settings
from tests.bench.made_ledger import group_of
from tests.installation import wait_for

ADMINS = tuple(f"admin{number}" for number in range(10))
PASSWORD = "bench-bench-bench"
CONFIG = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {checkout!r})
from jupyterhub.proxy import Proxy
from tests.bench.holds import note_holds

class NoProxy(Proxy):
    should_start = False
    async def add_route(self, routespec, target, data): ...
    async def delete_route(self, routespec): ...
    async def get_all_routes(self): return {{}}

c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.bind_url = "http://127.0.0.1:{port}/"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{port}/"
c.JupyterHub.db_url = {db!r}
c.JupyterHub.cookie_secret_file = {cookie!r}
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = {password!r}
c.Authenticator.allow_all = True
c.Authenticator.admin_users = {admins!r}
c.JupyterHub.custom_scopes = {custom!r}
c.JupyterHub.load_roles = [
    {{"name": "user", "scopes": ["self", {access!r}]}},
    {{"name": "maker", "scopes": ["admin:users", "tokens", "admin:servers"], "services": ["bench"]}},
]
c.JupyterHub.services = [
    {{"name": {service!r}, "api_token": {token!r}, "url": {url!r}, "oauth_client_id": {client!r},
      "oauth_no_confirm": True}},
    {{"name": "bench", "api_token": {maker!r}}},
]
c.JupyterHub.log_level = "ERROR"
asyncio.get_event_loop().create_task(note_holds(Path({holds!r})))
"""


def fill(url: str, users: int, groups: int) -> None:
    """Write made users and groups into the hub's empty database, with their roles: the hub takes minutes for those."""
    session = orm.new_session_factory(url)()
    numbers = {f"group{number}": number + 1 for number in range(groups)}
    session.execute(sa.insert(orm.Group), [{"id": number, "name": name} for name, number in numbers.items()])
    names = [f"user{number}" for number in range(users)]
    people = [{"id": number, "name": name, "admin": False} for number, name in enumerate(names, 1)]
    admins = [{"id": users + number, "name": name, "admin": True} for number, name in enumerate(ADMINS, 1)]
    session.execute(sa.insert(orm.User), people + admins)
    members = [{"user_id": one["id"], "group_id": numbers[group_of(one["name"], groups)]} for one in people]
    session.execute(sa.insert(orm.user_group_map), members)
    for spec in roles.get_default_roles():
        roles.create_role(session, spec)
    number = {name: orm.Role.find(session, name).id for name in ("user", "admin")}
    everybody = [{"user_id": one["id"], "role_id": number["user"]} for one in people + admins]
    chosen = [{"user_id": one["id"], "role_id": number["admin"]} for one in admins]
    session.execute(sa.insert(orm._role_associations["user"]), everybody + chosen)
    session.commit()
    session.close()


class RealHub:
    """The hub's process, in a folder of its own, at the port that the settings name."""

    def __init__(self, folder: Path, settings: Settings, users: int, groups: int):
        folder.mkdir(parents=True)
        self.origin = f"http://127.0.0.1:{settings.hub_port}"
        self.holds = folder / "holds.jsonl"
        self._maker = os.urandom(16).hex()
        database = f"sqlite:///{folder}/hub.sqlite"
        fill(database, users, groups)
        config = folder / "config.py"
        config.write_text(
            CONFIG.format(
                checkout=str(Path(__file__).parents[2]),
                port=settings.hub_port,
                db=database,
                cookie=str(folder / "cookie_secret"),
                password=PASSWORD,
                admins=set(ADMINS),
                custom=CUSTOM_SCOPES,
                access=ACCESS_SCOPE,
                service=SERVICE_NAME,
                token=settings.service_token_file.read_text(),
                url=settings.service_url,
                client=CLIENT_ID,
                maker=self._maker,
                holds=str(self.holds),
            )
        )
        self.process = subprocess.Popen([sys.executable, "-m", "jupyterhub", "-f", config], cwd=folder)
        try:
            wait_for(self._answers, 300, "the hub answers")
        except BaseException:
            self.close()
            raise

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError("the hub ended")
        try:
            return httpx.get(self.origin + "/hub/api/", timeout=2).is_success
        except httpx.HTTPError:
            return False

    def tokens(self, names: Sequence[str]) -> dict[str, str]:
        """Return a token of each of some users, as the service's login gets one."""
        headers = {"Authorization": f"token {self._maker}"}
        with httpx.Client(base_url=self.origin, headers=headers, timeout=60) as client:
            answers = {name: client.post(f"/hub/api/users/{name}/tokens", json={}) for name in names}
        return {name: answer.raise_for_status().json()["token"] for name, answer in answers.items()}

    def login_cookies(self, name: str) -> str:
        """Return the cookies of a browser that logged in at the hub, as a header."""
        with httpx.Client(base_url=self.origin, timeout=60, follow_redirects=True) as session:
            session.get("/hub/login")
            xsrf = session.cookies.get("_xsrf", path="/hub/")
            form = {"username": name, "password": PASSWORD, "_xsrf": xsrf}
            answer = session.post("/hub/login?next=/hub/admin", data=form)
            answer.raise_for_status()
            return "; ".join(f"{one.name}={one.value}" for one in session.cookies.jar)

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(60)
