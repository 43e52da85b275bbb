"""A registry of a test's own: Debian's docker-registry, on a port of its own, with an account if wanted."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import bcrypt

from tests.installation import free_port


@dataclass(frozen=True)
class RunningRegistry:
    """``host`` is ``127.0.0.1:PORT``."""

    host: str
    log: Path


@contextlib.contextmanager
def running_registry(
    folder: Path, *, account: tuple[str, str] | None = None, address: str = "127.0.0.1"
) -> Iterator[RunningRegistry]:
    """Run one until the block ends. ``account``: who may use it, and the password."""
    program = shutil.which("docker-registry", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin")
    assert program is not None, "docker-registry is missing: setup/prepare test installs it"
    host = f"{address}:{free_port()}"
    config = {
        "version": "0.1",
        "storage": {"filesystem": {"rootdirectory": str(folder / "registry")}, "delete": {"enabled": True}},
        "http": {"addr": host, "net": "tcp"},
        "log": {"level": "warn"},
    }
    if account is not None:
        hashed = bcrypt.hashpw(account[1].encode(), bcrypt.gensalt(4)).decode()
        (folder / "htpasswd").write_text(f"{account[0]}:{hashed}\n")
        config["auth"] = {"htpasswd": {"realm": "lab", "path": str(folder / "htpasswd")}}
    (folder / "registry.yml").write_text(json.dumps(config))
    log = folder / "registry.log"
    with log.open("wb") as output:
        process = subprocess.Popen([program, "serve", folder / "registry.yml"], stdout=output, stderr=output)
    try:
        _wait(host, process, log)
        yield RunningRegistry(host, log)
    finally:
        process.terminate()
        process.wait(10)


def _wait(host: str, process: subprocess.Popen[bytes], log: Path) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(100):
        assert process.poll() is None, log.read_text()
        try:
            opener.open(f"http://{host}/v2/", timeout=5).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"the registry does not answer: {log.read_text()}")
