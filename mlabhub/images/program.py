"""Run the engine's own program, ``podman`` or ``docker``: builds with secrets and layers exist only there.

Guarantees: a program that fails is one sentence, with the end of what it said in the log; none is left running when
the caller is interrupted.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlabhub.engine import Engine, find_engine, write_containers_conf
from mlabhub.engine.podman_service import site_environment
from mlabhub.errors import EngineUnavailable, MLabError
from mlabhub.site import Site, load_site
from mlabhub.site.authorities import SYSTEM_CA, read_certificates

Report = Callable[[str], None]
LINES_KEPT = 40


class ImageError(MLabError):
    """An image could not be built, fetched or looked into."""

    code = "image"


@dataclass(frozen=True)
class Program:
    """The engine's program and the environment it needs on this machine."""

    engine: Engine
    path: str
    environment: dict[str, str]

    def run(self, *arguments: str, report: Report | None = None, first_words: FirstWords | None = None) -> str:
        """Run to the end and return what was printed. Raises `ImageError`."""
        return run_reporting([self.path, *arguments], self.environment, report, first_words)

    def ask(self, *arguments: str) -> str | None:
        """Return what was printed, or None where the program answers no."""
        answer = subprocess.run(
            [self.path, *arguments], env=self.environment, capture_output=True, text=True, check=False
        )
        return answer.stdout if answer.returncode == 0 else None

    def inspect(self, reference: str) -> dict[str, Any] | None:
        """Return what the engine knows about an image; None if it has none of that name."""
        answer = self.ask("image", "inspect", "--", reference)
        return json.loads(answer)[0] if answer else None

    def labels(self, reference: str) -> dict[str, str]:
        """Return an image's labels; none if there is no such image."""
        return ((self.inspect(reference) or {}).get("Config") or {}).get("Labels") or {}


@dataclass(frozen=True)
class FirstWords:
    """A program that has not said anything matching ``pattern`` after ``seconds`` is ended: nobody answers it."""

    pattern: str
    seconds: float


def find_program(work_dir: Path) -> Program:
    """Return the program of this machine's engine. ``work_dir`` takes Podman's configuration.

    Raises `EngineUnavailable`, and `InvalidSite` if the site's file has faults.
    """
    engine = find_engine(work_dir)
    path = shutil.which(engine.kind)
    if path is None:
        raise EngineUnavailable("Docker answers, but its program `docker` is missing: `apt-get install docker-cli`.")
    environment, site = dict(os.environ), load_site()
    if engine.kind == "podman":
        environment.setdefault("CONTAINERS_CONF", str(write_containers_conf(work_dir)))
        environment.update(site_environment(site, work_dir, _authorities(site, work_dir)))
    else:
        environment["DOCKER_BUILDKIT"] = "1"
    return Program(engine, path, environment)


def _authorities(site: Site, work_dir: Path) -> str:
    """Return a file with the certificates to trust; none where the site names no authorities."""
    if not site.ca_file:
        return ""
    file = work_dir / "ca.pem"
    file.write_bytes(read_certificates([SYSTEM_CA, os.environ.get("SSL_CERT_FILE"), site.ca_file]))
    return str(file)


def run_reporting(
    command: Sequence[str],
    environment: dict[str, str] | None = None,
    report: Report | None = None,
    first_words: FirstWords | None = None,
) -> str:
    """Run a command, report each line it prints, and return the last lines. Raises `ImageError`."""
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    assert process.stdout is not None
    timer = threading.Timer(first_words.seconds, _end, [process]) if first_words else None
    kept: list[str] = []
    try:
        if timer:
            timer.start()
        for line in process.stdout:
            kept = [*kept, line.rstrip()][-LINES_KEPT:]
            if timer and first_words and re.search(first_words.pattern, line):
                timer.cancel()
            if report:
                report(line.rstrip())
        status = process.wait()
    finally:
        if timer:
            timer.cancel()
        if process.poll() is None:
            _end(process)
        process.stdout.close()
    if status:
        raise ImageError(explain(command, kept), log_text="\n".join(kept))
    return "\n".join(kept)


def explain(command: Sequence[str], lines: Sequence[str]) -> str:
    """Return one sentence for a command that failed, from the last lines it printed."""
    said = "\n".join(lines)
    program = Path(command[0]).name
    if re.search(r"no space left on device|disk quota exceeded", said, re.IGNORECASE):
        return (
            f"The disk is full: {program} could not go on. Make room (`df -h` shows where; `{program} image prune` "
            "drops images nobody uses), then run it again: it goes on where it stopped."
        )
    unreachable = (
        r"no such host|could not resolve|temporary failure (in name )?resol|network is unreachable|i/o timeout"
        r"|connection (timed out|refused)|failed to establish a new connection|unable to connect to"
        r"|tls handshake timeout"
    )
    if re.search(unreachable, said, re.IGNORECASE):
        return (
            f"The network does not answer: {_last_error(lines)}. Check the connection, or the mirrors and the proxy "
            "that this machine is set up to use, then run it again: it goes on where it stopped."
        )
    if re.search(r"buildx component is missing|BuildKit is enabled but", said):
        return "Docker builds images with buildx, which is missing here: `apt-get install docker-buildx`."
    return f"{program} failed: {_last_error(lines)}."


def _last_error(lines: Sequence[str]) -> str:
    """Return the line that most likely says why: the first error of the last lines, cut to a sentence's length."""
    told = [line for line in lines if re.search(r"\berror\b|^E:|\bfatal\b|\bfailed\b", line, re.IGNORECASE)]
    text = (told or [line for line in lines if line.strip()][-1:] or ["it said nothing"])[0].strip().rstrip(".")
    return text if len(text) <= 300 else f"... {text[-300:]}"


def _end(process: subprocess.Popen[str]) -> None:
    """End the program and all that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(5)
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            pass
        return
