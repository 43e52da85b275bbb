"""The pages in a real browser: by keyboard, without scripts, narrow and wide, light and dark, attacked."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, expect

from mlabhub.core.profiles import Catalog, Profile
from mlabhub.service.pages.base import PageHandler
from mlabhub.service.views import PastLaunch, Person
from tests.pages.lab import Lab
from tests.pages.launcher import CATALOG, MemoryLauncher
from tests.pages.site import PREFIX, Site

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

NARROW, WIDE = {"width": 320, "height": 640}, {"width": 1280, "height": 900}
LOOKS = [
    pytest.param(NARROW, "light", "zh-CN", id="narrow-light-zh"),
    pytest.param(NARROW, "dark", "en-US", id="narrow-dark-en"),
    pytest.param(WIDE, "light", "en-US", id="wide-light-en"),
    pytest.param(WIDE, "dark", "zh-CN", id="wide-dark-zh"),
]


@pytest_asyncio.fixture(loop_scope="session")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    """A fresh profile."""
    context = await browser.new_context(viewport=WIDE, locale="en-US")  # type: ignore[arg-type]
    yield context
    await context.close()


# A page's own waits, a tenth of what they are: what it does next is the same, and comes sooner. Its clock stays right.
HURRY = """for (const name of ["setTimeout", "setInterval"]) {
  const wait = window[name].bind(window);
  window[name] = (act, milliseconds, ...more) => wait(act, milliseconds / 10, ...more);
}"""


async def open_page(context: BrowserContext, site: Site | Lab, path: str = "", user: str = "alice") -> Page:
    """Return a page that is logged in; whatever the browser complains about fails the test."""
    page = await context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda line: complaints.append(line.text) if line.type in ("error", "warning") else None)
    page.complaints = complaints  # type: ignore[attr-defined]
    await context.request.get(f"{site.origin}/login-as/{user}", max_redirects=0)
    await page.goto(site.url + path)
    return page


async def pick(page: Page, name: str, value: str) -> None:
    """Press one of a field's buttons."""
    await page.click(f"input[name={name}][value='{value}'] + label")


def many_profiles(count: int) -> Catalog:
    """Return the catalogue with many more profiles."""
    more = [
        Profile.model_validate(
            {
                "slug": f"kind-{n}",
                "display_name": f"Kind {n}",
                "description": "One of many, and no two are alike.",
                "purpose": ("development", "training")[n % 2],
                "images": ["pytorch"],
                "cpu": {"min": 1, "max": 16},
                "memory_gib": {"min": 2, "max": 64},
                "gpus": [1, 2],
                "gpu_types": ["a100"],
            }
        )
        for n in range(count)
    ]
    return Catalog(profiles=(*CATALOG.profiles, *more), images=CATALOG.images, quotas=CATALOG.quotas)


async def start(launcher: MemoryLauncher, user: str, name: str, **options: Any) -> str:
    """Start a server behind the pages' back."""
    wish = {"profile": "cpu", **options}
    answer = await launcher.launch(Person(user), user=user, server_name=name, display_name=name, user_options=wish)
    return answer.launch_id


async def fill(launcher: MemoryLauncher) -> str:
    """Let there be one server of each kind; return the launch that is going on."""
    launcher.finish(await start(launcher, "alice", ""))
    launcher.finish(await start(launcher, "alice", "old", profile="gpu"))
    await launcher.stop(Person("alice"), "alice", "old")
    object.__setattr__(launcher.views["alice", "old"], "newer_image", True)
    await start(launcher, "bob", "train", profile="gpu", gpus=4, gpu_type="a100", group="vision")
    return await start(launcher, "alice", "exp", profile="gpu", gpus=2, gpu_type="t4")


# Whether the focus shows: a ring around the element, or around the label that stands for it.
RINGED = """() => [document.activeElement, document.activeElement.nextElementSibling].some(element => {
  const style = element && getComputedStyle(element);
  return style && style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
})"""


