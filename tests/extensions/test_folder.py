"""The folder where a server's tools keep their sockets: private, short, and removed whoever is left to do it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mlabhub_proxies.folder import PrivateFolder

MAKE = "import sys; from mlabhub_proxies.folder import PrivateFolder; print(PrivateFolder(sys.argv[1]).fresh('x'))"


@pytest.fixture
def runtime() -> Iterator[Path]:
    """Return a folder with a path that is short enough."""
    with tempfile.TemporaryDirectory(prefix="jf-") as folder:
        yield Path(folder)


def test_is_private_and_empty(runtime: Path) -> None:
    folder = PrivateFolder(str(runtime))
    place = folder.fresh("echo")
    (place / "log").touch()
    again = folder.fresh("echo")
    assert again == place
    assert not list(again.iterdir())
    assert {path.stat().st_mode & 0o777 for path in (place, place.parent, place.parents[1])} == {0o700}
    folder.remove()
    assert not list((runtime / "mlabhub").iterdir())


def test_is_one_for_all_threads(runtime: Path) -> None:
    folder = PrivateFolder(str(runtime))
    with ThreadPoolExecutor(8) as pool:
        places = list(pool.map(folder.fresh, map(str, range(32))))
    assert len({place.parent for place in places}) == 1
    folder.remove()


def test_is_gone_for_good_whatever_threads_still_do(runtime: Path) -> None:
    folder = PrivateFolder(str(runtime))
    folder.fresh("tool")

    def write_on(number: int) -> bool:
        for _ in range(10_000):
            try:
                place = folder.fresh(f"{number}")
                (place / "list").touch()
            except OSError:
                return True
        return False

    with ThreadPoolExecutor(8) as pool:
        writers = [pool.submit(write_on, number) for number in range(8)]
        time.sleep(0.05)
        folder.remove()
        assert all(writer.result() for writer in writers)
    assert not list((runtime / "mlabhub").iterdir())


def test_what_a_killed_server_left_is_removed_by_the_next(runtime: Path) -> None:
    command = [sys.executable, "-c", MAKE, str(runtime)]
    left = Path(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()).parent
    alive = PrivateFolder(str(runtime)).fresh("x").parent
    # One that is young may have just been made.
    assert left.exists()
    for folder in (left, alive):
        os.utime(folder, (0, 0))
    (runtime / "mlabhub" / "a file").touch()
    (runtime / "mlabhub" / "a link").symlink_to("/etc")
    PrivateFolder(str(runtime)).fresh("x")
    assert not left.exists()
    assert alive.exists()


def test_so_is_what_was_left_in_the_temporary_folder(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(runtime))
    for name in ("mlabhub-tools-7-left", "mlabhub-build-7-left", "another-7-folder"):
        (runtime / name).mkdir()
        os.utime(runtime / name, (0, 0))
    PrivateFolder(None).fresh("x")
    assert not (runtime / "mlabhub-tools-7-left").exists()
    assert (runtime / "mlabhub-build-7-left").exists()
    assert (runtime / "another-7-folder").exists()


@pytest.mark.parametrize("runtime_dir", [None, "", "/proc/nowhere", "/tmp/" + "long/" * 40])
def test_another_place_is_found(runtime_dir: str | None) -> None:
    folder = PrivateFolder(runtime_dir)
    place = folder.fresh("tensorboard")
    assert len(os.fsencode(place / "socket")) <= 107
    assert place.parent.parent == Path(tempfile.gettempdir())
    folder.remove()
