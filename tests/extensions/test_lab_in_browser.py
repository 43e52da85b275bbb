"""JupyterLab's page in a real Chromium: the status bar, a warning, keeping, releasing, saving for an order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.at_work import make_notebook
from tests.extensions.server import CHECKOUT, OURS, TOKEN, JupyterServer, Start
from tests.extensions.test_agent import Receiver, environ_of
from tests.extensions.test_standing import receiver, status
from tests.installation import wait_for

__all__ = ["receiver"]

pytestmark = [pytest.mark.browser, pytest.mark.long, pytest.mark.timeout(200)]

GIB = 2**30
SOON = 15_000
WARNING_SHOWN = ".jp-Notification-Toast-warning"
STATUS: dict[str, Any] = {
    "now": 1000.0,
    "age": 5,
    "verdict": "idle",
    "text": {"en": "GPU idle for 8 min; warned in 22 min unless it is used.", "zh_CN": "GPU 已空闲 8 分钟。"},
    "since": 520.0,
    "due": 1005.0 + 22.5 * 60,
    "deadline": None,
    "warning": None,
    "gpu": {"count": 1, "percent": 37.4, "memory_used": 61 * GIB, "memory_total": 80 * GIB},
    "cpu_cores": 0.4,
    "quota": {"group": "vision", "used": 14, "guaranteed": 24, "limit": 64},
    "keep": {"left": 2, "most_s": 4 * 3600},
    "can_release": True,
    "page": "/services/mlabhub/idle/01ABC",
    "order": None,
}
WARNING = {
    "at": 1234.5,
    "title": {"en": "Your GPU is idle", "zh_CN": "您的 GPU 空闲"},
    "body": {"en": "It is stopped in 12 min unless it is used or kept.", "zh_CN": "除非使用或保留，12 分钟后停止。"},
}
WARNED = {**STATUS, "verdict": "warned", "due": None, "deadline": 1005.0 + 12.5 * 60, "warning": WARNING}
ORDER = {"until": 2000.0, "reason": {"en": "It was idle for 40 min.", "zh_CN": "已空闲 40 分钟。"}}


class Lab:
    """A server with JupyterLab, what it says of itself, and what was posted."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "idle.json"
        self.say(STATUS)
        self.server = JupyterServer(
            folder,
            # Loaded by the order of their names, and what comes first answers, as the agent does in the product.
            extensions=OURS | {"jupyterlab": True, "idle_offer": True},
            environ={
                "IDLE": str(self.file),
                "MLABHUB_TOOLS": "lab",
                "JUPYTERHUB_USER": "alice",
                "PYTHONPATH": f"{CHECKOUT}:{Path(__file__).parent}",
            },
        )

    def say(self, status: dict[str, Any] | int | None) -> None:
        """Let the server say this of itself from now on."""
        self.file.write_text(json.dumps(status))

    def refuse(self, sentence: str) -> None:
        """Let the server refuse what is asked for."""
        self.file.with_suffix(".refused").write_text(sentence)

    def posts(self, what: str) -> list[Any]:
        """Return the bodies that were posted to one address."""
        file = self.file.with_suffix(".posts")
        lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return [body for name, body in lines if name == what]

    def forget(self) -> None:
        """Begin anew for the next test."""
        for suffix in (".posts", ".refused"):
            self.file.with_suffix(suffix).unlink(missing_ok=True)
        self.say(STATUS)

    def wait_for_post(self, what: str) -> Any:
        """Return the one body that was posted to an address, once it was."""
        wait_for(lambda: bool(self.posts(what)), 30, f"a post of {what}")
        (body,) = self.posts(what)
        return body


@pytest.fixture(scope="module")
def one_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = Lab(tmp_path_factory.mktemp("lab"))
    yield lab
    lab.server.close()


@pytest.fixture
def lab(one_lab: Lab) -> Lab:
    one_lab.forget()
    return one_lab


