"""Options of the whole test suite."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.inventory.standin import machine, nvml_library
from tests.ledger.postgres import PostgresServer

__all__ = ["machine", "nvml_library"]

settings.register_profile("mlabhub", deadline=None)  # how long one example takes is the machine's load, not a fault
settings.load_profile("mlabhub")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--pictures``: renew the pictures of the documentation."""
    parser.addoption("--pictures", action="store_true", help="write the pictures in docs/img anew")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let one process alone use the engine and browsers, where tests run in several (`--dist loadgroup`)."""
    if item.get_closest_marker("engine") or item.get_closest_marker("browser"):
        item.add_marker(pytest.mark.xdist_group("engine"))


class Groups(LoadScopeScheduling):
    """Which tests run one after the other: those of a module, and those that use the engine or a browser, at first."""

    def _split_scope(self, nodeid: str) -> str:
        """Return a test's group."""
        return "engine" if nodeid.endswith("@engine") else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Groups:
    """Return who tells each process what it runs."""
    return Groups(config, log)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Run a PostgreSQL for all tests, quick and not durable; each takes a database of its own."""
    server = PostgresServer()
    yield server
    server.close()
