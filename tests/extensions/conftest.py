"""Servers that the tests of the extension share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.chromium import run_chromium
from tests.extensions.server import JupyterServer, Start


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """Run a server with small tools of the tests; each test takes tools of its own name."""
    one = JupyterServer(
        tmp_path_factory.mktemp("server"),
        offer={
            "desktop": {"does": ["serve"], "more": {"raw": True, "route": "desktop-vnc"}},
            "echo": ["serve"],
            "first": ["serve"],
            "again": ["serve"],
            "dies": ["say=Out of luck <b>today</b>", "exit=3"],
            "hurt": ["exit=1"],
            "raw": {"does": ["serve"], "more": {"raw": True}},
            "absent": [],
        },
    )
    yield one
    one.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return a Chromium with a fresh profile."""
    with run_chromium() as browser:
        yield browser


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return what starts servers of one test alone."""
    with ExitStack() as servers:

        def start(**more: Any) -> JupyterServer:
            server = JupyterServer(Path(tempfile.mkdtemp(dir=tmp_path)), **more)
            servers.callback(server.close)
            return server

        yield start
