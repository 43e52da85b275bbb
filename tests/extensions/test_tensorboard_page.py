"""TensorBoard as a person sees it, in a real browser: a curve from a real event file, folders that come and go."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Page, Response, expect

from tests.extensions.events import write_curves
from tests.extensions.hub import Hub
from tests.extensions.server import TOKEN, JupyterServer

pytestmark = [pytest.mark.long, pytest.mark.browser]

PATIENCE_MS = 60_000
SEEN_MS = 15_000
"""How soon a change of the list is to be seen: eight seconds, and what a busy machine takes."""
LOSS = [2 - 0.04 * step for step in range(50)]
OTHER = [1 + math.sin(step / 5) for step in range(50)]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[JupyterServer]:
    """Run a server of a name with a runs folder that it has not been told of."""
    one = JupyterServer(tmp_path, base_url="/user/alice/x/", environ={"MLABHUB_OWN_NETWORK": "1"})
    write_curves(one.home / "project/runs/first", {"loss": LOSS})
    write_curves(one.home / "elsewhere/exp/second", {"loss": OTHER})
    yield one
    one.close()


def wait_for_runs(page: Page, *names: str) -> None:
    """Wait until the page itself shows these runs, nobody touching it."""
    for name in names:
        expect(page.locator("runs-table").get_by_text(name, exact=True)).to_be_visible(timeout=SEEN_MS)


def values(page: Page) -> str:
    """Return the text of the curve's card: its axes, and the table of the last values."""
    return page.locator("scalar-card").first.inner_text()


def test_a_newcomer_sees_a_curve(server: JupyterServer, browser: Browser) -> None:
    context = browser.new_context(viewport={"width": 1200, "height": 800})
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    faults: list[str] = []

    def on_response(response: Response) -> None:
        if response.status >= 400:
            faults.append(f"{response.status} {response.url}")

    page.on("response", on_response)
    page.on("pageerror", lambda error: faults.append(str(error)))
    # With no folder: the list, which has found one. One press, another, and there it is.
    page.goto(f"{server.url}tensorboard/?token={TOKEN}")
    expect(page.get_by_role("heading", name="Log folders")).to_be_visible()
    page.get_by_role("button", name=f"Add {server.home}/project/runs").click()
    expect(page.get_by_text("Runs: 1 · event files: 1")).to_be_visible()
    page.get_by_role("link", name="Open TensorBoard").click()
    wait_for_runs(page, "project/runs/first")
    card = page.locator("scalar-card").first
    expect(card.locator("line-chart")).to_be_visible()
    expect(card).to_contain_text("project/runs/first")
    # The table below the curve says what was written: value and step of its end.
    assert {"0.04", "49"} <= set(values(page).split())
    page.wait_for_timeout(1000)
    begun, middle, ended = heights(page)
    assert begun < middle < ended  # It falls, as what was written does.
    assert faults == []

    # Another folder, added in another tab: this page shows it without being touched; and without it again.
    listed = context.new_page()
    listed.goto(f"{server.url}mlabhub/log-folders")
    listed.fill("#path", "~/elsewhere/e")
    expect(listed.locator("datalist option").first).to_have_attribute("value", "~/elsewhere/exp")
    listed.fill("#path", "~/elsewhere/exp")
    listed.get_by_role("button", name="Add", exact=True).click()
    page.bring_to_front()
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    wait_for_runs(page, "project/runs/first", "elsewhere/exp/second")
    listed.bring_to_front()
    listed.get_by_role("button", name=f"Remove {server.home}/elsewhere/exp from the list").click()
    page.bring_to_front()
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("runs-table").get_by_text("elsewhere/exp/second")).to_have_count(0, timeout=SEEN_MS)
    # And the way back from TensorBoard to the list.
    page.get_by_role("link", name="Log folders").click()
    expect(page.get_by_role("link", name="Open TensorBoard")).to_be_visible()
    context.close()


