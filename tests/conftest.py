"""Options of the whole test suite."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

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


class Groups(LoadScopeScheduling):
    """Which tests run one after the other: those of a module, all modules of the engine, and all of a browser alone."""

    def _split_scope(self, nodeid: str) -> str:
        """Return a test's group."""
        module = nodeid.partition("::")[0]
        return _group_of(self.config.rootpath / module) or module


@lru_cache(None)
def _group_of(module: Path) -> str:
    """Return which group a module is of by its tests' marks; those of e2e do not say so one by one."""
    text = module.read_text()
    if module.parent.name == "e2e" or "mark.engine" in text:
        return "engine"
    return "browser" if "mark.browser" in text else ""


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Groups:
    """Return who tells each process what it runs."""
    return Groups(config, log)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Run a PostgreSQL for all tests, quick and not durable; each takes a database of its own."""
    server = PostgresServer()
    yield server
    server.close()