class TestLaunch:
    async def test_by_keyboard_alone(self, context: BrowserContext, site: Site, launcher: MemoryLauncher) -> None:
        page = await open_page(context, site, "launch")
        await self.tab_to(page, "a[data-profile=gpu]")
        await page.keyboard.press("Enter")
        await expect(page.locator("a[data-profile=gpu]")).to_have_attribute("aria-current", "true")
        assert await page.evaluate("document.activeElement.dataset.profile") == "gpu"
        await self.tab_to(page, "input[name=gpus]")
        await page.keyboard.press("ArrowRight")
        await self.tab_to(page, "input[name=memory_gib]")
        await page.keyboard.type("64")
        await self.tab_to(page, "input[name=name]")
        await page.keyboard.type("mine")
        await expect(page.locator("#forecast")).to_contain_text("8 CPU · 64 GiB · 2 GPU (simulated)")
        await self.tab_to(page, "#start")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/starting/**")
        options = {
            "profile": "gpu",
            "gpus": 2,
            "cpu": 8,
            "memory_gib": 64,
            "image": "pytorch",
            "options": {"shm_gib": 8},
        }
        assert launcher.calls[-1] == ("launch", "alice", "alice", "mine", "mine", options)
        assert page.complaints == []  # type: ignore[attr-defined]

    @staticmethod
    async def tab_to(page: Page, selector: str) -> None:
        """Press Tab until the element has the focus, and see that it shows."""
        for _ in range(40):
            await page.keyboard.press("Tab")
            if await page.evaluate("selector => document.activeElement.matches(selector)", selector):
                assert await page.evaluate(RINGED), f"the focus on {selector} cannot be seen"
                return
        raise AssertionError(f"{selector} cannot be reached by Tab")

    async def test_without_scripts(self, browser: Browser, site: Site, launcher: MemoryLauncher) -> None:
        context = await browser.new_context(viewport=NARROW, java_script_enabled=False)  # type: ignore[arg-type]
        page = await open_page(context, site, "")
        await page.click("text=Start your first server")
        await page.click("a[data-profile=gpu]")
        await page.fill("input[name=name]", "a b")
        await pick(page, "gpus", "2")
        await page.click("#start")
        await expect(page.locator("#error-name")).to_contain_text("cannot be a server's name")
        assert await page.is_checked("input[name=gpus][value='2']")
        await page.fill("input[name=name]", "mine")
        await page.click("#start")
        await expect(page.locator("h1")).to_have_text("Starting mine")
        launcher.finish(launcher.views["alice", "mine"].launch_id or "")
        await expect(page.locator("h1")).to_have_text("Arrived at user/alice/mine/mlabhub/open/lab", timeout=8000)
        await page.goto(site.url)
        await page.click("text=Stop…")
        await page.click("button:has-text('Stop the server')")
        await expect(page.locator("[role=status]")).to_have_text("mine was stopped.")
        await context.close()

    async def test_the_line_follows_and_offers(
        self, context: BrowserContext, site: Site, launcher: MemoryLauncher
    ) -> None:
        await fill(launcher)
        page = await open_page(context, site, "launch?profile=gpu", user="bob")
        forecast = page.locator("#forecast")
        await expect(forecast).to_contain_text("Not free now")
        await page.select_option("select[name=group]", "nlp")
        await expect(forecast).to_contain_text("bob holds 4 of 4 GPU")
        await pick(page, "gpus", "8")
        await expect(forecast).to_contain_text("Cannot start")
        launcher.release(launcher.views["bob", "train"].launch_id or "")
        await page.fill("input[name=name]", "later")
        await pick(page, "gpus", "4")
        await pick(page, "gpu_type", "t4")
        await expect(forecast).to_contain_text("4 T4 wait")
        await page.click("text=Start with 2 T4 (simulated) now")
        await page.wait_for_url("**/starting/**")
        options = launcher.calls[-1][-1]
        assert (launcher.calls[-1][4], options["gpus"], options["gpu_type"]) == ("later", 2, "t4")
        assert page.complaints == []  # type: ignore[attr-defined]

    async def test_the_head_follows_the_group(self, context: BrowserContext, site: Site) -> None:
        page = await open_page(context, site, "launch?profile=gpu", user="bob")
        head = page.locator("[data-part=head]")
        await expect(head).to_contain_text("vision holds 0 of 4 guaranteed GPU, and may borrow up to 2.")
        await page.select_option("select[name=group]", "nlp")
        await expect(head).to_contain_text("nlp holds 0 GPU, without a limit.")
        await expect(head).not_to_contain_text("vision")
        await page.click("a[data-profile=cpu]")
        await expect(page.locator("a[data-profile=cpu]")).to_have_attribute("aria-current", "true")
        assert await page.input_value("select[name=group]") == "nlp"

    async def test_choices_survive_loading_anew_and_going_back(self, context: BrowserContext, site: Site) -> None:
        page = await open_page(context, site, "launch?profile=gpu")
        await page.fill("input[name=memory_gib]", "64")
        await page.fill("input[name=name]", "mine")
        await pick(page, "gpu_type", "t4")
        await page.reload()
        await page.goto(site.url)
        await page.go_back()
        assert await page.input_value("input[name=memory_gib]") == "64"
        assert await page.input_value("input[name=name]") == "mine"
        assert await page.is_checked("input[name=gpu_type][value=t4]")
        assert "_xsrf" not in page.url

    async def test_again_by_one_click(self, context: BrowserContext, site: Site, launcher: MemoryLauncher) -> None:
        launcher.finish(await start(launcher, "alice", "exp", profile="gpu", gpus=2, gpu_type="t4"))
        await launcher.stop(Person("alice"), "alice", "exp")
        page = await open_page(context, site, "launch")
        await page.click("#again-start")
        await page.wait_for_url("**/starting/**")
        assert launcher.calls[-1][3:] == ("exp", "exp", {"profile": "gpu", "gpus": 2, "gpu_type": "t4"})

    async def test_slider_and_number_agree(self, context: BrowserContext, site: Site) -> None:
        page = await open_page(context, site, "launch")
        slider = page.locator(".mlab-slider").first
        await slider.fill("12")
        assert await page.input_value("input[name=cpu]") == "12"
        await page.fill("input[name=cpu]", "3")
        assert await slider.input_value() == "3"
        await expect(page.locator("#forecast")).to_contain_text("3 CPU")

    async def test_pressing_twice_starts_one(
        self, context: BrowserContext, site: Site, launcher: MemoryLauncher
    ) -> None:
        page = await open_page(context, site, "launch")
        await page.dblclick("#start")
        await page.wait_for_url("**/starting/**")
        await expect(page.locator("h1")).to_have_text("Starting Default server")
        assert len(launcher.views) == 1


class TestPickers:
    """What the script does for the larger fields; without it they are all there, and the service sorts it out."""

    async def test_what_is_typed_in_is_understood(self, context: BrowserContext, site: Site) -> None:
        page = await open_page(context, site, "launch?profile=all&group=nlp", user="bob")
        typed, note = page.locator("#field-image-typed"), page.locator("[data-part=note-image]")
        await expect(typed).to_be_hidden()
        await page.select_option("#field-image", "tensorflow")
        await expect(note).to_have_text("You can open: JupyterLab, TensorBoard.")
        await page.select_option("#field-image", ":typed")
        await typed.fill("master0:5000/eflops/x")
        await expect(note).to_have_text("registry master0:5000, image eflops/x, tag latest")
        await typed.fill("docker.io/evil/x")
        await expect(page.locator("#forecast")).to_contain_text("may not be typed in here")
        await page.select_option("#field-image", "base")
        await expect(page.locator("#forecast")).to_contain_text("Starts now")

    async def test_ticked_gpus_and_their_number_agree(
        self, context: BrowserContext, site: Site, launcher: MemoryLauncher
    ) -> None:
        await start(launcher, "alice", "a", profile="gpu", gpu_type="t4")
        page = await open_page(context, site, "launch?profile=all&group=nlp", user="bob")
        await pick(page, "gpu_type", "t4")
        await page.click("text=Choose specific GPUs")
        ticks = page.locator(".mlab-gpus li:visible input")
        assert await ticks.count() == 4, "those of the other type are left out"
        await ticks.nth(1).check()
        await ticks.nth(2).check()
        assert await page.is_checked("input[name=gpus][value='2']")
        await expect(page.locator("#forecast")).to_contain_text("Starts now")
        await ticks.nth(1).uncheck()
        await ticks.nth(0).check()
        await expect(page.locator("#forecast")).to_contain_text("Not free now")
        await page.click("text=Start with any 2 T4 (simulated) now")
        await page.wait_for_url("**/starting/**")
        assert launcher.calls[-1][-1]["gpus"] == 2
        assert "gpu_ids" not in launcher.calls[-1][-1]

    async def test_folders_by_keyboard(self, context: BrowserContext, site: Site, launcher: MemoryLauncher) -> None:
        page = await open_page(context, site, "launch?profile=all&group=nlp&gpu_type=t4", user="bob")
        await page.locator("#mounts summary").focus()
        await page.keyboard.press("Enter")
        await page.locator("#more-mounts").focus()
        await page.keyboard.press("Enter")
        assert await page.evaluate("document.activeElement.name") == "mount-2-share"
        await page.keyboard.type("/mnt/data")
        for key in ("Tab", "train/small", "Tab", "/data/x"):
            await (page.keyboard.press(key) if key == "Tab" else page.keyboard.type(key))
        await expect(page.locator("#forecast")).to_contain_text("Starts now")
        await page.click("#start")
        await page.wait_for_url("**/starting/**")
        assert launcher.calls[-1][-1]["mounts"] == [
            {"share": "imagenet", "subfolder": "train/small", "target": "/data/x"}
        ]
        assert page.complaints == []  # type: ignore[attr-defined]


class TestLive:
    """The page keeps itself true. Its clock is the test's, so that nobody waits."""

    @pytest_asyncio.fixture(loop_scope="session")
    async def page(self, context: BrowserContext, site: Site) -> Page:
        page = await context.new_page()
        await page.goto(f"{site.origin}/login-as/bob")
        await page.clock.install()
        await page.goto(f"{site.url}launch?profile=gpu&gpus=4&gpu_type=a100")
        await expect(page.locator("#forecast")).to_contain_text("Starts now")
        return page

    async def test_it_follows_the_world(self, page: Page, launcher: MemoryLauncher) -> None:
        heard = await page.evaluate_handle(
            """() => { const heard = []; new MutationObserver(all => heard.push(...all))
               .observe(document.getElementById('forecast'), {childList: true, subtree: true}); return heard; }"""
        )
        for _ in range(2):
            async with page.expect_response("**/preview"):
                await page.clock.run_for(10_500)
        assert await heard.evaluate("heard => heard.length") == 0, "a screen reader would say the same again"
        await start(launcher, "bob", "b", profile="gpu", gpus=1, gpu_type="a100")
        await page.focus("#start")
        async with page.expect_response("**/preview"):
            await page.clock.run_for(10_500)
        await expect(page.locator("#forecast")).to_contain_text("bob holds 1 of 4 GPU")
        await expect(page.locator("[data-part=head]")).to_contain_text("You hold 1 of 4 GPU")
        await expect(page.locator("[data-part=word-gpus-4]")).to_have_text("not now")
        await expect(page.locator("[data-part=again]")).to_contain_text("1 A100 (simulated)")
        assert await page.evaluate("document.activeElement.id") == "start"

    async def test_a_press_is_not_lost_to_a_refresh(self, page: Page, launcher: MemoryLauncher) -> None:
        launcher.past["bob"] = [PastLaunch("exp", "exp", time.time(), {"profile": "cpu"})]
        await page.reload()
        await page.hover("#again-start")
        await page.mouse.down()
        launcher.past["bob"] = [PastLaunch("exp", "exp", time.time() - 300, {"profile": "cpu"})]
        async with page.expect_response("**/preview"):
            await page.clock.run_for(10_500)
        await page.mouse.up()
        await page.wait_for_url("**/starting/**")
        assert launcher.calls[-1][3:] == ("exp", "exp", {"profile": "cpu"})

    async def test_it_rests_while_nobody_looks(self, page: Page) -> None:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        hide = "hidden => { Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});"
        await page.evaluate(hide + " document.dispatchEvent(new Event('visibilitychange')); }", True)
        await page.clock.run_for(120_000)
        assert asked == []
        async with page.expect_response("**/preview"):
            await page.evaluate(hide + " document.dispatchEvent(new Event('visibilitychange')); }", False)

    async def test_it_says_that_the_hub_is_away_and_comes_back(self, page: Page) -> None:
        tries: list[str] = []
        page.on("request", lambda request: tries.append(request.url))
        await page.route("**/preview", lambda route: route.abort())
        await page.clock.run_for(10_500)
        lost = page.locator("#launch-lost")
        await expect(lost).to_contain_text("The hub does not answer at the moment")
        for _ in range(12):
            await page.clock.run_for(10_000)
            await asyncio.sleep(0.05)
        assert 3 <= len(tries) <= 8, "it asks ever less often"
        await page.unroute("**/preview")
        for _ in range(14):  # in steps, for the clock's jumps also end the questions that are on their way
            await page.clock.run_for(5_000)
            await asyncio.sleep(0.05)
        await expect(lost).to_be_hidden()
        await expect(page.locator("#forecast")).to_contain_text("Starts now")

    async def test_it_says_that_the_login_has_ended(
        self, page: Page, context: BrowserContext, launcher: MemoryLauncher
    ) -> None:
        await page.fill("input[name=name]", "mine")
        await context.clear_cookies()
        await page.clock.run_for(10_500)
        lost = page.locator("#launch-lost")
        await expect(lost).to_contain_text("Your login has ended.")
        assert "name=mine" in (await lost.locator("a").get_attribute("href") or "")
        await page.click("#start")
        await page.wait_for_url("**/authorize**")
        assert launcher.calls == []


