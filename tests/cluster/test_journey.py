"""What a person does on a cluster of two nodes, by hand of a real Chromium, from the login to nothing left."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.chromium import at_home, run_chromium
from tests.cluster.kubectl import get
from tests.cluster.site import Site
from tests.e2e.at_work import Bar
from tests.extensions.events import write_curves
from tests.installation import wait_for
from tests.jupyterlab import run_in_new_notebook

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]
SOON = 60_000
FROM_CELL = "from a cell"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return a Chromium with a fresh profile."""
    with run_chromium() as browser:
        yield browser


def open_launch_page(page: Page, site: Site, name: str, gpu_type: str, gpus: int) -> None:
    """Choose a kind with GPUs, an image, a type, how many and a name."""
    page.goto(f"{site.url}services/mlabhub/launch")
    page.locator("[data-profile=gpu]").click()
    expect(page.locator("[data-profile=gpu][aria-current=true]")).to_be_visible()
    page.select_option("select[name=image]", "base")
    choose(page, "gpu_type", gpu_type)
    choose(page, "gpus", str(gpus))
    page.fill("input[name=name]", name)


def choose(page: Page, field: str, value: str) -> None:
    """Set a field of the launch page, whatever it looks like."""
    button = page.locator(f"input[name={field}][value='{value}'] + label")
    if button.count():
        button.click()
    elif page.locator(f"select[name={field}]").count():
        page.select_option(f"select[name={field}]", value)
    else:
        page.fill(f"input[name={field}]", value)


def start(page: Page) -> None:
    """Press Start and wait for JupyterLab."""
    page.click("#start")
    page.wait_for_url(re.compile("/starting/|/user/"), timeout=SOON)
    page.wait_for_url(re.compile("/user/.*/lab"), timeout=2 * SOON)


def gpus_of(pod: dict[str, Any]) -> int:
    """Return how many GPUs a pod has, as the device plugin counts them."""
    limits = [container["resources"].get("limits", {}) for container in pod["spec"]["containers"]]
    return sum(int(limit.get("nvidia.com/gpu", 0)) for limit in limits)


def gpus_on(node: str) -> int:
    """Return how many GPUs a node has."""
    [found] = [entry for entry in get("nodes") if entry["metadata"]["name"] == node]
    return int(found["status"]["allocatable"]["nvidia.com/gpu"])


def own(home: Path) -> None:
    """Give all below a home to whom it belongs."""
    status = home.stat()
    for path in home.rglob("*"):
        os.chown(path, status.st_uid, status.st_gid)


def see_tools(page: Page, site: Site, home: Path) -> None:
    """Open VS Code and TensorBoard in the bar and see what is in the home there."""
    write_curves(home / "runs" / "first", {"loss": [3.0, 2.0, 1.0]})
    own(home)
    bar = Bar(page, home)
    code = bar.show("vscode")
    expect(code.locator(".monaco-workbench")).to_be_visible(timeout=2 * SOON)
    expect(code.get_by_role("treeitem", name="hello.txt")).to_be_visible(timeout=SOON)
    board = bar.show("tensorboard")
    board.locator("form.add input[name=path]").fill("~/runs", timeout=SOON)
    board.locator("form.add button").click()
    board.get_by_role("link", name="Open TensorBoard").click(timeout=SOON)
    expect(board.get_by_text("loss").first).to_be_visible(timeout=2 * SOON)


def stop_all(page: Page, site: Site, count: int) -> None:
    """Press Stop on the home page and confirm, for each server."""
    for _ in range(count):
        page.goto(f"{site.url}services/mlabhub/")
        stops = page.get_by_role("link", name=re.compile("^Stop"))
        before = stops.count()
        stops.first.click()
        page.locator("form button.btn-danger").click()
        page.wait_for_url(re.compile("services/mlabhub/([?].*)?$"))

        def is_gone(before: int = before) -> bool:
            page.reload()
            return page.get_by_role("link", name=re.compile("^Stop")).count() < before

        wait_for(is_gone, 60, "a server to stop")


def test_from_login_to_nothing_left(site: Site, two_nodes: dict[str, str], browser: Browser) -> None:
    small, large = sorted(two_nodes, reverse=True)[:2]
    password = site.add_user("alice", "vision")
    home = site.nas / "user" / "alice"
    with at_home(browser, site.url, "alice", password) as page:
        open_launch_page(page, site, "", small, 1)
        start(page)
        pod = site.pod("alice")
        assert pod is not None
        assert (pod["spec"]["nodeName"], gpus_of(pod)) == (two_nodes[small], 1)

        lab = page.frame_locator("#frames iframe").first
        code = f"import pathlib; pathlib.Path.home().joinpath('hello.txt').write_text('{FROM_CELL}')"
        run_in_new_notebook(page, lab, code)
        wait_for((home / "hello.txt").exists, 60, "the cell's file on the NAS")
        assert (home / "hello.txt").read_text() == FROM_CELL
        assert (home / "hello.txt").stat().st_uid == home.stat().st_uid != 0
        see_tools(page, site, home)

        all_of_it = gpus_on(two_nodes[large])
        open_launch_page(page, site, "all", large, all_of_it)
        start(page)
        second = site.pod("alice", "all")
        assert second is not None
        assert (second["spec"]["nodeName"], gpus_of(second)) == (two_nodes[large], all_of_it)
        read = "import pathlib; print(pathlib.Path.home().joinpath('hello.txt').read_text())"
        with ThreadPoolExecutor(1) as elsewhere:  # this thread has the browser's event loop
            assert elsewhere.submit(site.run_code, "alice", read, "all").result().strip() == FROM_CELL

        open_launch_page(page, site, "more", large, 1)
        none_is_free = re.compile("1 .* waits: none is free")
        expect(page.locator("#forecast")).to_contain_text(none_is_free, timeout=SOON)
        page.click("#start")
        expect(page.locator("#starting-said")).to_contain_text("Place 1 of 1 in the queue.", timeout=SOON)
        assert site.pod("alice", "more") is None
        assert len(site.reservations()) == 2
        page.get_by_role("link", name=re.compile("^Leave the queue")).click()
        page.locator("form button.btn-danger").click()
        expect(page.locator("[role=status]").first).to_contain_text("It was taken out of the queue.")

        stop_all(page, site, 2)
    site.wait_clean()
    assert (home / "hello.txt").exists()
