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
    """Which tests run one after the other: those of a module, and all modules that use the engine or a browser."""

    def _split_scope(self, nodeid: str) -> str:
        """Return a test's group."""
        module = nodeid.partition("::")[0]
        return "engine" if _uses_engine(self.config.rootpath / module) else module


@lru_cache(None)
def _uses_engine(module: Path) -> bool:
    """Whether one of a module's tests has such a mark; those of a folder of its own do not say so one by one."""
    return module.parent.name == "e2e" or any(mark in module.read_text() for mark in ("mark.engine", "mark.browser"))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Groups:
    """Return who tells each process what it runs."""
    return Groups(config, log)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Run a PostgreSQL for all tests, quick and not durable; each takes a database of its own."""
    server = PostgresServer()
    yield server
    server.close()
