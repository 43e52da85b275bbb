"""A hub of plain processes below a path, reached directly and through nginx: for tests of its addresses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.installation import Installation, free_port
from tests.nginx import Nginx, run_nginx

PREFIX = "lab/"


@dataclass(frozen=True)
class Place:
    """A hub below a path, reached directly and through nginx."""

    hub: Installation
    nginx: Nginx
    password: str

    def names(self) -> list[tuple[str, str]]:
        """Return origin and connection of every way to reach it."""
        port = self.hub.port
        direct = [f"http://{name}:{port}" for name in ("localhost", "127.0.0.1", "inside.test", "10.1.2.3")]
        return [*((origin, f"http://127.0.0.1:{port}") for origin in direct), (self.nginx.origin, self.nginx.origin)]


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("nginx")
    port = free_port()
    with run_nginx(folder / "nginx", port, path=f"/{PREFIX}") as nginx:
        arguments = ("--backend", "process", "--host", "127.0.0.1", "--base-url", "/lab")
        arguments += ("--public-url", f"{nginx.origin}/{PREFIX}")
        hub = Installation(folder / "state", port, arguments, prefix=PREFIX)
        try:
            hub.start()
            yield Place(hub, nginx, hub.add_user("alice", "vision"))
        finally:
            hub.close()
