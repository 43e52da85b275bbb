"""What open tools cost while nobody touches them: memory and CPU of a server with each tool open in a browser.

    python -m tests.bench.bench_idle_tools [--minutes 10] [--tools lab vscode ...]

Runs a real installation (hub, proxy, service, Podman) and a real Chromium, starts one server a tool, opens the tool as
a person would, waits until it is there, and then leaves page and server alone. Measured are all processes of each
container: memory as the sum of their PSS (what is shared counts once), CPU as what they spent in the minutes, ended
children included. ``nothing`` is a server that no browser looks at; ``tensorboard-alone`` is the kind of server that
Home starts for a log folder. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from playwright.sync_api import Browser, Page

from tests.chromium import run_chromium, sign_in
from tests.extensions.events import write_curves
from tests.installation import Installation, free_port

MIB = 2**20
SETTLE_S = 60.0
"""How long a tool may finish its start before it counts as left alone."""
LOOK_S = 5.0


@dataclass(frozen=True)
class Case:
    """A server with one tool open: where, and by what it is seen to be there."""

    path: str = ""
    seen: str = ""
    image: str = "base"
    profile: str = "cpu"


CASES = {
    "nothing": Case(),
    "lab": Case("lab", ".jp-LauncherCard"),
    "vscode": Case("vscode/", ".monaco-workbench .activitybar"),
    "terminal": Case("terminal/", ".xterm-rows"),
    "desktop": Case("desktop/", "canvas:visible", image="desktop"),
    "tensorboard": Case("tensorboard/", "tb-webapp, tf-tensorboard"),
    "tensorboard-alone": Case("tensorboard/", "tb-webapp, tf-tensorboard", profile="tensorboard"),
}


@dataclass(frozen=True)
class Use:
    """What a container's processes take: PSS in bytes, CPU seconds so far, and how many they are."""

    memory: int
    cpu_s: float
    processes: int


def look(pid: int) -> Use:
    """Return what the processes below a container's first one take now."""
    memory, cpu_s, count = 0, 0.0, 0
    first = psutil.Process(pid)
    for process in [first, *first.children(recursive=True)]:
        try:
            times = process.cpu_times()
            memory += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
        cpu_s += times.user + times.system + times.children_user + times.children_system
        count += 1
    return Use(memory, cpu_s, count)


@contextmanager
def opened(browser: Browser, hub: Installation, name: str, password: str, case: Case) -> Iterator[Page | None]:
    """Open a case's tool as its person; the page stays until the end."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    if case.path:
        sign_in(page, hub.url, name, password)
        page.wait_for_url("**/services/mlabhub/**")
        page.goto(f"{hub.url}user/{name}/{case.path}")
        page.wait_for_selector(case.seen, timeout=120_000)
    yield page
    context.close()


def prepare(hub: Installation, tool: str, case: Case) -> str:
    """Open an account named by the tool and start its server; return the password."""
    password = hub.add_user(tool)
    options: dict[str, Any] = {"profile": case.profile}
    if case.profile == "cpu":
        options |= {"image": case.image, "cpu": 1, "memory_gib": 2}
    answer = hub.launch(tool, **options)
    assert answer.status_code == 201, answer.text
    hub.wait_ready(tool, seconds=120)
    if case.path == "tensorboard/":
        add_runs(hub, tool)
    return password


def add_runs(hub: Installation, name: str) -> None:
    """Write an event file to the person's folder and have TensorBoard show it."""
    home = hub.state / "nas" / "user" / name
    (home / "runs").mkdir(mode=0o755)
    write_curves(home / "runs", {"loss": [1 / (step + 1) for step in range(100)]})
    with hub.api(name) as client:
        body = {"path": f"/mnt/user/{name}/runs"}
        answer = client.post(f"user/{name}/mlabhub/api/log-folders", json=body)
    assert answer.is_success, answer.text


def first_process(hub: Installation, name: str) -> int:
    """Return the id of the first process of a person's container."""
    [container] = [one for one in hub.containers().values() if one["Labels"]["mlabhub.user"] == name]
    return int(hub.podman("inspect", "--format", "{{.State.Pid}}", container["Id"]))


def measure(folder: Path, tools: list[str], minutes: float) -> dict[str, Any]:
    """Open the tools in an empty folder's installation, leave them alone, and return the figures."""
    hub = Installation(folder / "state", free_port())
    try:
        hub.start()
        passwords = {tool: prepare(hub, tool, CASES[tool]) for tool in tools}
        with run_chromium() as chromium, ExitStack() as pages:
            for tool in tools:
                pages.enter_context(opened(chromium, hub, tool, passwords[tool], CASES[tool]))
            time.sleep(SETTLE_S)
            return watch({tool: first_process(hub, tool) for tool in tools}, minutes)
    finally:
        hub.close()


def watch(pids: dict[str, int], minutes: float) -> dict[str, Any]:
    """Return what each tool's processes take over some minutes: the most memory, the mean of their CPU."""
    began = time.monotonic()
    before = {tool: look(pid) for tool, pid in pids.items()}
    most = {tool: use.memory for tool, use in before.items()}
    while time.monotonic() < began + 60 * minutes:
        time.sleep(min(LOOK_S, 60 * minutes))
        most = {tool: max(most[tool], look(pid).memory) for tool, pid in pids.items()}
    after = {tool: look(pid) for tool, pid in pids.items()}
    seconds = time.monotonic() - began
    return {
        tool: {
            "memory_mib": round(most[tool] / MIB),
            "cpu_percent_of_a_core": round(100 * (after[tool].cpu_s - before[tool].cpu_s) / seconds, 2),
            "processes": after[tool].processes,
            "minutes": round(seconds / 60, 1),
        }
        for tool in pids
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--tools", nargs="+", choices=list(CASES), default=list(CASES))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mlabhub-bench-") as folder:
        json.dump(measure(Path(folder), arguments.tools, arguments.minutes), sys.stdout)
    print()


if __name__ == "__main__":
    main()