@pytest.fixture
def page(lab: Lab, browser: Browser) -> Iterator[Page]:
    context = browser.new_context(base_url=lab.server.url, viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.goto(f"api?token={TOKEN}")
    yield page
    context.close()


def look_again(page: Page) -> None:
    """Have the page ask anew, as when it comes to the front."""
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def open_lab(page: Page, address: str = "lab") -> None:
    page.goto(address)
    expect(page.locator(".mlabhub-idle-item")).to_be_visible(timeout=90_000)


def test_status_bar_says_what_is_known(lab: Lab, page: Page) -> None:
    open_lab(page)
    item = page.locator(".mlabhub-idle-item")
    expect(item).to_have_text("GPU 37 % · 61 of 80 GB · idle in 22 min · vision 14/24")
    page.set_viewport_size({"width": 360, "height": 640})
    expect(item).to_be_in_viewport(ratio=1)
    page.set_viewport_size({"width": 1280, "height": 800})
    unknown = {"count": 1, "percent": None, "memory_used": None, "memory_total": None}
    lab.say({**STATUS, "verdict": "unknown", "gpu": unknown, "quota": None})
    look_again(page)
    expect(item).to_have_text("GPU not measured · use not known", timeout=SOON)
    lab.say({**STATUS, "age": 400})
    look_again(page)
    expect(item).to_have_text("use not known for 6 min", timeout=SOON)
    lab.say(500)
    look_again(page)
    page.wait_for_timeout(2_000)
    expect(item).to_have_text("use not known for 6 min")
    lab.say(404)
    look_again(page)
    expect(item).to_be_hidden(timeout=30_000)
    assert not lab.posts("seen")


def test_nothing_is_shown_where_the_server_tells_nothing(lab: Lab, page: Page) -> None:
    lab.say(404)
    page.goto("lab")
    expect(page.locator(".jp-LauncherCard").first).to_be_visible(timeout=90_000)
    page.wait_for_timeout(5_000)
    expect(page.locator(".mlabhub-idle-item")).to_be_hidden()


def test_warning_is_shown_once_told_and_taken_back(lab: Lab, page: Page) -> None:
    open_lab(page)
    lab.say(WARNED)
    look_again(page)
    toast = page.locator(WARNING_SHOWN)
    expect(toast).to_contain_text("It is stopped in 12 min unless it is used or kept.", timeout=SOON)
    assert lab.wait_for_post("seen") == 1234.5
    expect(page.locator(".mlabhub-idle-item")).to_have_text("GPU 37 % · 61 of 80 GB · stops in 12 min · vision 14/24")
    look_again(page)
    page.wait_for_timeout(2_000)
    expect(toast).to_have_count(1)
    assert len(lab.posts("seen")) == 1
    lab.say(STATUS)
    look_again(page)
    expect(toast).to_have_count(0, timeout=SOON)


def test_warning_in_a_page_that_nobody_sees_is_not_seen(lab: Lab, page: Page) -> None:
    open_lab(page)
    # The agent tells of each warning once, whatever was tested before.
    lab.say({**WARNED, "warning": {**WARNING, "at": 5432.0}})
    look_again(page)
    page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    expect(page.locator(WARNING_SHOWN)).to_have_count(1, timeout=SOON)
    page.wait_for_timeout(3_000)
    assert not lab.posts("seen")
    page.evaluate("delete document.hidden")
    assert lab.wait_for_post("seen") == 5432.0


def test_a_warning_on_the_screen_reaches_the_service(start: Start, receiver: Receiver, browser: Browser) -> None:
    """The whole way: the service warns, the agent tells JupyterLab, JupyterLab shows it, the service hears of it."""
    extensions = {**OURS, "jupyterlab": True, "mlabhub_agent": True, "tests.extensions.hurried_agent": True}
    server = start(environ={**environ_of(receiver), "MLABHUB_TOOLS": "lab"}, extensions=extensions)
    at = status()["warning"]["at"]

    def told() -> list[dict[str, Any]]:
        return [body for _, body in receiver.calls if "seen" in body]

    context = browser.new_context(base_url=server.url)
    page = context.new_page()
    page.goto(f"api?token={TOKEN}")
    open_lab(page)
    expect(page.locator(WARNING_SHOWN)).to_contain_text("It will be stopped.", timeout=60_000)
    wait_for(told, 30, "the service hears that it was shown")
    [body] = told()
    assert (body["seen"], body["server"]) == (at, "alice/train")
    context.close()


def test_keep_with_a_reason(lab: Lab, page: Page) -> None:
    open_lab(page)
    page.click(".mlabhub-idle-item")
    panel = page.locator(".mlabhub-idle-panel")
    expect(panel).to_contain_text("GPU idle for 8 min; warned in 22 min unless it is used.")
    expect(panel).to_contain_text("vision holds 14 GPUs; 24 guaranteed to it, 64 at most.")
    expect(panel).to_contain_text("It can be kept 2 more times.")
    expect(panel.locator("a")).to_have_attribute("href", "/services/mlabhub/idle/01ABC")
    panel.get_by_label("Why is it still needed?").fill("the talk is at three")
    panel.get_by_role("button", name="Keep for 2 h").click()
    assert lab.wait_for_post("keep") == {"seconds": 7200, "reason": "the talk is at three"}
    expect(panel).to_contain_text("Kept.")
    lab.refuse("It was kept 2 times already.")
    panel.get_by_role("button", name="Keep for 2 h").click()
    expect(panel).to_contain_text("This did not work: It was kept 2 times already.")


def test_enter_in_the_reason_keeps_and_elsewhere_closes(lab: Lab, page: Page) -> None:
    open_lab(page)
    page.click(".mlabhub-idle-item")
    panel = page.locator(".mlabhub-idle-panel")
    reason = panel.get_by_label("Why is it still needed?")
    reason.fill("a long run")
    # Also ends a word that is being put together, as in Chinese: that is no wish.
    reason.dispatch_event("keydown", {"key": "Enter", "isComposing": True})
    page.wait_for_timeout(500)
    assert not lab.posts("keep")
    reason.press("Enter")
    assert lab.wait_for_post("keep") == {"seconds": 7200, "reason": "a long run"}
    expect(panel).to_contain_text("Kept.")
    page.locator(".jp-Dialog-footer button").focus()
    page.keyboard.press("Enter")
    expect(panel).to_have_count(0)


SHOWN = """
window.shown = [];
window.Notification = class extends window.Notification {
  constructor(title, options) {
    super(title, options);
    this.addEventListener("show", () => window.shown.push(["show", title, options.body, options.tag]));
    this.addEventListener("close", () => window.shown.push(["close", title]));
  }
};
"""
"""The browser's own notifications, and what became of each."""


def test_the_browser_tells_it_outside_the_page_where_it_was_asked_to(lab: Lab, page: Page) -> None:
    page.context.grant_permissions(["notifications"], origin=lab.server.url.removesuffix("/user/alice/"))
    page.add_init_script(SHOWN)
    open_lab(page)
    lab.say({**WARNED, "warning": {**WARNING, "at": 1.0}})
    look_again(page)
    expect(page.locator(WARNING_SHOWN)).to_have_count(1, timeout=SOON)
    assert page.evaluate("window.shown") == [], "nobody has switched it on"
    page.click(".mlabhub-idle-item")
    page.get_by_label("Notify me outside this page, too").check()
    page.locator(".jp-Dialog-footer button").click()
    lab.say({**WARNED, "warning": {**WARNING, "at": 2.0}})
    look_again(page)
    page.wait_for_function("window.shown.length === 1", timeout=SOON)
    body = "It is stopped in 12 min unless it is used or kept."
    assert page.evaluate("window.shown") == [["show", "Your GPU is idle", body, "mlabhub-idle-2"]]
    lab.say(STATUS)
    look_again(page)
    page.wait_for_function("window.shown.length === 2", timeout=SOON)
    assert page.evaluate("window.shown[1]") == ["close", "Your GPU is idle"]


def test_what_cannot_be_kept_or_released_offers_neither(lab: Lab, page: Page) -> None:
    lab.say({**STATUS, "keep": {"left": 0, "most_s": 7200}, "can_release": False})
    open_lab(page)
    page.click(".mlabhub-idle-item")
    panel = page.locator(".mlabhub-idle-panel")
    expect(panel.get_by_role("button", name="Keep for 2 h")).to_be_disabled()
    expect(panel.get_by_role("button", name="Release")).to_be_hidden()


def type_into_a_notebook(lab: Lab, page: Page, name: str) -> Path:
    """Open a notebook and change it, without saving."""
    file = lab.server.home / name
    file.write_text(make_notebook("first"))
    # A workspace of its own: JupyterLab opens again what another test had open in one.
    open_lab(page, f"lab/workspaces/{file.stem}/tree/{name}")
    cell = page.locator(".jp-Notebook .jp-Cell .cm-content").first
    cell.click(timeout=60_000)
    page.keyboard.press("Control+a")
    page.keyboard.insert_text("typed = 'not saved yet'")
    expect(page.locator(".jp-mod-dirty").first).to_be_visible()
    assert "not saved yet" not in file.read_text()
    return file


def test_release_asks_saves_and_then_posts(lab: Lab, page: Page) -> None:
    file = type_into_a_notebook(lab, page, "release.ipynb")
    for answer in ("Cancel", "Release the GPU now"):
        page.click(".mlabhub-idle-item")
        page.locator(".mlabhub-idle-panel").get_by_role("button", name="Release the GPU now").click()
        question = page.locator(".jp-Dialog")
        expect(question).to_contain_text("All open documents are saved")
        assert not lab.posts("release")
        assert "not saved yet" not in file.read_text()
        question.get_by_role("button", name=answer).click()
        expect(question).to_have_count(0)
    lab.wait_for_post("release")
    assert "not saved yet" in file.read_text()
    expect(page.locator(".jp-Notification-Toast-success")).to_contain_text("The GPU is being released.")


def test_order_saves_what_is_open_and_says_why(lab: Lab, page: Page) -> None:
    file = type_into_a_notebook(lab, page, "order.ipynb")
    lab.say({**WARNED, "warning": None, "verdict": "stop", "order": ORDER})
    look_again(page)
    assert lab.wait_for_post("saved-documents")
    assert "not saved yet" in file.read_text()
    expect(page.locator(".jp-Notification-Toast-info")).to_contain_text(
        "goes on without a GPU. It was idle for 40 min."
    )
    look_again(page)
    page.wait_for_timeout(2_000)
    assert len(lab.posts("saved-documents")) == 1


def test_in_chinese_where_the_browser_asks_for_it(lab: Lab, browser: Browser) -> None:
    lab.say(WARNED)
    context = browser.new_context(base_url=lab.server.url, locale="zh-CN")
    page = context.new_page()
    page.goto(f"api?token={TOKEN}")
    open_lab(page)
    expect(page.locator(".mlabhub-idle-item")).to_have_text("GPU 37 % · 61 / 80 GB · 12 分钟后停止 · vision 14/24")
    expect(page.locator(WARNING_SHOWN)).to_contain_text("您的 GPU 空闲")
    context.close()
