"""Every page over a large ledger: how long it takes while 20 clients ask for it once a second each.

    python -m tests.bench.bench_pages [--users 10000] [--servers 3000] [--nodes 400] [--days 90] [--seconds 8]
                                      [--only queue idle]

Runs a real JupyterHub with as many users (`pages_hub`) and the real service process (`pages_service`), and asks for
each page of `tests/pages/all_pages.py` as logged-in browsers do: as a person and as an administrator, in English and in
Chinese. In the same run, at the same pace: a plain tornado page of the same size (what machine and load generator
take), the hub's own admin page, and the call with which that gets its first 50 users. Prints a line of JSON for each:
percentiles in ms as the clients saw them; ``first_ms``, the slowest first answer; ``cpu_ms``, the service's processor
time by answer, its loops' included; and for how long the event loops of service and hub were held.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler, create_signed_value

from mlabhub.ledger import open_ledger
from mlabhub.service.app import cookie_secret
from mlabhub.service.scopes import CLIENT_ID
from mlabhub.settings import Settings
from tests.bench.bench_admission import bare_installation, is_healthy, processor_s, read_answer
from tests.bench.holds import longest
from tests.bench.made_ledger import Made, make_ledger
from tests.bench.pages_hub import ADMINS, RealHub
from tests.installation import free_port, wait_for
from tests.pages.all_pages import PAGES, Page

CLIENTS = 20
P95_MS = 150.0
HOLD_MS = 100.0
CALM, LOOK_S, MOST_LOOKS = 0.3, 3.0, 100
"""A service is calm that computes so much of the time, looked at for so long at a time, so often at most."""
LANGUAGES = ("en", "zh-CN")
PEOPLE = tuple(f"user{number}" for number in range(CLIENTS))


@dataclass(frozen=True)
class Asker:
    """One client: where it asks, with which cookies and headers."""

    port: int
    path: str
    headers: str

    def request(self) -> bytes:
        """Return what it sends."""
        return f"GET {self.path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n{self.headers}\r\n".encode()


@dataclass(frozen=True)
class Seen:
    """What the clients saw of a page: seconds of each answer, of the slowest first one, and bytes of a body."""

    times: Sequence[float]
    first: float
    size: int

    def figures(self) -> dict[str, float]:
        """Return the figures in ms."""
        ordered = sorted(self.times)
        picked = {"p50_ms": 0.5, "p95_ms": 0.95, "max_ms": 1.0}
        found = {name: ordered[min(int(len(ordered) * part), len(ordered) - 1)] for name, part in picked.items()}
        return {name: round(1000 * value, 1) for name, value in {**found, "first_ms": self.first}.items()}


class Failed(RuntimeError):
    """An answer that is no page."""


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asker: Asker) -> tuple[float, int]:
    """Return how long an answer took, and its size."""
    began = time.perf_counter()
    writer.write(asker.request())
    status = await reader.readline()
    body = await read_answer(reader)
    took = time.perf_counter() - began
    if b" 200 " not in status:
        raise Failed(f"{asker.path}: {status.decode().strip()} {body[:2000].decode(errors='replace')}")
    return took, len(body)


async def client(asker: Asker, offset: float, seconds: float) -> list[Any]:
    """Ask once a second, beginning ``offset`` seconds from now; once more than there are seconds."""
    reader, writer = await asyncio.open_connection("127.0.0.1", asker.port, limit=2**24)
    begin = time.perf_counter() + offset
    try:
        answers = []
        for second in range(round(seconds) + 1):
            await asyncio.sleep(max(0.0, begin + second - time.perf_counter()))
            answers.append(await ask(reader, writer, asker))
        return answers
    finally:
        writer.close()


async def see(askers: Sequence[Asker], seconds: float) -> list[Seen]:
    """Let all ask at once, evenly spread over each second; return what each saw."""
    spread = [client(one, number / len(askers), seconds) for number, one in enumerate(askers)]
    found = await asyncio.gather(*spread)
    return [Seen([took for took, _ in rest], first, size) for (first, size), *rest in found]


def together(seen: Sequence[Seen]) -> Seen:
    """Return what all of them saw."""
    times = [took for one in seen for took in one.times]
    return Seen(times, max(one.first for one in seen), max(one.size for one in seen))


# -- what is asked


@dataclass(frozen=True)
class Subject:
    """What a page is about, and who may see it, if not everybody."""

    name: str
    user: str = ""


@dataclass(frozen=True)
class Place:
    """A hub, a service, and people who are logged in. ``subjects`` are what pages are about."""

    settings: Settings
    hub: RealHub
    service: subprocess.Popen[bytes]
    holds: Path
    subjects: Mapping[str, Subject]
    tokens: dict[str, str]
    admin_cookies: str
    made: Made
    made_s: float
    plain_port: int

    def askers(self, page: Page) -> list[Asker]:
        """Return those who ask for a page of ours: administrators and persons in turn, each in both languages."""
        about = next((one for key, one in self.subjects.items() if f"{{{key}}}" in page.path), None)
        path = page.path.format(**{key: one.name for key, one in self.subjects.items()})
        return [
            self._asker(self.settings.service_prefix + path, number, page.admin, about) for number in range(CLIENTS)
        ]

    def _asker(self, path: str, number: int, admin: bool, about: Subject | None) -> Asker:
        person = about.user if about and about.user else PEOPLE[number]
        name = ADMINS[number % len(ADMINS)] if admin or number % 2 == 0 else person
        language = LANGUAGES[number // 2 % 2]
        headers = (
            f"Cookie: {self.cookie_of(name)}\r\nAccept-Language: {language}\r\n"
            "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Site: same-origin\r\n"
        )
        return Asker(self.settings.service_port, path, headers)

    def cookie_of(self, name: str) -> str:
        """Return the cookie by which the service knows somebody."""
        secret = cookie_secret(self.settings.service_token_file.read_text())
        return f"{CLIENT_ID}={create_signed_value(secret, CLIENT_ID, self.tokens[name]).decode()}"

    def of_the_hub(self) -> dict[str, Asker]:
        """Return the hub's own admin page, and the call that fills it."""
        token = self.tokens[ADMINS[0]]
        call = "/hub/api/users?include_stopped_servers=1&offset=0&limit=50&name_filter=&sort=id&state="
        accept = "application/jupyterhub-pagination+json"
        return {
            "hub-admin": Asker(self.settings.hub_port, "/hub/admin", f"Cookie: {self.admin_cookies}\r\n"),
            "hub-admin-users": Asker(
                self.settings.hub_port, call, f"Authorization: token {token}\r\nAccept: {accept}\r\n"
            ),
        }


