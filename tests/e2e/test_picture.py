"""The picture in the README is the real launch page; `pytest tests/e2e/test_picture.py --pictures` renews it."""

from __future__ import annotations

import pytest

from tests.chromium import run_chromium, sign_in
from tests.installation import CHECKOUT, Installation

pytestmark = [pytest.mark.browser, pytest.mark.timeout(200)]

PICTURE = CHECKOUT / "docs" / "img" / "launch.png"
WIDTH, HEIGHT = 1100, 1140


def test_the_launch_page_as_in_the_readme(
    hub: Installation, people: dict[str, str], request: pytest.FixtureRequest
) -> None:
    with run_chromium() as chromium:
        page = chromium.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        sign_in(page, hub.url, "alice", people["alice"])
        page.wait_for_url("**/services/mlabhub/**")
        page.goto(f"{hub.url}services/mlabhub/launch?profile=gpu&gpus=2&gpu_type=a100")
        page.get_by_text("Starts now").first.wait_for()
        taken = page.screenshot()
    assert taken.startswith(b"\x89PNG")
    if request.config.getoption("--pictures"):
        PICTURE.write_bytes(taken)
    committed = PICTURE.read_bytes()
    assert _size(committed) == _size(taken) == (WIDTH, HEIGHT)
    # Fonts differ from machine to machine, so the bytes do; a blank or broken page would be far smaller.
    assert 0.5 < len(taken) / len(committed) < 2


def _size(png: bytes) -> tuple[int, int]:
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")
