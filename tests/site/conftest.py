"""One running site for all tests of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engine.podman import api, ground
from tests.site.mirrors import Site, running_site

__all__ = ["api", "ground", "lab", "made"]


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The mirrors, the proxy, the CA."""
    with running_site(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture
def lab(made: Site) -> Site:
    """The same, with an empty log of the proxy."""
    made.asked.clear()
    return made