@contextmanager
def a_place(
    users: int = 10_000, servers: int = 3_000, nodes: int = 400, days: int = 90, profile: str = ""
) -> Iterator[Place]:
    """Run hub and service over a ledger with history in a fresh folder, beside plain pages, and log people in."""
    with tempfile.TemporaryDirectory(prefix="mlabhub-bench-") as folder, plain_pages() as port:
        settings = bare_installation(Path(folder)).model_copy(update={"hub_port": free_port()})
        settings.save()
        began = time.perf_counter()
        made = make_ledger(settings, users=users, servers=servers, nodes=nodes, days=days)
        about = {"made_s": time.perf_counter() - began, "plain_port": port}
        with _logged_in(Path(folder), settings, made, users, profile, **about) as place:
            yield place


@contextmanager
def _logged_in(folder: Path, settings: Settings, made: Made, users: int, profile: str, **about: Any) -> Iterator[Place]:
    """Run hub and service over what was made; ``about`` is what else is known of the place."""
    subjects = find_subjects(settings, made)
    hub = RealHub(folder / "hub", settings, users, made.groups)
    try:
        holds = folder / "service-holds.jsonl"
        profiled = ["-m", "cProfile", "-o", profile] if profile else []
        argv = [sys.executable, *profiled, "-m", "tests.bench.pages_service", settings.settings_file, holds]
        service = subprocess.Popen(argv)
        try:
            wait_for(lambda: service.poll() is not None or is_healthy(settings), 120, "the service answers")
            names = {*ADMINS, *PEOPLE, *(one.user for one in subjects.values() if one.user)}
            until_calm(service.pid)
            tokens, cookies = hub.tokens(sorted(names)), hub.login_cookies(ADMINS[0])
            yield Place(settings, hub, service, holds, subjects, tokens, cookies, made, **about)
        finally:
            service.terminate()
            service.wait(30)
    finally:
        hub.close()


def until_calm(pid: int) -> None:
    """Wait until a service that just started computes no more than its share: it reads what it remembers of months."""
    for _ in range(MOST_LOOKS):
        spent = processor_s(pid)
        time.sleep(LOOK_S)
        if processor_s(pid) - spent < CALM * LOOK_S:
            return


def find_subjects(settings: Settings, made: Made) -> dict[str, Subject]:
    """Return a launch of each kind, among them one that starts for as long as the bench takes, and a group."""
    running = next(one for one in made.running if one.gpus)
    times = {"created": made.now, "changed": made.now, "deadline": made.now + 86_400, "held": None, "ready": None}
    starting = replace(running, launch_id=f"01STARTING{0:016}", server="new", state="pending", gpus=(), **times)
    ledger = open_ledger(settings)
    try:
        ledger.commit([starting])
        waiting = ledger.load(made.now).entries[0]
    finally:
        ledger.close()
    found = {"launch": running, "starting": starting, "waiting": waiting}
    launches = {key: Subject(one.launch_id, one.user) for key, one in found.items()}
    return {**launches, "group": Subject(running.group or "", running.user), "profile": Subject("gpu")}


