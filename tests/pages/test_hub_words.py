"""What the hub's own JavaScript writes, in the reader's language: its page of administrators and its confirmations."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Dialog, Page, Route

from mlabhub.hubtemplates import stock
from mlabhub.hubtemplates.stock import FRAME, REPLACED, HubFrame, hub_words, pattern_of
from mlabhub.i18n import get_translator
from tests.pages.test_hubtemplates import HUB_TEMPLATES, Hub, hub, settings

__all__ = ["hub", "settings"]

HUB_STATIC = Path(sys.prefix) / "share" / "jupyterhub" / "static"
OUR_STATIC = Path(stock.__file__).parents[1] / "service" / "pages" / "static"
ORIGIN = "http://hub.test"
NAMES = ("User", "Next", "Never", "<b>x</b>")
"""Users whose names are words of the page, and one that would be HTML."""

TEXTS = """() => {
    const found = [];
    const walker = document.createTreeWalker(document.getElementById("react-admin-hook"), NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const shown = walker.currentNode.parentElement.checkVisibility();  // not the API's own fields, folded away
        if (shown) found.push(walker.currentNode.data.trim());
    }
    for (const name of ["title", "placeholder", "aria-label"]) {
        const named = document.querySelectorAll(`#react-admin-hook [${name}]`);
        found.push(...[...named].map((one) => one.getAttribute(name)));
    }
    return found.filter((text) => /[a-z]/i.test(text ?? ""));
}"""


def user(name: str) -> dict[str, object]:
    server = {"name": "", "ready": False, "pending": None, "user_options": {}, "url": "/user/x/", "started": None}
    return {
        "name": name,
        "admin": name == NAMES[0],
        "groups": [],
        "servers": {"": {**server, "last_activity": None, "full_url": None, "state": {}}},
        "last_activity": "2020-01-01T00:00:00.000000Z",
        "auth_state": None,
    }


async def answer(route: Route, pages: dict[str, str]) -> None:
    """Be the hub: its pages, its files and its API."""
    path = urlsplit(route.request.url).path
    if path in pages:
        await route.fulfill(body=pages[path], content_type="text/html")
    elif path.startswith("/hub/static/") and (file := HUB_STATIC / path.removeprefix("/hub/static/")).is_file():
        await route.fulfill(path=file)
    elif path.startswith("/services/mlabhub/static/"):
        await route.fulfill(path=OUR_STATIC / path.rpartition("/")[2])
    elif path == "/hub/api/users":
        following = {"offset": 0, "limit": 50, "total": len(NAMES), "next": None}
        await route.fulfill(json={"items": [user(name) for name in NAMES], "_pagination": following})
    elif path == "/hub/api/groups":
        await route.fulfill(json={"items": [], "_pagination": {"offset": 0, "limit": 50, "total": 0, "next": None}})
    elif path.startswith("/hub/api/") and route.request.method == "DELETE":
        await route.fulfill(status=503, json={"message": "It <b>stops</b>."})
    else:
        await route.fulfill(status=404, body="")


async def page_of(browser: Browser, hub: Hub, language: str) -> Page:
    """Return a page of the hub's in that language."""
    hub.ask(**{"Accept-Language": language})
    names = {"/hub/admin": "admin.html", "/hub/home": "home.html"}
    values = {"api_page_limit": 50, "server_version": "6"}
    pages = {path: await asyncio.to_thread(hub.render, name, **values) for path, name in names.items()}
    page = await browser.new_page(locale=language)
    await page.route("**/*", lambda route: answer(route, pages))
    return page


@pytest.mark.browser
@pytest.mark.asyncio(loop_scope="session")
async def test_the_administrators_page_speaks_chinese_and_leaves_names_alone(browser: Browser, hub: Hub) -> None:
    page = await page_of(browser, hub, "zh-CN")
    await page.goto(f"{ORIGIN}/hub/admin")
    for words in ("全部启动", "编辑用户", "显示"):
        await page.get_by_text(words).first.wait_for()
    shown = set(await page.evaluate(TEXTS))
    assert {name for name in NAMES if name in shown} == set(NAMES)
    assert {text for text in shown - set(NAMES) if not re.search("[\\u4e00-\\u9fff]", text)} == set()
    await page.get_by_text("管理组").click()
    await page.get_by_text("还没有组").wait_for()
    await page.get_by_text("新建组").click()
    await page.get_by_placeholder("组名").wait_for()
    assert await page.evaluate(TEXTS) == []
    assert await page.locator("html").get_attribute("lang") == "zh-CN"
    await page.close()


@pytest.mark.browser
@pytest.mark.asyncio(loop_scope="session")
async def test_a_question_and_an_error_are_said_in_chinese_too(browser: Browser, hub: Hub) -> None:
    page = await page_of(browser, hub, "zh-CN")
    asked: list[str] = []

    async def accept(dialog: Dialog) -> None:
        asked.append(dialog.message)
        await dialog.accept()

    page.on("dialog", accept)
    await page.goto(f"{ORIGIN}/hub/home")
    await page.wait_for_function("window._jupyterhub_page_loaded")
    await page.click(".delete-server")
    await page.get_by_text("API 请求失败（503）：It <b>stops</b>.").wait_for()
    assert asked == ["确定要删除服务器“x”吗？"]
    assert await page.locator("#error-dialog .modal-title").inner_text() == "错误"
    await page.close()


@pytest.mark.browser
@pytest.mark.asyncio(loop_scope="session")
async def test_english_is_left_as_it_is(browser: Browser, hub: Hub) -> None:
    page = await page_of(browser, hub, "en-US")
    await page.goto(f"{ORIGIN}/hub/admin")
    await page.get_by_text("Start All").wait_for()
    assert await page.locator("#hub-words").count() == 0
    await page.close()


def test_every_word_is_one_of_the_hubs() -> None:
    script = (HUB_STATIC / "js" / "admin-react.js").read_text()
    composed = {"Failed to start server.", "Failed to stop server.", "Failed to delete server.", "Close alert"}
    composed |= {"Failed to create group. Group already exists."}
    assert [word for word in stock.ADMIN_WORDS if f'"{word}' not in script and word not in composed] == []
    frame = (HUB_TEMPLATES / FRAME).read_text()
    assert [old for old, _ in REPLACED if old not in frame] == []


def test_every_word_is_said_in_chinese() -> None:
    told = hub_words(get_translator("zh_CN"))
    assert told is not None
    assert [word for word, said in told["words"] if said == word] == []
    assert hub_words(get_translator("en")) is None
    json.dumps(told)


@pytest.mark.parametrize(
    ("shape", "text", "values"),
    [
        ("of {total}", "of 12", {"total": "12"}),
        ("{n} days ago", "3 days ago", {"n": "3"}),
        ('delete "{server}"?', 'delete "a" b"?', {"server": 'a" b'}),
        ("failed ({status}): {reason}", "failed (404): a: b", {"status": "404", "reason": "a: b"}),
        ("of {total}", "of", None),
        ("a.b{n}", "axb1", None),
    ],
)
def test_texts_with_values(shape: str, text: str, values: dict[str, str] | None) -> None:
    found = re.search(pattern_of(shape).replace("(?<", "(?P<"), text)
    assert (found.groupdict() if found else None) == values


def test_another_template_is_left_alone() -> None:
    frame = HubFrame.__new__(HubFrame)
    source = '<html lang="en">'
    assert frame.preprocess(source, "error.html") == source
    assert frame.preprocess(source, None) == source
    assert "html_lang" in frame.preprocess(source, "templates/page.html")
