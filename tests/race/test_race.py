"""2,000 launches race for 8 GPUs by every route while the service is killed: never a ninth, never one lost."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx
import psutil
import pytest

from tests.installation import Installation, free_port, wait_for

pytestmark = [pytest.mark.long, pytest.mark.engine, pytest.mark.timeout(1500)]

LAUNCHES = 2_000
PEOPLE = 20
GPUS = 8
KILLS = 4
AT_ONCE = 24


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    installation = Installation(
        tmp_path_factory.mktemp("race") / "state", free_port(), ("--simulate-gpus", f"{GPUS}xA100")
    )
    try:
        installation.start()
        yield installation
    finally:
        installation.close()


@dataclass
class Watch:
    """Looks all the time at what the engine runs and the ledger holds, and remembers the worst it saw."""

    hub: Installation
    most: int = 0
    looks: int = 0
    faults: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Look until the block ends."""
        watcher = threading.Thread(target=self._run)
        watcher.start()
        try:
            yield
        finally:
            self.over.set()
            watcher.join()

    def _run(self) -> None:
        while not self.over.is_set():
            gpus = Counter(gpu for row in self.hub.containers().values() for gpu in gpus_of(row))
            self.looks += 1
            self.most = max(self.most, sum(gpus.values()))
            self.faults += [f"{gpu} is in {count} containers" for gpu, count in gpus.items() if count > 1]
            self.over.wait(0.3)


def gpus_of(row: dict[str, Any]) -> list[str]:
    """Return the GPUs in a container, as its label says."""
    return [gpu for gpu in row["Labels"].get("mlabhub.gpus", "").split(",") if gpu]


def gpus_held(hub: Installation) -> list[str]:
    """Return the GPUs that somebody holds, as the ledger says."""
    admin, _ = hub.first_admin()
    with hub.api(admin) as client:
        nodes = client.get("services/mlabhub/api/v1/gpus").json()["nodes"]
    return [gpu["uuid"] for node in nodes for gpu in node["gpus"] if gpu["held"]]


