"""How VS Code is started: what it is told, and where it keeps what, with a home in any state."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path

import pytest

from mlabhub_proxies import vscode
from mlabhub_proxies.desktop import session
from mlabhub_proxies.tools import Launch
from tests.full_home import full_home


def launch(tmp_path: Path, program: str = "/opt/code-server", **environ: str) -> Launch:
    """Return a server's wish to start VS Code, for a home of this test."""
    (tmp_path / "run").mkdir(exist_ok=True)
    (tmp_path / "home").mkdir(exist_ok=True)
    environ = {"HOME": str(tmp_path / "home"), **environ}
    return Launch(program, str(tmp_path / "run/socket"), str(tmp_path / "run"), "/user/alice/", environ)


def options(command: list[str]) -> dict[str, str]:
    """Return the options that have a value; of those given twice, the last."""
    return {name: value for name, value in itertools.pairwise(command) if name.startswith("--")}


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Let our two places be below a folder of the test."""
    found = (tmp_path / "one", tmp_path / "two")
    monkeypatch.setattr(vscode, "PLACES", found)
    return found


def unpack(place: Path) -> None:
    """Put there what is looked for."""
    for name in (vscode.NODE, vscode.ENTRY):
        (place / name).parent.mkdir(parents=True)
        (place / name).touch(0o755)


def test_ours_is_found_before_the_images_own(places: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/code-server").touch(0o755)
    environ = {"PATH": str(tmp_path / "bin")}
    assert vscode.find({"PATH": ""}) is None
    assert vscode.find(environ) == str(tmp_path / "bin/code-server")
    unpack(places[1])
    assert vscode.find(environ) == str(places[1])
    unpack(places[0])
    assert vscode.find({}) == str(places[0])


def test_its_own_node_runs_ours(tmp_path: Path) -> None:
    unpack(tmp_path / "code")
    command = vscode.make_command(launch(tmp_path, str(tmp_path / "code")))
    assert command[:2] == [str(tmp_path / "code/lib/node"), str(tmp_path / "code/out/node/entry.js")]
    assert vscode.make_command(launch(tmp_path, "/usr/bin/code-server"))[0] == "/usr/bin/code-server"


def test_only_the_servers_own_socket_is_opened(tmp_path: Path) -> None:
    command = vscode.make_command(launch(tmp_path, MLABHUB_HOME="/mnt/user/alice"))
    told = options(command)
    assert (told["--socket"], told["--socket-mode"]) == (str(tmp_path / "run/socket"), "600")
    assert not {"--bind-addr", "--host", "--port"} & set(command)
    assert command[-1] == "/mnt/user/alice"


def test_settings_are_the_homes_and_sockets_the_servers(tmp_path: Path) -> None:
    told = options(vscode.make_command(launch(tmp_path)))
    share = tmp_path / "home/.local/share/code-server"
    assert told["--user-data-dir"] == str(share)
    assert told["--extensions-dir"] == str(share / "extensions")
    settings = share / "User/settings.json"
    assert json.loads(settings.read_text())["workbench.startupEditor"] == "none"
    settings.write_text("// mine")
    vscode.make_command(launch(tmp_path))
    assert [path for path in share.rglob("*") if path.is_file()] == [settings]
    assert settings.read_text() == "// mine"
    for option in ("--session-socket", "--config"):
        assert Path(told[option]).parent == tmp_path / "run"


def settled_home(tmp_path: Path) -> None:
    """Put settings and extensions into the home."""
    share = tmp_path / "home/.local/share/code-server"
    (share / "User/snippets").mkdir(parents=True)
    (share / "User/settings.json").write_text("{}")
    (share / "User/snippets/python.json").write_text("{}")
    (share / "extensions").mkdir()


def taken_along(told: dict[str, str]) -> list[str]:
    """Return the files of the settings that VS Code is told to use."""
    folder = Path(told["--user-data-dir"])
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.json"))


@pytest.mark.engine
def test_a_full_homes_settings_are_taken_along(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    with full_home(tmp_path / "home", os.getuid()) as home:
        os.truncate(home / "big", (home / "big").stat().st_size - session.ENOUGH_BYTES // 2)
        settled_home(tmp_path)
        told = options(vscode.make_command(launch(tmp_path)))
        left = [path.name for path in (home / ".local/share/code-server").iterdir()]
    assert sorted(left) == ["User", "extensions"]
    assert told["--user-data-dir"] == str(tmp_path / "run/data")
    assert told["--extensions-dir"] == str(tmp_path / "home/.local/share/code-server/extensions")
    assert taken_along(told) == ["User/settings.json", "User/snippets/python.json"]


def test_a_home_without_room_for_a_folder(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/.local").write_text("a file, where a folder should be")
    told = options(vscode.make_command(launch(tmp_path)))
    assert told["--user-data-dir"] == str(tmp_path / "run/data")
    assert told["--extensions-dir"] == str(tmp_path / "run/data/extensions")
    assert taken_along(told) == ["User/settings.json"]
