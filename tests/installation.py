"""A real installation for tests: `mlabhub up` in a folder of its own, people, their servers, and code run inside them.

Guarantees: whatever it started is gone when it is closed: processes, containers, networks, images of its own, firewall.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from tornado.httpclient import HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect

from mlabhub.engine.processes import INSTANCE

CHECKOUT = Path(__file__).resolve().parents[1]
MLABHUB = str(Path(sys.executable).parent / "mlabhub")
PODMAN = "podman"


PORTS = range(20_000, 30_000)
"""Below those that systems give to connections, one of which could take a port before it is listened on."""
_given: set[int] = set()


def free_port() -> int:
    """Return a TCP port that nobody listens on, and that is given to nobody else, here or where tests run beside."""
    beside = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    own = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % beside
    while True:
        port = secrets.choice(PORTS[own::beside])
        with socket.socket() as probe:
            try:
                probe.bind(("0.0.0.0", port))
            except OSError:
                continue
        if port not in _given:
            _given.add(port)
            return port


def wait_for(condition: Any, seconds: float, what: str) -> Any:
    """Return the condition's first true answer; fail with ``what`` after some seconds."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.1)


@dataclass
class Installation:
    """One running hub. ``program`` is what runs in place of `mlabhub`."""

    state: Path
    port: int
    arguments: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    tls: bool = False
    prefix: str = ""
    process: subprocess.Popen[bytes] | None = None
    tokens: dict[str, str] = field(default_factory=dict)
    program: tuple[str, ...] = (MLABHUB,)

    @property
    def url(self) -> str:
        """The public address, with a slash at its end."""
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}/{self.prefix}"

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that the running hub wrote."""
        values: dict[str, Any] = json.loads((self.state / "run" / "settings.json").read_text())
        return values

    @property
    def instance(self) -> str:
        """The installation's id, in the names of its containers and networks."""
        return (self.state / "instance").read_text().strip()

    def start(self, seconds: float = 90) -> None:
        """Run `mlabhub up` and wait for the hub's login page."""
        output = open(self.state.parent / f"{self.state.name}.out", "ab")  # noqa: SIM115 - the child keeps it
        argv = [*self.program, "up", "--state", str(self.state), "--port", str(self.port), *self.arguments]
        self.process = subprocess.Popen(argv, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        output.close()
        wait_for(self._is_up, seconds, f"hub at {self.url}; it said:\n{self.output()[-3000:]}")

    def _is_up(self) -> bool:
        if self.process is None or self.process.poll() is not None:
            raise AssertionError(f"mlabhub up ended:\n{self.output()[-3000:]}")
        try:
            login = httpx.get(f"{self.url}hub/login", timeout=5, verify=not self.tls)
            health = httpx.get(f"{self.url}services/mlabhub/health", timeout=5, verify=not self.tls)
        except httpx.HTTPError:
            return False
        return login.status_code == 200 and health.status_code == 200

    def output(self) -> str:
        """Return what `mlabhub up` printed."""
        return (self.state.parent / f"{self.state.name}.out").read_text(errors="replace")

    def stop(self) -> None:
        """Stop the hub as an administrator would."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(45)

    def close(self) -> None:
        """Stop, and remove every trace."""
        self.stop()
        self.end_processes()
        if shutil.which(PODMAN) and (self.state / "instance").exists():
            self.remove_containers()

    def end_processes(self) -> None:
        """End people's servers that are plain processes, and what they started: a test that failed left them."""
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.environ().get(INSTANCE) == self.instance:
                    process.kill()

    def podman(self, *arguments: str) -> str:
        """Run podman as the installation does and return its output."""
        environment = dict(os.environ)
        config = self.state / "run" / "containers.conf"
        if config.exists():
            environment["CONTAINERS_CONF"] = str(config)
        done = subprocess.run([PODMAN, *arguments], env=environment, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    def remove_containers(self) -> None:
        """Remove containers, networks, saved images and firewall rules of this installation."""
        label = f"label=mlabhub.instance={self.instance}"
        for container in self.podman("ps", "-aq", "--filter", label).split():
            self.podman("rm", "-f", "-t", "0", container)
        for image in self.podman("images", "-q", "--filter", label).split():
            self.podman("rmi", "-f", image)
        for network in self.podman("network", "ls", "-q", "--filter", label).split():
            self.podman("network", "rm", "-f", network)
        subprocess.run(["nft", "delete", "table", "inet", f"mlabhub_{self.instance}"], capture_output=True, check=False)
        Path(f"/var/run/cdi/mlabhub-{self.instance}.json").unlink(missing_ok=True)

    def containers(self, *, running: bool = True) -> dict[str, dict[str, Any]]:
        """Return this installation's containers by name."""
        arguments = ["ps", "--format", "json", "--filter", f"label=mlabhub.instance={self.instance}"]
        rows = json.loads(self.podman(*arguments, *([] if running else ["-a"])) or "[]")
        return {row["Names"][0]: row for row in rows}

    # --- people -------------------------------------------------------------------------------------------------

    def add_user(self, name: str, *groups: str, admin: bool = False) -> str:
        """Open an account and return its password."""
        argv = [MLABHUB, "user", "add", name, "--state", str(self.state), "--json", *(["--admin"] if admin else [])]
        for group in groups:
            argv += ["--group", group]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        password: str = json.loads(done.stdout)["password"]
        return password

    def first_admin(self) -> tuple[str, str]:
        """Return name and password of the first administrator."""
        values = json.loads((self.state / "first-run.json").read_text())
        return values["admin"], values["password"]

    @contextlib.contextmanager
    def log_in(self, name: str, password: str) -> Iterator[httpx.Client]:
        """Give a session that is logged in, as a browser's would be."""
        with httpx.Client(base_url=self.url, timeout=60, follow_redirects=True, verify=not self.tls) as session:
            page = session.get("hub/login")
            xsrf = session.cookies.get("_xsrf", path=f"/{self.prefix}hub/")
            assert xsrf, page.text[:300]
            answer = session.post("hub/login", data={"username": name, "password": password, "_xsrf": xsrf})
            assert answer.is_success, answer.text[:500]
            assert "hub/login" not in str(answer.url), "the password was not taken"
            yield session

    def token(self, name: str) -> str:
        """Return a token of a person, made by the first administrator."""
        if name not in self.tokens:
            admin, password = self.first_admin()
            with self.log_in(admin, password) as session:
                xsrf = str(session.cookies.get("_xsrf", path=f"/{self.prefix}hub/"))
                path = f"hub/api/users/{name}/tokens"
                answer = session.post(path, headers={"X-XSRFToken": xsrf}, json={"note": "test"})
            assert answer.status_code == 201, answer.text
            self.tokens[name] = answer.json()["token"]
        return self.tokens[name]

    def api(self, name: str) -> httpx.Client:
        """Return a client with a person's token, for the hub's and the service's API."""
        headers = {"Authorization": f"token {self.token(name)}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=90, verify=not self.tls)

    # --- servers ------------------------------------------------------------------------------------------------

    def launch(self, name: str, server_name: str = "", **user_options: Any) -> httpx.Response:
        """Launch by the service's API as a person, now or not at all."""
        name_of_both = {"server_name": server_name, "display_name": server_name}
        body = {**name_of_both, "user_options": user_options, "queue": False}
        with self.api(name) as client:
            return client.post("services/mlabhub/api/v1/launches", json=body)

    def server(self, name: str, server_name: str = "") -> dict[str, Any] | None:
        """Return the hub's view of a server."""
        with self.api(name) as client:
            servers: dict[str, dict[str, Any]] = client.get(f"hub/api/users/{name}").json().get("servers", {})
        return servers.get(server_name)

    def wait_ready(self, name: str, server_name: str = "", seconds: float = 90) -> None:
        """Wait until a server answers."""

        def is_ready() -> bool:
            server = self.server(name, server_name)
            return bool(server and server["ready"])

        wait_for(is_ready, seconds, f"server {name}/{server_name} ready")

    def stop_server(self, name: str, server_name: str = "", seconds: float = 60) -> None:
        """Stop a server through the hub and wait until it is gone."""
        path = f"hub/api/users/{name}/servers/{server_name}" if server_name else f"hub/api/users/{name}/server"
        with self.api(name) as client:
            answer = client.delete(path)
            assert answer.status_code in (202, 204), answer.text
        wait_for(lambda: not self.server(name, server_name), seconds, f"server {name}/{server_name} stopped")

    def reservations(self) -> list[dict[str, Any]]:
        """Return what the service holds for whom."""
        admin, _ = self.first_admin()
        with self.api(admin) as client:
            rows: list[dict[str, Any]] = client.get("services/mlabhub/api/v1/servers", params={"all": "1"}).json()[
                "servers"
            ]
        return rows

    def run_code(self, name: str, code: str, server_name: str = "", seconds: float = 60) -> str:
        """Run Python in a kernel of a person's server, as a notebook cell does; return what it printed."""
        return asyncio.run(asyncio.wait_for(self._run_code(name, code, server_name), seconds))

    async def _run_code(self, name: str, code: str, server_name: str) -> str:
        base = f"user/{name}/{server_name}/" if server_name else f"user/{name}/"
        headers = {"Authorization": f"token {self.token(name)}"}
        async with httpx.AsyncClient(base_url=self.url + base, headers=headers, timeout=60) as client:
            answer = await client.post("api/kernels", json={"name": "python3"})
            assert answer.status_code == 201, answer.text
            kernel = answer.json()["id"]
            address = f"ws://127.0.0.1:{self.port}/{self.prefix}{base}api/kernels/{kernel}/channels"
            socket_ = await websocket_connect(HTTPRequest(address, headers=headers))
            try:
                return await _execute(socket_, code)
            finally:
                await hang_up(socket_)
                await client.delete(f"api/kernels/{kernel}")


async def hang_up(line: WebSocketClientConnection) -> None:
    """Close a websocket, and wait until it is closed: an event loop that ends before leaves its socket open."""
    line.close()
    while await line.read_message() is not None:
        pass


async def _execute(socket_: Any, code: str) -> str:
    message_id = uuid.uuid4().hex
    header = {
        "msg_id": message_id,
        "msg_type": "execute_request",
        "username": "",
        "session": message_id,
        "version": "5.3",
    }
    content = {"code": code, "silent": False, "store_history": False, "user_expressions": {}, "allow_stdin": False}
    request = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
    await socket_.write_message(json.dumps(request))
    printed: list[str] = []
    while True:
        message = json.loads(await socket_.read_message())
        if message["parent_header"].get("msg_id") != message_id:
            continue
        kind, content = message["msg_type"], message["content"]
        if kind == "stream":
            printed.append(content["text"])
        elif kind == "error":
            printed.append(f"{content['ename']}: {content['evalue']}")
        elif kind == "status" and content["execution_state"] == "idle":
            return "".join(printed)


def run_in_terminal(hub: Installation, name: str, line: str, server_name: str = "", seconds: float = 30) -> str:
    """Type a line into a new terminal of a person's server; return all that it shows until it says nothing for 2 s."""
    return asyncio.run(asyncio.wait_for(_run_in_terminal(hub, name, line, server_name), seconds))


async def _run_in_terminal(hub: Installation, name: str, line: str, server_name: str) -> str:
    base = f"user/{name}/{server_name}/" if server_name else f"user/{name}/"
    headers = {"Authorization": f"token {hub.token(name)}"}
    async with httpx.AsyncClient(base_url=hub.url + base, headers=headers, timeout=60) as client:
        answer = await client.post("api/terminals")
        assert answer.status_code == 200, answer.text
        terminal = answer.json()["name"]
        address = f"ws://127.0.0.1:{hub.port}/{hub.prefix}{base}terminals/websocket/{terminal}"
        socket_ = await websocket_connect(HTTPRequest(address, headers=headers))
        try:
            await socket_.write_message(json.dumps(["stdin", f"{line}\r"]))
            return "".join([text async for text in _shown(socket_)])
        finally:
            socket_.close()
            await client.delete(f"api/terminals/{terminal}")


async def _shown(socket_: Any) -> AsyncIterator[str]:
    quiet = 5.0  # a shell takes its time to start
    while True:
        try:
            message = await asyncio.wait_for(socket_.read_message(), quiet)
        except asyncio.TimeoutError:
            return
        if message is None:
            return
        kind, *told = json.loads(message)
        if kind == "stdout":
            quiet = 2.0
            yield told[0]
