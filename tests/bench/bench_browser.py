"""Every page over a large ledger in a real Chromium: how long until it is complete, and what it goes on asking.

    python -m tests.bench.bench_browser [--users 10000] [--servers 3000] [--nodes 400] [--days 90] [--idle-s 60]
                                        [--only queue cluster]

Runs what `bench_pages` runs, with nginx in front of hub and service, and opens each page as an administrator in a
browser that knows nothing yet, then once more. Prints a line of JSON for each page: ``complete_ms`` and ``again_ms``,
from the address being asked for until the browser has loaded all of it (its `loadEventEnd`); ``requests`` and
``scripts_kb`` as they came over the line; ``asks_per_s``, what a page that is left open asks while nobody touches it.
In the same run, ``hub-admin``: the hub's own admin page, complete when its table is there.
"""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, sync_playwright
from playwright.sync_api import Page as Tab

from tests.bench.bench_pages import Failed, Place, a_place, site_parser
from tests.bench.pages_hub import ADMINS
from tests.chromium import CHROMIUM, CHROMIUM_FLAGS
from tests.nginx import run_nginx
from tests.pages.all_pages import PAGES, Page

COMPLETE_MS = 1000.0
ASKS_PER_S = 0.2
MOVES = ("starting",)
"""What shows something going on looks for it as long as it does."""
SERVICE = """location {prefix} {{
        proxy_pass http://127.0.0.1:{port};
        proxy_set_header Host $http_host;
        proxy_buffering off;
    }}"""
ROUTES = """Array.from(performance.getEntriesByType("resource"), (one) =>
    [one.initiatorType, one.name.split("?")[0].endsWith(".js"), one.transferSize])"""


@dataclass(frozen=True)
class Desk:
    """A place, where it is reached, and a browser."""

    place: Place
    origin: str
    browser: Browser

    @contextmanager
    def sits_down(self) -> Iterator[BrowserContext]:
        """Give a fresh browser in which an administrator is logged in."""
        context = self.browser.new_context(viewport={"width": 1280, "height": 800})
        pairs = "; ".join((self.place.cookie_of(ADMINS[0]), self.place.admin_cookies)).split("; ")
        cookies = (pair.partition("=") for pair in pairs)
        context.add_cookies([{"name": name, "value": value, "url": self.origin} for name, _, value in cookies])
        try:
            yield context
        finally:
            context.close()


@contextmanager
def a_desk(place: Place) -> Iterator[Desk]:
    """Put nginx in front of a place, and run a Chromium."""
    prefix, port = place.settings.service_prefix, place.settings.service_port
    service = SERVICE.format(prefix=prefix, port=port)
    with (
        tempfile.TemporaryDirectory(prefix="mlabhub-bench-") as folder,
        run_nginx(Path(folder) / "nginx", place.settings.hub_port, tls=False, more=service) as nginx,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        try:
            yield Desk(place, nginx.origin, browser)
        finally:
            browser.close()


def complete_ms(tab: Tab, address: str) -> float:
    """Open an address; return how long that took until all of it was loaded."""
    answer = tab.goto(address, wait_until="load")
    if answer is None or not answer.ok:
        raise Failed(f"{address}: {answer and answer.status}")
    tab.wait_for_function("performance.getEntriesByType('navigation')[0].loadEventEnd > 0")
    return float(tab.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd"))


def open_page(desk: Desk, page: Page, idle_s: float) -> dict[str, Any]:
    """Return a page's figures."""
    path = page.path.format(**{key: one.name for key, one in desk.place.subjects.items()})
    address = f"{desk.origin}{desk.place.settings.service_prefix}{path}"
    with desk.sits_down() as context:
        tab = context.new_page()
        first = complete_ms(tab, address)
        loaded = tab.evaluate(ROUTES)
        again = complete_ms(tab, address)
        asked: list[str] = []
        context.on("request", lambda request: asked.append(request.url))
        tab.wait_for_timeout(1000 * idle_s)
    return {
        "page": page.name,
        "complete_ms": round(first),
        "again_ms": round(again),
        "requests": 1 + len(loaded),
        "scripts_kb": round(sum(size for _, script, size in loaded if script) / 1000, 1),
        "asks_per_s": round(len(asked) / idle_s, 3) if idle_s else None,
    }


def open_hub_admin(desk: Desk) -> dict[str, Any]:
    """Return for how long one waits for the table of the hub's own admin page."""
    with desk.sits_down() as context:
        tab = context.new_page()
        took = []
        for _ in range(2):
            began = time.perf_counter()
            tab.goto(f"{desk.origin}/hub/admin", wait_until="load")
            tab.wait_for_selector("table tbody tr")
            took.append(round(1000 * (time.perf_counter() - began)))
    return {"page": "hub-admin", "complete_ms": took[0], "again_ms": took[1]}


def measure(place: Place, names: Collection[str], idle_s: float) -> Iterator[dict[str, Any]]:
    """Yield figures of pages, all of them where none is named, then of the hub's."""
    with a_desk(place) as desk:
        for page in PAGES:
            if not page.asks and (not names or page.name in names):
                yield open_page(desk, page, idle_s)
        yield open_hub_admin(desk)


def is_good(figures: dict[str, Any]) -> bool:
    """Return whether a page of ours is complete as soon, and asks as little, as was promised."""
    quiet = figures["page"] in MOVES or (figures.get("asks_per_s") or 0.0) < ASKS_PER_S
    return bool(figures["complete_ms"] < COMPLETE_MS and quiet)


def main() -> int:
    """Print the figures; exit 1 when a page of ours misses the target."""
    parser = site_parser(__doc__)
    parser.add_argument("--idle-s", type=float, default=60.0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that hub and service are ended, too
    arguments = vars(parser.parse_args())
    names, idle_s = arguments.pop("only"), arguments.pop("idle_s")
    good = True
    with a_place(**arguments) as place:
        for figures in measure(place, names, idle_s):
            print(json.dumps(figures), flush=True)
            good = good and (figures["page"] == "hub-admin" or is_good(figures))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
