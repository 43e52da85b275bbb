"""One real installation for the end-to-end tests: hub, proxy, service and Podman, with simulated GPUs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.installation import Installation, free_port

CHROMIUM = "/usr/bin/chromium"
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs the engine."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.engine)


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Return a running hub with 4 simulated A100 and 2 T4, and people of two groups: alice of vision, bob of nlp."""
    assert os.geteuid() == 0, "the end-to-end tests run containers as root: use `sudo make test`"
    state = tmp_path_factory.mktemp("e2e") / "state"
    installation = Installation(state, free_port(), ("--simulate-gpus", "4xA100,2xT4"))
    try:
        installation.start()
        yield installation
    finally:
        installation.close()


@pytest.fixture(scope="session")
def people(hub: Installation) -> dict[str, str]:
    """Return names and passwords."""
    return {"alice": hub.add_user("alice", "vision"), "bob": hub.add_user("bob", "nlp")}
