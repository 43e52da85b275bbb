"""The set-up itself, from a fresh checkout with an empty home: interrupted, resumed, and quick the second time."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
KEPT = ("PROXY", "proxy", "PIP_", "npm_config", "SSL_CERT", "MLABHUB_SITE", "NODE_EXTRA", "REQUESTS_CA")

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A copy of what git has, or would have, of this checkout."""
    folder = tmp_path / "checkout"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT, capture_output=True, check=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (CHECKOUT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, folder / name)
    (tmp_path / "home").mkdir()
    return folder


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of a newcomer: an empty home, and the site's proxy and certificates."""
    kept = {name: value for name, value in os.environ.items() if any(part in name for part in KEPT)}
    if (CHECKOUT / "site.conf").exists():
        kept.setdefault("MLABHUB_SITE", str(CHECKOUT / "site.conf"))
    return {**kept, "PATH": PATH, "HOME": str(folder.parent / "home"), "LANG": "C.UTF-8"}


def prepare(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["setup/prepare", "process"], cwd=folder, env=environment(folder), capture_output=True, text=True, check=False
    )


def kill_after(folder: Path, seconds: float, number: signal.Signals) -> None:
    """Start the set-up and end all of it, its steps too, after so many seconds."""
    process = subprocess.Popen(
        ["setup/prepare", "process"],
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(seconds)
    children = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True, check=False
    )
    process.send_signal(number)
    for pid in map(int, children.stdout.split()):
        if number == signal.SIGKILL:
            try:
                os.killpg(pid, number)
            except ProcessLookupError:
                continue
    process.wait(20)


def test_interrupted_resumed_and_quick_the_second_time(fresh: Path):
    for seconds, number in ((2, signal.SIGKILL), (6, signal.SIGTERM), (11, signal.SIGKILL), (17, signal.SIGKILL)):
        kill_after(fresh, seconds, number)
    first = prepare(fresh)
    assert first.returncode == 0, first.stdout + first.stderr
    started = time.monotonic()
    second = prepare(fresh)
    assert time.monotonic() - started < 1.5
    assert second.stdout.count("there already") == 4, second.stdout
    said = subprocess.run([fresh / ".venv/bin/mlabhub", "--version"], capture_output=True, text=True, check=True)
    assert said.stdout.strip()
    proxy = [fresh / ".node/bin/node", fresh / ".node/node_modules/.bin/configurable-http-proxy", "--version"]
    assert subprocess.run(proxy, capture_output=True, text=True, check=True).stdout.strip() == "5.3.0"


def test_what_is_missing_is_noticed_and_mended(fresh: Path):
    assert prepare(fresh).returncode == 0
    place = next((fresh / ".venv/lib").glob("python3*")) / "site-packages"
    shutil.rmtree(next(place.glob("jinja2-*.dist-info")))
    (fresh / ".node/bin/node").unlink()
    again = prepare(fresh)
    assert again.returncode == 0, again.stdout + again.stderr
    assert again.stdout.count("there already") == 2
    said = subprocess.run(
        [fresh / ".venv/bin/python", "-m", "pip", "check"], capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stdout
    assert (fresh / ".node/bin/node").exists()


def test_no_network_is_one_sentence(fresh: Path):
    nowhere = {
        **environment(fresh),
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_RETRIES": "1",
        "PIP_NO_CACHE_DIR": "1",
    }
    answer = subprocess.run(
        ["setup/prepare", "process"], cwd=fresh, env=nowhere, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 1
    assert answer.stderr.splitlines()[-1].startswith("The network does not answer")
    assert "Traceback" not in answer.stderr
