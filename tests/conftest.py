"""Options of the whole test suite."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--pictures``: renew the pictures of the documentation."""
    parser.addoption("--pictures", action="store_true", help="write the pictures in docs/img anew")
