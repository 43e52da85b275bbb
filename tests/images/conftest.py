"""The engine's program, the base image, and containers that are gone when a test ends."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mlabhub.images import build_images
from mlabhub.images.program import Program, find_program

BASE = "localhost/mlabhub/base:latest"


@dataclass
class Containers:
    """Runs commands in containers of the base image as the backend would, and removes what they leave."""

    program: Program
    names: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    own: str = field(default_factory=lambda: uuid.uuid4().hex[:8])

    def run(
        self,
        *command: str,
        image: str = BASE,
        options: tuple[str, ...] = (),
        keep: str | None = None,
        status: int = 0,
        **variables: str,
    ) -> str:
        """Run a command to its end and return what it printed. ``variables`` stand for MLABHUB_*."""
        environment = [f"--env=MLABHUB_{name}={value}" for name, value in variables.items()]
        name = self.name_of(keep or uuid.uuid4().hex[:8])
        self.names.append(name)
        argv = [self.program.path, "run", "--network=none", "--cap-drop=all", f"--name={name}"]
        for capability in ("CHOWN", "KILL", "SETGID", "SETPCAP", "SETUID"):
            argv.append(f"--cap-add={capability}")
        argv += [*options, *environment, image, *command]
        answer = subprocess.run(
            argv, env=self.program.environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert answer.returncode == status, answer.stdout + answer.stderr
        if not keep:
            self.program.ask("rm", "--force", name)
        return answer.stdout + answer.stderr

    def name_of(self, kept: str) -> str:
        """Return how a container is called: other tests may run at the same time."""
        return f"mlabhub-test-{self.own}-{kept}"

    def commit(self, kept: str) -> str:
        """Save a kept container as an image and return its name."""
        image = f"localhost/mlabhub-test/{uuid.uuid4().hex[:8]}:latest"
        self.program.run("commit", self.name_of(kept), image)
        self.images.append(image)
        return image

    def close(self) -> None:
        """Remove what is left."""
        for name in self.names:
            self.program.ask("rm", "--force", name)
        for image in self.images:
            self.program.ask("rmi", "--force", image)


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """The program of this machine's engine."""
    return find_program(tmp_path_factory.mktemp("engine"))


@pytest.fixture(scope="session")
def base(program: Program) -> str:
    """The base image, built by set-up; built here if its files have changed since."""
    build_images(["base"], no_cache=False, report=lambda _: None)
    return BASE


@pytest.fixture
def containers(program: Program, base: str) -> Iterator[Containers]:
    """Containers of the base image."""
    running = Containers(program)
    yield running
    running.close()


@pytest.fixture
def recipes_folder(tmp_path: Path) -> Path:
    """An empty folder for images of a test's own."""
    folder = tmp_path / "images"
    folder.mkdir()
    return folder
