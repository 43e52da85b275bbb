"""Servers that the tests of the extension share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.extensions.server import JupyterServer


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
