"""TensorBoard from the home page by hand of a real Chromium, and tools by profile, at a real hub."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.chromium import at_home
from tests.extensions.events import write_curves
from tests.installation import Installation, free_port, wait_for

pytestmark = [pytest.mark.long, pytest.mark.browser, pytest.mark.timeout(400)]
UNUSED = "nobody looked at it any more"
BRIEF = "{display_name: B, kind: tensorboard, images: [base], cpu: 1, memory_gib: 1, unused_minutes: 0.25}"


def show(page: Page, hub: Installation, folder: str) -> None:
    """Type a log folder on the home page, and press Show."""
    page.goto(f"{hub.url}services/mlabhub/")
    page.fill("#folder", folder)
    page.locator(".mlab-board-form button").click()


def write_run(hub: Installation, owner: str, run: str, curves: dict[str, list[float]]) -> Path:
    """Write a run into somebody's home on the NAS, as their training would have."""
    home = hub.state / "nas" / "user" / owner
    write_curves(home / run, curves)
    status = home.stat()
    for path in (home / run.split("/")[0]).rglob("*"):
        os.chown(path, status.st_uid, status.st_gid)
    return home / run


def only_container(hub: Installation, server: str) -> dict[str, Any]:
    """Return the one container that there is of a server's owner."""
    owner = server.split("--")[0]
    [name] = [one for one in hub.containers() if one.split("-", 2)[-1].startswith(owner)]
    assert name.endswith(server)
    found: dict[str, Any] = json.loads(hub.podman("inspect", name))[0]
    return found


def test_a_curve_from_the_nas_with_no_environment_running(hub: Installation, browser: Browser) -> None:
    password = hub.add_user("tess", "vision")
    with at_home(browser, hub.url, "tess", password) as page:
        show(page, hub, "/mnt/user/alice")
        expect(page.locator("#folder-problem")).to_contain_text("is not in one of your folders; yours: /mnt/user/tess")
        assert hub.server("tess", "tensorboard-server") is None

        show(page, hub, "~/runs")
        page.wait_for_url(re.compile("/user/tess/tensorboard-server/"), timeout=90_000)
        container = only_container(hub, "tess--tensorboard-server")
        assert container["HostConfig"]["Memory"] == 2 * 2**30
        assert "MLABHUB_GPUS=" in container["Config"]["Env"]
        assert not container["HostConfig"]["Devices"]
        [held] = [row for row in hub.reservations() if row["user"] == "tess"]
        assert (held["kind"], held["gpus"], held["cpu"]) == ("tensorboard", 0, 1)

        write_run(hub, "tess", "runs/first", {"loss": [3.0, 2.0, 1.0]})
        page.goto(f"{hub.url}user/tess/tensorboard-server/tensorboard/")
        expect(page.get_by_text("loss").first).to_be_visible(timeout=60_000)
        expect(page.locator("card-view svg path, card-view canvas").first).to_be_visible(timeout=30_000)

        show(page, hub, "~/more")
        page.wait_for_url(re.compile(r"/user/tess/tensorboard-server/mlabhub/log-folders[?]add="))
        expect(page.locator("input[name=path]").first).to_have_value("/mnt/user/tess/more")

        page.goto(f"{hub.url}services/mlabhub/")
        page.locator("#tensorboard").get_by_role("link", name=re.compile("^Stop")).click()
        page.locator("form button.btn-danger").click()
        wait_for(lambda: hub.server("tess", "tensorboard-server") is None, 60, "it to stop")
    assert not [name for name in hub.containers(running=False) if "tess" in name]
    assert "tess" not in hub.podman("images", "--format", "{{.Repository}}")


def test_it_ends_when_nobody_looks_and_home_says_so(hub: Installation, browser: Browser) -> None:
    password = hub.add_user("ben", "brief")
    assert hub.launch("ben", "tensorboard", profile="brief").status_code == 201
    hub.wait_ready("ben", "tensorboard")
    wait_for(lambda: hub.server("ben", "tensorboard") is None, 90, "it to end by itself")
    with at_home(browser, hub.url, "ben", password) as page:
        expect(page.locator("#tensorboard")).to_contain_text(UNUSED)
    assert not [row for row in hub.reservations() if row["user"] == "ben"]


def test_a_profile_without_vs_code(hub: Installation, browser: Browser) -> None:
    password = hub.add_user("lena", "narrow")
    assert hub.launch("lena", "", profile="narrow").status_code == 201
    hub.wait_ready("lena")
    with at_home(browser, hub.url, "lena", password) as page:
        expect(page.locator(".mlab-tool")).to_have_text([re.compile("JupyterLab"), re.compile("Terminal")])
        answer = page.goto(f"{hub.url}user/lena/vscode/")
        assert answer is not None
        assert answer.status == 404
        expect(page.locator("main")).to_contain_text("VS Code")
    hub.stop_server("lena")


def test_as_a_plain_process(tmp_path: Path, browser: Browser) -> None:
    """Where servers see the machine's own folders, a folder is typed and shown all the same."""
    config = tmp_path / "config"
    config.mkdir()
    (config / "profiles.yaml").write_text(f"profiles: {{brief: {BRIEF}}}")
    installation = Installation(tmp_path / "state", free_port(), ("--backend", "process", "--config", str(config)))
    try:
        installation.start()
        password = installation.add_user("alice", "vision")
        home = tmp_path / "state" / "nas" / "user" / "alice"
        with at_home(browser, installation.url, "alice", password) as page:
            show(page, installation, "/mnt/user/alice/runs")
            page.wait_for_url(re.compile("/user/alice/tensorboard-server/"), timeout=60_000)
            write_run(installation, "alice", "runs/first", {"loss": [3.0, 2.0, 1.0]})
            with installation.api("alice") as client:
                data = "user/alice/tensorboard-server/tensorboard/data/runs"
                wait_for(lambda: client.get(data).json() == ["runs/first"], 30, "the run")
            show(page, installation, "~/more")
            expect(page.locator("input[name=path]").first).to_have_value(f"{home}/more")
            wait_for(lambda: installation.server("alice", "tensorboard-server") is None, 90, "it to end by itself")

            def home_says_why() -> bool:  # the hub forgets the server first, then the service is told
                page.goto(f"{installation.url}services/mlabhub/")
                return UNUSED in (page.locator("#tensorboard").text_content() or "")

            wait_for(home_says_why, 30, "the reason on Home")
    finally:
        installation.close()
