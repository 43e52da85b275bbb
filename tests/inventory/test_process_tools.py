"""What can be opened where servers are plain processes: the hub's pages and the server itself must agree."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlabhub.catalog import default_directory, load_catalog
from mlabhub.core.resolve import resolve
from mlabhub.inventory.process import find_tools
from mlabhub_proxies.parts import TOOLS as OFFERED
from mlabhub_proxies.tools import offered_tools

ALWAYS = ("lab", "terminal", "tensorboard")


def machine_with(folder: Path, *programs: str) -> str:
    """Return a PATH on which there are just these programs."""
    for program in programs:
        (folder / program).write_text("#!/bin/sh\n")
        (folder / program).chmod(0o755)
    return str(folder)


@pytest.mark.parametrize(
    ("programs", "more"),
    [
        pytest.param((), set(), id="nothing"),
        pytest.param(("code-server",), {"vscode"}, id="code-server"),
        pytest.param(("Xtigervnc", "startplasma-x11", "dbus-run-session"), {"desktop"}, id="Plasma"),
        pytest.param(("Xvnc", "startplasma-x11", "dbus-run-session"), {"desktop"}, id="another X server's name"),
        pytest.param(("Xtigervnc", "dbus-run-session"), set(), id="no Plasma"),
        pytest.param(("startplasma-x11", "dbus-run-session"), set(), id="no X server"),
    ],
)
def test_pages_and_servers_agree(tmp_path: Path, programs: tuple[str, ...], more: set[str]) -> None:
    path = machine_with(tmp_path, *programs)
    found = find_tools(path)
    assert set(found) == {*ALWAYS, *more}
    assert set(found) == {tool.slug for tool in offered_tools(OFFERED, {"PATH": path})}


def test_images_have_what_the_machine_has() -> None:
    catalog = load_catalog(default_directory()).with_tools(ALWAYS)
    assert {image.tools for image in catalog.images} == {ALWAYS}
    assert set(resolve(catalog, "alice", (), {"profile": "cpu", "image": "desktop"}).tools) == set(ALWAYS)
