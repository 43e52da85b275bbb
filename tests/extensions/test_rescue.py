"""The rescue bundle: what is in it, who may read it, and that nothing that goes wrong stops anything."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_server.serverapp import ServerApp

from mlabhub_agent.packages import package_lines
from mlabhub_agent.rescue import KEPT, write_bundle

ORDER = {"until": 1.0, "reason": {"en": "GPU idle for 2 h.", "zh_CN": "GPU 已闲置 2 小时。"}}
TRACE = {
    "samples": [
        {"t": 1_732_233_600.0, "gpu_util": [0.0, 37.5], "gpu_mem_used": [0, 2**30], "cpu_cores": 0.4},
        {"t": 1_732_233_660.0, "gpu_util": [None, 1], "cpu_cores": None},
        "junk",
    ]
}
FILES = {"README.txt", "processes.txt", "gpu.csv", "packages.txt", "open-documents.txt"}


def written(*arguments: Any) -> str:
    return asyncio.run(write_bundle(*arguments))


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    home = tmp_path / "alice"
    home.mkdir()
    return {"MLABHUB_HOME": str(home), "JUPYTERHUB_SERVER_NAME": "train", "MLABHUB_LAUNCH_ID": "01JTEST"}


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    environ = {**os.environ, "MLABHUB_LAUNCH_ID": "01JTEST", "SECRET": "hunter2"}
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "训练"], env=environ) as process:
        yield process
        process.kill()


def test_what_is_in_it(environ: dict[str, str], sleeper: subprocess.Popen[bytes]) -> None:
    folder = Path(written({}, ORDER, TRACE, environ))
    assert folder.parent == Path(environ["MLABHUB_HOME"], "mlabhub-rescue")
    assert folder.name.endswith("-train")
    assert {one.name for one in folder.iterdir()} == FILES
    assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    readme = (folder / "README.txt").read_text()
    assert "GPU idle for 2 h." in readme
    assert "GPU 已闲置 2 小时。" in readme
    processes = (folder / "processes.txt").read_text()
    assert f"{sleeper.pid:>8}" in processes
    assert "训练" in processes
    assert "hunter2" not in processes
    rows = list(csv.reader((folder / "gpu.csv").read_text().splitlines()))
    assert rows[0] == ["time", "cpu_cores", "gpu0_percent", "gpu0_memory_mib", "gpu1_percent", "gpu1_memory_mib"]
    assert [row[1:] for row in rows[1:]] == [["0.40", "0.00", "0.00", "37.50", "1024.00"], ["", "", "", "1.00", ""]]


def test_what_is_open_in_a_real_server(environ: dict[str, str], tmp_path: Path) -> None:
    app = ServerApp(root_dir=str(tmp_path), allow_root=True, open_browser=False, port=0)
    app.initialize([], new_httpserver=False)
    settings = app.web_app.settings

    async def write() -> str:
        try:
            await settings["session_manager"].create_session(path="训练.ipynb", type="notebook", kernel_name="python3")
            return await write_bundle(settings, ORDER, None, environ)
        finally:
            await settings["kernel_manager"].shutdown_all(now=True)

    folder = Path(asyncio.run(write()))
    text = (folder / "open-documents.txt").read_text()
    assert '"训练.ipynb" {"name": "python3"' in text
    assert "execution_state" in text
    assert "The service told nothing" in (folder / "gpu.csv").read_text()


def test_the_newest_are_kept_and_nothing_else_is_touched(environ: dict[str, str]) -> None:
    parent = Path(environ["MLABHUB_HOME"], "mlabhub-rescue")
    (parent / "2020-01-01-mine").mkdir(parents=True)
    (parent / "notes.txt").write_text("mine")
    elsewhere = Path(environ["MLABHUB_HOME"], "work")
    elsewhere.mkdir()
    (parent / "2000-01-01-000000-link").symlink_to(elsewhere)
    for number in range(KEPT + 2):
        (parent / f"2021-01-0{number + 1}-000000-old").mkdir()
    folder = Path(written({}, ORDER, None, environ))
    bundles = sorted(one.name for one in parent.iterdir() if one.name.startswith("20") and one.name[17:18] == "-")
    assert bundles == ["2000-01-01-000000-link", *(f"2021-01-0{n}-000000-old" for n in (4, 5, 6, 7)), folder.name]
    assert elsewhere.is_dir()
    assert (parent / "notes.txt").read_text() == "mine"
    assert (parent / "2020-01-01-mine").is_dir()


@pytest.mark.parametrize(
    ("order", "trace"),
    [
        pytest.param({}, None, id="nothing"),
        pytest.param({"reason": "junk"}, {"samples": "junk"}, id="junk"),
        pytest.param({"reason": {"en": None}}, {"samples": [{"t": "x"}]}, id="a time that is none"),
        pytest.param({"reason": {"en": "{x} %s"}}, {"samples": [{"gpu_util": 3}]}, id="braces"),
    ],
)
def test_junk_costs_a_file_at_most(environ: dict[str, str], order: Any, trace: Any) -> None:
    folder = Path(written({"session_manager": object()}, order, trace, environ))
    assert {one.name for one in folder.iterdir()} == FILES
    assert "Not known" in (folder / "open-documents.txt").read_text()


@pytest.mark.parametrize("home", ["", "/nonexistent/alice"])
def test_without_a_folder_there_is_none(home: str) -> None:
    assert written({}, ORDER, TRACE, {"MLABHUB_HOME": home}) == ""


def test_what_stands_in_the_way_is_left_alone(environ: dict[str, str]) -> None:
    Path(environ["MLABHUB_HOME"], "mlabhub-rescue").write_text("a file")
    assert written({}, ORDER, TRACE, environ) == ""


def test_a_full_disk_leaves_nothing_behind(environ: dict[str, str], tmp_path: Path) -> None:
    """A process that may write no byte more is what a full disk is to it."""
    script = (
        "import asyncio, json, resource, signal, sys\n"
        "from mlabhub_agent.rescue import write_bundle\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "print(repr(asyncio.run(write_bundle({}, {}, None, json.loads(sys.argv[1])))))\n"
    )
    command = [sys.executable, "-c", script, json.dumps(environ)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert done.stdout == "''\n"
    assert list(Path(environ["MLABHUB_HOME"], "mlabhub-rescue").iterdir()) == []


def test_packages_that_the_image_has_not(tmp_path: Path) -> None:
    image, venv, home = tmp_path / "image", tmp_path / "venv", tmp_path / "home"
    packages, own = venv / "lib/python3.11/site-packages", home / ".local/lib/python3.11/site-packages"
    for folder in (image / "pytorch", packages, own):
        folder.mkdir(parents=True)
    (image / "base.lock").write_text(
        "numpy==2.0.0 \\\n    --hash=sha256:x\nFoo_Bar==1.0\npywin32==3 ; sys_platform == 'win32'\ntqdm==4.0\n"
    )
    (image / "pytorch/requirements.lock").write_text("torch==2.5.0\n")
    for name in ("numpy-2.1.0", "foo_bar-1.0", "torch-2.5.0+cpu", "einops-0.8", "pip-23.0", "mlabhub_agent-0.1.0"):
        (packages / f"{name}.dist-info").mkdir()
    (own / "black-24.1.dist-info").mkdir()
    log = tmp_path / "dpkg.log"
    log.write_text(
        "2026-11-27 05:00:00 startup archives unpack\n"
        "2026-11-27 05:00:01 install htop:amd64 <none> 3.2.2-2\n"
        "2026-11-27 05:00:01 status installed htop:amd64 3.2.2-2\n"
    )
    assert list(package_lines(image, venv, home, log)) == [
        "# Python packages that the image does not have like this",
        "einops==0.8",
        "numpy==2.1.0 (the image has 2.0.0)",
        "tqdm was removed",
        "# Python packages in the home, which all of your servers have",
        "black==24.1",
        "# Packages of the distribution since the image",
        "2026-11-27 05:00:01 install htop:amd64 <none> -> 3.2.2-2",
    ]


def test_an_image_without_lists(tmp_path: Path) -> None:
    lines = list(package_lines(tmp_path, tmp_path, tmp_path, tmp_path / "no.log"))
    assert "Not known: the image brought no list of its packages." in lines
    assert lines.count("none") == 2