@dataclass
class Crowd:
    """Twenty people who press Start again and again, each by a route drawn at random."""

    hub: Installation
    names: list[str]
    passwords: dict[str, str]
    answers: Counter[str] = field(default_factory=Counter)
    odd: list[str] = field(default_factory=list)
    pages: dict[str, httpx.Client] = field(default_factory=dict)
    clients: dict[str, httpx.Client] = field(default_factory=dict)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Log everybody in, by browser session and by token."""
        admin, _ = self.hub.first_admin()
        with contextlib.ExitStack() as stack:
            for name in [*self.names, admin]:
                self.clients[name] = stack.enter_context(self.hub.api(name))
            for name in self.names:
                self.pages[name] = stack.enter_context(self.hub.log_in(name, self.passwords[name]))
                self.pages[name].get("services/mlabhub/launch")
            yield

    def launch(self, number: int) -> None:
        """One launch; what is not a clear answer is kept as odd."""
        chance = random.Random(number)
        name = chance.choice(self.names)
        options = {"profile": "gpu", "gpu_type": "a100", "gpus": chance.choice([1, 1, 1, 2, 3]), "memory_gib": 2}
        route: Callable[[str, dict[str, Any]], httpx.Response] = chance.choice(
            [self._by_page, self._by_service, self._by_hub, self._by_admin]
        )
        try:
            answer = route(name, options)
        except httpx.HTTPError as error:
            self.answers[f"{route.__name__} {type(error).__name__}"] += 1
            return
        self.answers[f"{route.__name__} {answer.status_code}"] += 1
        if answer.status_code >= 500 and answer.status_code != 503:
            self.odd.append(f"{route.__name__} {answer.status_code} {answer.text[:300]}")

    def _by_page(self, name: str, options: dict[str, Any]) -> httpx.Response:
        page = self.pages[name]
        xsrf = page.cookies.get("_xsrf", path="/services/mlabhub/")
        form = {**{key: str(value) for key, value in options.items()}, "name": "", "_xsrf": xsrf}
        return page.post("services/mlabhub/launch", data=form, follow_redirects=False)

    def _by_service(self, name: str, options: dict[str, Any]) -> httpx.Response:
        return self.clients[name].post("services/mlabhub/api/v1/launches", json={"user_options": options})

    def _by_hub(self, name: str, options: dict[str, Any]) -> httpx.Response:
        return self.clients[name].post(f"hub/api/users/{name}/server", json={"user_options": options})

    def _by_admin(self, name: str, options: dict[str, Any]) -> httpx.Response:
        """What the admin page's Start sends: nothing, so the hub repeats the person's last options."""
        admin, _ = self.hub.first_admin()
        return self.clients[admin].post(f"hub/api/users/{name}/server")

    def stop_someone(self, chance: random.Random) -> None:
        """Stop a running server, so that GPUs come free and are fought over again."""
        running = [name for name in self.names if (self.hub.server(name) or {}).get("ready")]
        if running:
            name = chance.choice(running)
            self.clients[name].delete(f"hub/api/users/{name}/server")


def _kill_service(hub: Installation) -> None:
    assert hub.process is not None
    for child in psutil.Process(hub.process.pid).children():
        if "mlabhub.service" in " ".join(child.cmdline()):
            os.kill(child.pid, signal.SIGKILL)


def test_never_a_ninth_never_one_lost(hub: Installation) -> None:
    names = [f"user{number}" for number in range(PEOPLE)]
    crowd = Crowd(hub, names, {name: hub.add_user(name, "vision") for name in names})
    watch = Watch(hub)
    kills = {LAUNCHES * (index + 1) // (KILLS + 1) for index in range(KILLS)}
    started = time.monotonic()
    with crowd.entered(), watch.watching(), ThreadPoolExecutor(AT_ONCE) as pool:
        for number, _ in enumerate(pool.map(crowd.launch, range(LAUNCHES), chunksize=1)):
            if number in kills:
                _kill_service(hub)
            elif number % 100 == 50:
                crowd.stop_someone(random.Random(number))
    seconds = time.monotonic() - started
    print(json.dumps({"seconds": round(seconds), "answers": crowd.answers, "most GPUs": watch.most}, default=str))
    assert crowd.odd == []
    assert watch.faults == []
    assert 0 < watch.most <= GPUS
    assert watch.looks > 20
    _empty_the_queue(hub)
    _all_agree(hub, names)
    for name in names:
        if hub.server(name):
            hub.stop_server(name)
    wait_for(lambda: not hub.reservations(), 60, "nothing held at the end")
    wait_for(lambda: not hub.containers(running=False), 30, "no container left")


def _empty_the_queue(hub: Installation) -> None:
    """Call off what still waits: it would start as soon as something else is stopped."""
    admin, _ = hub.first_admin()
    with hub.api(admin) as client:

        def is_empty() -> bool:
            waiting = client.get("services/mlabhub/api/v1/queue").json()["entries"]
            for entry in waiting:
                client.delete(f"services/mlabhub/api/v1/launches/{entry['launch_id']}")
            return not waiting

        wait_for(is_empty, 60, "nothing waits")


def _all_agree(hub: Installation, names: list[str]) -> None:
    """Hub, engine and ledger name the same servers with the same GPUs, each GPU once."""

    def views() -> tuple[set[str], set[str], set[str]]:
        in_hub = {name for name in names if (hub.server(name) or {}).get("ready")}
        in_engine = {row["Labels"]["mlabhub.user"] for row in hub.containers().values()}
        return in_hub, in_engine, {row["user"] for row in hub.reservations()}

    def agree() -> bool:
        in_hub, in_engine, in_ledger = views()
        return in_hub == in_engine == in_ledger

    wait_for(agree, 90, f"hub, engine and ledger agree: {views()}")
    held = Counter(gpus_held(hub))
    there = Counter(gpu for row in hub.containers().values() for gpu in gpus_of(row))
    assert held == there
    assert all(count == 1 for count in held.values())
    assert sum(held.values()) <= GPUS
