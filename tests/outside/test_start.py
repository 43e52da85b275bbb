"""What the first process of a server from an outside image prepares; without any container."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path

import pytest

from mlabhub.engine import runtime
from mlabhub.spawners.kube import outside
from tests.installation import CHECKOUT

RUNTIME = CHECKOUT / "images" / "runtime"
sys.path.insert(0, str(RUNTIME))

from mlabhub_outside import accounts, environment, kernels, shell, start  # noqa: E402

ENTRY = start.load_entry(str(CHECKOUT / "images" / "base" / "entry"))


def test_an_image_without_any_folder_gets_what_is_written_to(tmp_path: Path) -> None:
    start.make_files(ENTRY.check_own, tmp_path)
    assert (tmp_path / "etc/passwd").read_text().startswith("root:x:0:0:")
    assert (tmp_path / "etc/group").read_text() == "root:x:0:\n"
    assert (tmp_path / "tmp").stat().st_mode & 0o7777 == 0o1777
    (tmp_path / "etc/passwd").write_text("kept:x:7:7::/:/bin/sh\n")
    start.make_files(ENTRY.check_own, tmp_path)
    assert (tmp_path / "etc/passwd").read_text() == "kept:x:7:7::/:/bin/sh\n"


@pytest.mark.parametrize("link", ["etc", "var", "tmp", "var/tmp", "etc/passwd"])
def test_a_link_of_the_image_leads_root_to_no_folder_of_the_nas(tmp_path: Path, link: str) -> None:
    root, share = tmp_path / "root", tmp_path / "share"
    (root / link).parent.mkdir(parents=True)
    (root / "etc").is_dir() or link == "etc" or (root / "etc").mkdir()
    share.mkdir(mode=0o700)
    (root / link).symlink_to(share / "passwd" if link == "etc/passwd" else share)
    with contextlib.suppress(ENTRY.EntryError):
        start.make_files(ENTRY.check_own, root)
    assert list(share.iterdir()) == []
    assert share.stat().st_mode & 0o7777 == 0o700


def test_the_person_gets_a_shell_that_there_is(tmp_path: Path) -> None:
    passwd = tmp_path / "passwd"
    passwd.write_text("root:x:0:0:root:/root:/bin/bash\nalice:*:7:7::/mnt/user/alice:/bin/bash\n")
    start.set_shell("alice", "/bin/sh", passwd)
    assert passwd.read_text().splitlines() == [
        "root:x:0:0:root:/root:/bin/bash",
        "alice:*:7:7::/mnt/user/alice:/bin/sh",
    ]
    assert shell.choose_shell("/no/such/shell") in {"/bin/bash", "/bin/sh"}


@pytest.mark.parametrize(
    ("arguments", "module"),
    [
        (["jupyterhub-singleuser", "--x=1"], ["mlabhub_outside.serve", "--x=1"]),
        (["sh", "-c", "id"], ["mlabhub_outside.run", "sh", "-c", "id"]),
        ([], ["mlabhub_outside.run"]),
    ],
)
def test_the_server_is_ours_and_all_else_the_images(arguments: list[str], module: list[str]) -> None:
    assert start.make_command(arguments)[-len(module) :] == module


def test_the_images_environment_comes_back() -> None:
    kept = json.dumps({"LD_LIBRARY_PATH": "/cuda", "PYTHONPATH": "/x"})
    inside = {
        "LD_LIBRARY_PATH": "",
        "PYTHONPATH": "",
        "LC_ALL": "C",
        "PATH": "/opt/conda/bin",
        "JUPYTER_PATH": "/run/k",
    }
    assert environment.restored({**inside, environment.KEPT_ASIDE: kept}) == {
        "PATH": "/opt/conda/bin",
        "LD_LIBRARY_PATH": "/cuda",
        "PYTHONPATH": "/x",
    }
    assert environment.restored({"A": "b"}) == {"A": "b"}
    kept = json.dumps({"LC_ALL": "de_DE.UTF-8"})
    assert environment.restored({"LC_ALL": "C", environment.KEPT_ASIDE: kept}) == {"LC_ALL": "de_DE.UTF-8"}


def test_pythons_are_looked_for_where_the_image_says(tmp_path: Path) -> None:
    for name in ("conda/bin/python3", "path/bin/python", "virtual/bin/python3"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch(mode=0o755)
    environ = {
        "VIRTUAL_ENV": str(tmp_path / "virtual"),
        "CONDA_PREFIX": str(tmp_path / "conda"),
        "PATH": f"relative:{tmp_path}/path/bin:/opt/mlabhub/bin",
    }
    found = list(kernels.candidates(environ))
    assert found[:3] == [
        f"{tmp_path}/{name}" for name in ("virtual/bin/python3", "conda/bin/python3", "path/bin/python")
    ]
    assert not any(path.startswith("/opt/mlabhub/") for path in found)


@pytest.mark.parametrize("script", ["exit 1", "echo nonsense", "echo '[]'", "kill -9 $$"])
def test_a_python_that_does_not_answer_is_left_out(tmp_path: Path, script: str) -> None:
    python = tmp_path / "python3"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    assert kernels.ask(str(python), {}) is None


def test_a_python_of_its_own_ipykernel_is_taken_as_it_is() -> None:
    found = kernels.ask(sys.executable, {"PATH": "/usr/bin"})
    assert found is not None
    assert found.own
    spec = kernels.make_kernel(found)
    assert spec["argv"] == [*kernels.WRAPPER, sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    ours = kernels.make_kernel(kernels.ImagePython("/p", "3.9", "/", own=False, added=True))
    assert "/opt/mlabhub/kernel/3.9" in ours["argv"]  # type: ignore[operator]


def test_other_kernels_of_the_image_are_wrapped() -> None:
    assert kernels.wrapped({"argv": ["R"], "language": "R"})["argv"] == [*kernels.WRAPPER, "R"]
    with pytest.raises(ValueError, match="argv"):
        kernels.wrapped({"argv": "R"})


def test_the_hub_and_the_server_agree_on_what_disturbs() -> None:
    assert environment.DISTURBING.pattern == runtime.DISTURBING.pattern
    assert environment.GIVEN == outside.GIVEN


def test_where_the_hub_does_not_know_the_image_the_server_sets_its_variables_aside() -> None:
    environ = {
        "LD_LIBRARY_PATH": "/usr/local/cuda/lib64",
        "LD_PRELOAD": "",
        "PYTHONPATH": "/opt/lib",
        "PYTHONSAFEPATH": "1",
        "LC_ALL": "zh_CN.UTF-8",
        "PATH": "/opt/conda/bin:/bin",
        "MLABHUB_GIVEN": "PYTHONSAFEPATH",
    }
    environment.set_aside(environ)
    kept = environ[environment.KEPT_ASIDE]
    assert environ == {
        "PYTHONSAFEPATH": "1",
        "LC_ALL": "C",
        "OPENSSL_CONF": "/opt/mlabhub/etc/empty",
        "PATH": "/opt/conda/bin:/bin",
        environment.KEPT_ASIDE: kept,
    }
    environment.set_aside(environ)
    assert environ[environment.KEPT_ASIDE] == kept
    assert environment.restored(environ) == {
        "LD_LIBRARY_PATH": "/usr/local/cuda/lib64",
        "PYTHONPATH": "/opt/lib",
        "PYTHONSAFEPATH": "1",
        "LC_ALL": "zh_CN.UTF-8",
        "PATH": "/opt/conda/bin:/bin",
    }


def test_a_person_is_entered_beside_the_images_accounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "load_entry", lambda: ENTRY)
    etc, made = tmp_path / "etc", tmp_path / "made"
    etc.mkdir()
    made.mkdir()
    (etc / "passwd").write_text("root:x:0:0::/root:/bin/sh\njovyan:x:1000:100::/home/jovyan:/bin/sh\n")
    for name, value in {"USER": "alice", "UID": "1000", "GID": "1000", "GROUPS": "vision:200001"}.items():
        monkeypatch.setenv(f"MLABHUB_{name}", value)
    monkeypatch.setenv("MLABHUB_HOME", "/mnt/user/alice")
    accounts.main(made, etc)
    shell_there = shell.choose_shell("/bin/bash")
    assert (made / "passwd").read_text().splitlines() == [
        "root:x:0:0::/root:/bin/sh",
        f"alice:*:1000:1000::/mnt/user/alice:{shell_there}",
    ]
    assert (made / "group").read_text().splitlines() == ["root:x:0:", "vision:*:200001:alice", "alice:*:1000:"]


def test_a_person_who_cannot_be_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "load_entry", lambda: ENTRY)
    monkeypatch.setenv("MLABHUB_UID", "0")
    with pytest.raises(SystemExit, match="nobody can be made known in this image: MLABHUB_UID='0'"):
        accounts.main(tmp_path, tmp_path)
