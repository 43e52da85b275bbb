"""Options of the whole test suite."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.inventory.standin import machine, nvml_library
from tests.ledger.postgres import PostgresServer

__all__ = ["machine", "nvml_library"]

settings.register_profile("mlabhub", deadline=None)  # how long one example takes is the machine's load, not a fault
settings.load_profile("mlabhub")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--pictures``: renew the pictures of the documentation."""
    parser.addoption("--pictures", action="store_true", help="write the pictures in docs/img anew")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Run a PostgreSQL for all tests, quick and not durable; each takes a database of its own."""
    server = PostgresServer()
    yield server
    server.close()