async def test_many_profiles_are_found(
    context: BrowserContext, site: Site, launcher: MemoryLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.pages.launcher.CATALOG", many_profiles(300))
    page = await open_page(context, site, "launch")
    await expect(page.locator("#found")).to_have_text("303 kinds")
    await page.fill("#find", "kind 299 train")
    await expect(page.locator("#found")).to_have_text("1 of 303")
    async with page.expect_request("**/preview") as asked:
        pass
    assert "cards=kind-299&" in f"{(await asked.value).post_data}&"
    await page.click("[data-card]:not([hidden]) a")
    await expect(page.locator("a[data-profile=kind-299]")).to_have_attribute("aria-current", "true")
    assert await page.input_value("#find") == "kind 299 train"
    await page.fill("#find", "no such thing")
    await expect(page.locator("#found")).to_have_text("No kind matches.")
    assert page.complaints == []  # type: ignore[attr-defined]


class TestStarting:
    @pytest_asyncio.fixture(loop_scope="session")
    async def context(self, context: BrowserContext) -> BrowserContext:
        await context.add_init_script(HURRY)
        return context

    async def test_follows_and_arrives(self, context: BrowserContext, site: Site, launcher: MemoryLauncher) -> None:
        launch_id = await start(launcher, "alice", "exp")
        page = await open_page(context, site, f"starting/{launch_id}")
        await expect(page.locator("[aria-current=step]")).to_contain_text("Starting the container")
        launcher.finish(launch_id)
        await page.wait_for_url("**/user/alice/exp/mlabhub/open/lab")
        assert page.complaints == []  # type: ignore[attr-defined]

    async def test_says_why_it_failed(self, context: BrowserContext, site: Site, launcher: MemoryLauncher) -> None:
        launch_id = await start(launcher, "alice", "exp")
        page = await open_page(context, site, f"starting/{launch_id}?profile=cpu&cpu=7")
        launcher.finish(launch_id, failure="The image base is not on this machine.")
        await expect(page.locator("[role=alert]")).to_have_text("The image base is not on this machine.")
        await expect(page.locator("h1")).to_have_text("exp did not start")
        await page.click("text=Back to the choices")
        assert await page.input_value("input[name=cpu]") == "7"

    async def test_survives_a_service_that_is_away(
        self, context: BrowserContext, site: Site, launcher: MemoryLauncher
    ) -> None:
        launch_id = await start(launcher, "alice", "exp")
        page = await open_page(context, site, f"starting/{launch_id}")
        await page.route("**/progress", lambda route: route.abort())
        await expect(page.locator("#starting-lost")).to_be_visible()
        await page.unroute("**/progress")
        launcher.finish(launch_id)
        await page.wait_for_url("**/user/alice/exp/mlabhub/open/lab", timeout=10_000)


# The ratio of two colours' luminances, as WCAG 2 defines it, for every piece of text on the page.
FAINT = """() => {
  const rgba = text => { const n = text.match(/[\\d.]+/g).map(Number); return [n[0], n[1], n[2], n[3] ?? 1]; };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const channel = c => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const luminance = c => 0.2126 * channel(c[0]) + 0.7152 * channel(c[1]) + 0.0722 * channel(c[2]);
  const behind = e => {
    const layers = [];
    for (; e; e = e.parentElement) layers.push(rgba(getComputedStyle(e).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const faint = [];
  for (const e of document.querySelectorAll('main *, .mlab-notice, .nav-link, #login_widget *')) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    const style = getComputedStyle(e);
    if (!own || !e.offsetParent || e.closest('.visually-hidden') || e.tagName === 'OPTION') continue;
    const back = behind(e), front = over(rgba(style.color), back);
    const [a, b] = [luminance(front), luminance(back)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) faint.push(`${e.textContent.trim().slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return faint;
}"""
UNLABELLED = """() => [...document.querySelectorAll('input:not([type=hidden]):not([aria-hidden]), select, button')]
  .filter(e => !(e.labels?.length || e.textContent.trim() || e.ariaLabel)).map(e => e.outerHTML)"""


@pytest.mark.parametrize(("size", "scheme", "locale"), LOOKS)
async def test_every_page_is_readable(
    browser: Browser, site: Site, launcher: MemoryLauncher, size: Any, scheme: Any, locale: str
) -> None:
    """No sideways scrolling, enough contrast, every control with a name, in every look."""
    launch_id = await fill(launcher)
    context = await browser.new_context(viewport=size, color_scheme=scheme, locale=locale)
    paths = [
        "",
        "launch",
        "launch?profile=gpu&gpus=4",
        f"starting/{launch_id}",
        "stop?server=exp",
        "reset?server=old",
        "nope",
    ]
    for path in paths:
        page = await open_page(context, site, path)
        assert await page.get_attribute("html", "data-bs-theme") == scheme
        assert await page.get_attribute("html", "lang") == ("zh-CN" if locale == "zh-CN" else "en")
        width = await page.evaluate("document.documentElement.scrollWidth")
        assert width <= size["width"], f"/{path} scrolls sideways"
        assert await page.evaluate(FAINT) == [], f"/{path} is hard to read"
        assert await page.evaluate(UNLABELLED) == [], f"/{path} has controls without a name"
        assert await page.locator("h1").count() == 1
        await page.close()
    await context.close()


async def test_the_menu_opens_on_a_phone_and_the_theme_changes(browser: Browser, site: Site) -> None:
    context = await browser.new_context(viewport=NARROW, color_scheme="light")  # type: ignore[arg-type]
    page = await open_page(context, site)
    await page.click(".navbar-toggler")
    await page.click("#dark-theme-toggle")
    await expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    await page.click("text=简体中文")
    await expect(page.locator("h1")).to_have_text("我的服务器")
    await expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    await context.close()


async def test_long_names_do_not_break_the_page(browser: Browser, site: Site, launcher: MemoryLauncher) -> None:
    long = "W" * 255
    launcher.groups["alice"] = (long,)
    await start(launcher, "alice", "exp")
    object.__setattr__(launcher.views["alice", "exp"], "display_name", "M" * 27)
    context = await browser.new_context(viewport=NARROW)  # type: ignore[arg-type]
    for path in ("", "launch", "launch?profile=gpu"):
        page = await open_page(context, site, path)
        assert await page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"], path
    await context.close()


# What a page of another user's server, on our origin, may try against one who visits it. Each says what it got.
GRAB = "doc => { const f = doc && doc.querySelector('input[name=confirm]'); return f ? f.value : 'nothing' }"
ATTACKS = {
    "fetch": """fetch('{question}', {{credentials: 'include'}}).then(r => r.text())
        .then(t => /name="confirm" value="([^"]+)/.exec(t)?.[1] ?? 'nothing')""",
    "frame": """new Promise(done => {{ const f = document.createElement('iframe'); f.src = '{question}';
        f.onload = () => {{ try {{ done((GRAB)(f.contentDocument)) }} catch {{ done('nothing') }} }};
        document.body.append(f); }})""",
    "window": """new Promise(done => {{ const w = window.open('{question}'), end = Date.now() + 1500;
        const look = () => {{ let got = 'nothing'; try {{ got = (GRAB)(w && w.document) }} catch {{ }}
          const over = got !== 'nothing' || !w || w.closed || Date.now() > end;  // what was let go reads as closed
          over ? done(got) : setTimeout(look, 50); }};
        look(); }})""",
    "form": """new Promise(done => {{ const f = document.createElement('form'); f.method = 'post'; f.action = '{act}';
        for (const [n, v] of [['server', 'exp'], ['confirm', 'x']]) {{ const i = document.createElement('input');
          i.name = n; i.value = v; f.append(i); }}
        f.target = '_blank'; document.body.append(f); f.submit(); setTimeout(() => done('nothing'), 1000); }})""",
}


@pytest.mark.parametrize(
    ("attack", "opener_policy"),
    [
        ("fetch", ""),
        ("frame", ""),
        ("form", ""),
        ("window", ""),
        ("window", "same-origin"),
        ("window", "same-origin-allow-popups"),
        ("window", "noopener-allow-popups"),
    ],
)
async def test_a_page_of_our_own_origin_gets_no_answer(
    context: BrowserContext, site: Site, launcher: MemoryLauncher, attack: str, opener_policy: str
) -> None:
    launcher.finish(await start(launcher, "alice", "exp"))
    await open_page(context, site)
    headers = {"Cross-Origin-Opener-Policy": opener_policy} if opener_policy else {}
    site.servers_pages["user/mallory/"] = (headers, "<!DOCTYPE html><title>free GPUs here</title><body>")
    page = await context.new_page()
    await page.goto(f"{site.origin}/user/mallory/")
    code = ATTACKS[attack].format(question=f"{PREFIX}stop?server=exp", act=f"{PREFIX}stop").replace("GRAB", GRAB)
    assert await page.evaluate(code) == "nothing"
    await asyncio.sleep(0.2)
    assert launcher.views["alice", "exp"].state == "running"


@pytest.mark.parametrize(
    ("own", "popup"),
    [("", ""), ("noopener-allow-popups", ""), ("same-origin", "same-origin"), ("same-origin-allow-popups", "")],
)
async def test_a_window_that_turns_into_ours_is_let_go(
    context: BrowserContext, site: Site, launcher: MemoryLauncher, own: str, popup: str
) -> None:
    """The other way round: a page opens a helper, then goes to our question itself; the helper looks at its opener."""
    launcher.finish(await start(launcher, "alice", "exp"))
    await open_page(context, site)
    for path, policy in (("user/mallory/", own), ("user/mallory/helper", popup)):
        headers = {"Cross-Origin-Opener-Policy": policy} if policy else {}
        site.servers_pages[path] = (headers, "<!DOCTYPE html><title>free GPUs here</title><body>")
    page = await context.new_page()
    await page.goto(f"{site.origin}/user/mallory/")
    async with context.expect_page() as opened:
        await page.evaluate("window.open('/user/mallory/helper') && 0")
    helper = await opened.value
    await helper.wait_for_load_state()
    assert await helper.evaluate("window.opener !== null"), "the tie that is to be cut is not there"
    await page.goto(f"{site.url}stop?server=exp")
    await expect(page.locator("h1")).to_have_text("Stop exp?")
    look = f"({GRAB})(window.opener && window.opener.document)"
    assert await helper.evaluate(f"() => {{ try {{ return {look} }} catch {{ return 'nothing' }} }}") == "nothing"


async def test_the_attack_would_work_without_our_header(
    context: BrowserContext, site: Site, launcher: MemoryLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tests above would pass for nothing if the token were not where they look, or if no window had opened."""
    launcher.finish(await start(launcher, "alice", "exp"))
    set_header = PageHandler.set_header

    def set_all_but_one(self: PageHandler, name: str, value: str) -> None:
        if name != "Cross-Origin-Opener-Policy":
            set_header(self, name, value)

    monkeypatch.setattr(PageHandler, "set_header", set_all_but_one)
    await open_page(context, site)
    page = await context.new_page()
    await page.goto(f"{site.origin}/user/mallory/")
    code = ATTACKS["window"].format(question=f"{PREFIX}stop?server=exp").replace("GRAB", GRAB)
    assert re.fullmatch(r"\d+\.[0-9a-f]+\.[0-9a-f]{64}", await page.evaluate(code))