class Plain(RequestHandler):
    """A page of a given size."""

    def get(self) -> None:
        """Answer with it."""
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish("x" * int(self.get_argument("size")))


async def serve_plain(port: int) -> None:
    """Serve plain pages until the process is ended."""
    server = HTTPServer(Application([("/plain", Plain)]))
    server.add_sockets(bind_sockets(port, "127.0.0.1"))
    await asyncio.Event().wait()


@contextmanager
def plain_pages() -> Iterator[int]:
    """Run such a server in a process of its own, and yield its port."""
    port = free_port()
    code = f"import asyncio; from tests.bench.bench_pages import serve_plain; asyncio.run(serve_plain({port}))"
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        wait_for(lambda: _listens(port), 60, "the plain page answers")
        yield port
    finally:
        process.terminate()
        process.wait(30)


def _listens(port: int) -> bool:
    async def knock() -> None:
        await client(Asker(port, "/plain?size=1", ""), 0.0, 0.0)

    try:
        asyncio.run(knock())
    except OSError:
        return False
    return True


# -- what is measured


def measure_page(place: Place, page: Page, seconds: float) -> tuple[dict[str, Any], int]:
    """Return a page's figures, and its size."""
    askers = place.askers(page)
    spent, began = processor_s(place.service.pid), time.time()
    seen = asyncio.run(see(askers, seconds))
    until = time.time()
    spent = processor_s(place.service.pid) - spent
    whole = together(seen)
    kinds = {"admin": seen[::2], "person": seen[1::2]} if not page.admin else {"admin": seen}
    return {
        "page": page.name,
        **whole.figures(),
        **{f"{kind}_p95_ms": together(those).figures()["p95_ms"] for kind, those in kinds.items()},
        "kb": round(whole.size / 1000, 1),
        "cpu_ms": round(1000 * spent / (len(whole.times) + len(askers)), 1),
        "service_loop": longest(place.holds, began, until),
        "hub_loop": longest(place.hub.holds, began, until),
    }, whole.size


def measure_other(name: str, asker: Asker, seconds: float) -> dict[str, Any]:
    """Return the figures of what is not ours."""
    seen = together(asyncio.run(see([asker] * CLIENTS, seconds)))
    return {"page": name, **seen.figures(), "kb": round(seen.size / 1000, 1)}


def measure(place: Place, names: Collection[str], seconds: float) -> Iterator[dict[str, Any]]:
    """Yield figures of pages, all of them where none is named, beside those of a plain one."""
    for page in PAGES:
        if page.asks or (names and page.name not in names):
            continue
        figures, size = measure_page(place, page, seconds)
        plain = measure_other("plain", Asker(place.plain_port, f"/plain?size={size}", ""), min(seconds, 3.0))
        yield {**figures, "plain_p95_ms": plain["p95_ms"], "load": round(os.getloadavg()[0], 1)}


def measure_hub(place: Place, seconds: float) -> Iterator[dict[str, Any]]:
    """Yield figures of the hub's own admin page and of the call that fills it."""
    for name, asker in place.of_the_hub().items():
        began = time.time()
        figures = measure_other(name, asker, seconds)
        yield {**figures, "hub_loop": longest(place.hub.holds, began, time.time())}


def is_good(figures: dict[str, Any]) -> bool:
    """Return whether a page of ours is as quick as was promised: beyond what a plain one takes on this machine."""
    return bool(figures["p95_ms"] - figures.get("plain_p95_ms", 0.0) < P95_MS)


def site_parser(description: str | None) -> argparse.ArgumentParser:
    """Return what reads how large a place is to be, and which pages are wanted."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--servers", type=int, default=3_000)
    parser.add_argument("--nodes", type=int, default=400)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--only", nargs="+", default=[], choices=[page.name for page in PAGES])
    return parser


def main() -> int:
    """Print the figures; exit 1 when a page of ours misses the target."""
    parser = site_parser(__doc__)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--profile", default="", help="write a cProfile of the service to this file")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that hub and service are ended, too
    arguments = vars(parser.parse_args())
    names, seconds = arguments.pop("only"), arguments.pop("seconds")
    good = True
    with a_place(**arguments) as place:
        for figures in measure(place, names, seconds):
            print(json.dumps(figures), flush=True)
            good = good and is_good(figures)
        for figures in measure_hub(place, seconds):
            print(json.dumps(figures), flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