def heights(page: Page) -> list[float]:
    """Return how far below the chart's top the run's line is, in its left, middle and right part, by its pixels."""
    swatch = page.locator("scalar-card [style*='background-color']").first.evaluate("e => e.style.backgroundColor")
    colour = [int(part) for part in re.findall(r"\d+", swatch)[:3]]
    picture = Image.open(io.BytesIO(page.locator("scalar-card .series-view").first.screenshot())).convert("RGB")
    found: list[list[int]] = [[], [], []]
    for x in range(picture.width):
        for y in range(picture.height):
            if sum(abs(a - b) for a, b in zip(picture.getpixel((x, y)), colour, strict=True)) < 60:
                found[3 * x // picture.width].append(y)
    return [sum(part) / len(part) for part in found]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_list_is_for_everybody(server: JupyterServer, browser: Browser, scheme: str) -> None:
    context = browser.new_context(
        viewport={"width": 320, "height": 640}, color_scheme="dark" if scheme == "dark" else "light"
    )
    page = context.new_page()
    page.goto(f"{server.url}mlabhub/log-folders?token={TOKEN}")
    page.fill("#path", "/etc")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("/etc is not in one of your folders")
    page.fill("#path", "~/project/runs")
    page.keyboard.press("Enter")
    expect(page.get_by_role("list", name="Shown folders")).to_contain_text("project/runs")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    found = Axe().run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "best-practice"]})
    assert [one["id"] for one in found.response["violations"]] == []
    context.close()


def test_without_scripts(server: JupyterServer, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{server.url}mlabhub/log-folders?token={TOKEN}")
    page.fill("#path", "~/later")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_text("Nothing there yet")).to_be_visible()
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_role("list", name="Shown folders")).to_have_count(0)
    context.close()


def test_an_untouched_page_asks_for_nothing_that_counts(server: JupyterServer, browser: Browser) -> None:
    page = browser.new_page()
    page.clock.install()
    with server.client() as client:
        client.post("mlabhub/api/log-folders", json={"path": "~/project/runs"}).raise_for_status()
        client.get("tensorboard/data/environment").raise_for_status()
    page.goto(f"{server.url}tensorboard/?token={TOKEN}")
    page.wait_for_selector("tb-webapp")
    # What the page's start asks for is over when TensorBoard has surely read everything.
    page.wait_for_timeout(9000)
    page.clock.run_for(60_000)
    page.wait_for_timeout(3000)
    asked: list[tuple[str, str]] = []
    page.on("request", lambda request: asked.append((request.method, request.url.removeprefix(server.url))))
    for _ in range(10):
        page.clock.run_for(60_000)
    assert set(asked) == {("GET", "mlabhub/api/log-folders/use")}
    asked.clear()
    page.mouse.move(300, 300)
    page.mouse.move(310, 310)
    page.wait_for_timeout(500)
    assert asked.count(("POST", "mlabhub/api/log-folders/use")) == 1
    page.close()


def test_in_the_workbench_of_a_hub(browser: Browser, tmp_path: Path) -> None:
    hub = Hub(tmp_path, {"echo": ["serve"]})
    context = browser.new_context(viewport={"width": 1200, "height": 800})
    try:
        hub.start_server("alice")
        write_curves(tmp_path / "alice/runs/first", {"loss": LOSS})
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(f"{hub.url}hub/login")
        page.fill("#username_input", "alice")
        page.fill("#password_input", "any")
        page.click("#login_submit")
        page.wait_for_url("**/user/alice/**")
        page.goto(f"{hub.url}user/alice/mlabhub/open/tensorboard")
        # From the list to TensorBoard and back, all in the workbench's frame, which a hub's pages forbid to others.
        frame = page.frame_locator("#frame-tensorboard")
        for _ in range(2):
            frame.get_by_label("Path of a folder").fill("~/runs")
            frame.get_by_role("button", name="Add", exact=True).click()
            frame.get_by_role("link", name="Open TensorBoard").click()
            expect(frame.locator("runs-table").get_by_text("runs/first", exact=True)).to_be_visible(timeout=PATIENCE_MS)
            frame.get_by_role("link", name="Log folders").click()
    finally:
        context.close()
        hub.close()


def test_a_key_is_told_at_once_and_then_seldom(server: JupyterServer, browser: Browser) -> None:
    page = browser.new_page()
    page.clock.install()
    page.goto(f"{server.url}mlabhub/log-folders?token={TOKEN}")
    told: list[str] = []
    page.on("request", lambda request: told.append(request.url) if request.method == "POST" else None)
    page.clock.run_for(11_000)
    for _ in range(20):
        page.keyboard.press("Shift")
    page.clock.run_for(9_000)
    page.keyboard.press("Shift")
    page.wait_for_timeout(300)
    assert len(told) == 1
    page.clock.run_for(2_000)
    page.keyboard.press("Shift")
    page.wait_for_timeout(300)
    assert len(told) == 2
