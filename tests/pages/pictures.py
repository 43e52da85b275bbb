"""The pictures in the documentation: every page of the table, over `lab`, in English and light.

    python -m tests.pages.pictures [NAME ...]

Writes docs/img/NAME.png; without names, those of all pages. One page after the other, so that it takes about a minute.
"""

from __future__ import annotations

import asyncio
import io
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.async_api import Browser, async_playwright

from tests.installation import CHECKOUT
from tests.pages.all_pages import PAGES, Page
from tests.pages.conftest import CHROMIUM, CHROMIUM_ARGUMENTS
from tests.pages.lab import Lab, open_lab
from tests.pages.lab_past import ADMIN, PERSON

FOLDER = CHECKOUT / "docs" / "img"
WIDTH, LEAST_HEIGHT, MOST_HEIGHT = 1240, 500, 1400
COLOURS = 128


def picture_of(page: Page) -> Path:
    """Return the file of a page's picture."""
    return FOLDER / f"{page.name}.png"


async def take(browser: Browser, lab: Lab, page: Page) -> bytes:
    """Return a page as a PNG: as high as it is, within bounds, in few colours."""
    context = await browser.new_context(
        viewport={"width": WIDTH, "height": LEAST_HEIGHT}, color_scheme="light", locale="en-US", reduced_motion="reduce"
    )
    try:
        tab = await context.new_page()
        await tab.goto(f"{lab.origin}/login-as/{ADMIN if page.admin else PERSON}")
        await tab.goto(lab.url + page.path.format(**lab.subjects))
        await tab.wait_for_load_state("load")
        height = await tab.evaluate("document.documentElement.scrollHeight")
        await tab.set_viewport_size({"width": WIDTH, "height": min(max(height, LEAST_HEIGHT), MOST_HEIGHT)})
        return small(await tab.screenshot())
    finally:
        await context.close()


def small(png: bytes) -> bytes:
    """Return a picture with a palette: a third of the bytes, and no difference to see."""
    made = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(COLOURS).save(made, "PNG", optimize=True)
    return made.getvalue()


async def write(names: set[str]) -> None:
    """Take the pictures and write them."""
    chosen = [page for page in PAGES if not names or page.name in names]
    with tempfile.TemporaryDirectory(prefix="mlabhub-lab-") as folder:
        async with open_lab(Path(folder)) as lab, async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
            for page in chosen:
                picture_of(page).write_bytes(await take(browser, lab, page))
            await browser.close()


if __name__ == "__main__":
    asyncio.run(write(set(sys.argv[1:])))
