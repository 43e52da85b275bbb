"""What the base image's entry writes and runs, function by function; test_base.py runs it for real."""

from __future__ import annotations

import errno
import os
import shutil
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import pytest

from mlabhub.images.recipes import IMAGES_DIR
from mlabhub.site import Site
from mlabhub.site.inside import make_environment
from tests.full_home import full_home

SITE = Site(http_proxy="http://p:1", https_proxy="http://p:1")

PASSWD = """\
root:x:0:0:root:/root:/bin/bash
games:x:5:60:games:/usr/games:/usr/sbin/nologin
ubuntu:x:1000:1000::/home/ubuntu:/bin/bash
"""
GROUP = """\
root:x:0:
video:x:44:
ubuntu:x:1000:
mlab:x:65020:
"""
ALICE = {
    "MLABHUB_USER": "alice",
    "MLABHUB_UID": "12345",
    "MLABHUB_GID": "12346",
    "MLABHUB_GROUPS": "vision:200001,nlp:200002",
    "MLABHUB_HOME": "/mnt/user/alice",
    "MLABHUB_SUDO": "0",
}


def load_entry() -> Any:
    """Import the script, which has no suffix."""
    loader = SourceFileLoader("entry", str(IMAGES_DIR / "base" / "entry"))
    spec = spec_from_loader("entry", loader)
    assert spec is not None
    module = module_from_spec(spec)
    import sys

    sys.modules["entry"] = module  # dataclasses look their module up
    loader.exec_module(module)
    return module


entry = load_entry()


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "passwd").write_text(PASSWD)
    (folder / "group").write_text(GROUP)
    return folder


def enter(etc: Path, **changes: str) -> str:
    person = entry.parse_person({**ALICE, **changes})
    name: str = entry.enter(person, etc, etc.parent / "var" / "entered")
    return name


def added(etc: Path, file: str, before: str) -> set[str]:
    return set((etc / file).read_text().splitlines()) - set(before.splitlines())


def test_no_link_of_the_image_leads_root_out_of_it(etc: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("bobs:secret:0:0::/:\n")
    secret.chmod(0o600)
    for name in ("passwd.mlabhub", "group.mlabhub"):
        (etc / name).symlink_to(secret)
    assert enter(etc) == "alice"
    assert (secret.read_text(), secret.stat().st_mode & 0o777) == ("bobs:secret:0:0::/:\n", 0o600)


@pytest.mark.parametrize(
    ("link", "to"),
    [
        ("etc", "share"),
        ("var", "share"),
        ("etc/passwd", "/proc/version"),
        ("etc/group", "pipe"),
        ("var/entered", "pipe"),
    ],
)
def test_folders_and_files_that_are_not_the_images_own_are_refused(
    etc: Path, tmp_path: Path, link: str, to: str
) -> None:
    os.mkfifo(tmp_path / "pipe")
    share = tmp_path / "share"
    share.mkdir()
    (share / "passwd").write_text(PASSWD)
    (share / "group").write_text(GROUP)
    place = tmp_path / link
    place.parent.mkdir(exist_ok=True)
    if place.is_dir():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
    place.symlink_to(tmp_path / to)
    with pytest.raises(entry.EntryError, match="Choose another image"):
        enter(etc)
    assert (share / "passwd").read_text() == PASSWD
    assert sorted(file.name for file in share.iterdir()) == ["group", "passwd"]


def test_no_user_is_named():
    assert entry.parse_person({"MLABHUB_USER": "alice"}) is None


def test_everything_is_read():
    person = entry.parse_person(ALICE)
    assert person == entry.Person(
        "alice", 12345, 12346, (("vision", 200001), ("nlp", 200002)), "/mnt/user/alice", sudo=False
    )


def test_the_group_is_the_users_own_if_absent():
    assert entry.parse_person({"MLABHUB_UID": "7"}).gid == 7


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"MLABHUB_UID": "0"}, id="root"),
        pytest.param({"MLABHUB_UID": "-1"}, id="negative"),
        pytest.param({"MLABHUB_UID": "1e3"}, id="no-number"),
        pytest.param({"MLABHUB_UID": ""}, id="empty"),
        pytest.param({"MLABHUB_UID": "4294967295"}, id="the-id-that-means-no-id"),
        pytest.param({"MLABHUB_GID": "0"}, id="roots-group"),
        pytest.param({"MLABHUB_GROUPS": "vision:0"}, id="roots-group-among-others"),
        pytest.param({"MLABHUB_GROUPS": "vision"}, id="group-without-number"),
        pytest.param({"MLABHUB_HOME": "relative"}, id="relative-home"),
        pytest.param({"MLABHUB_HOME": "/a:b"}, id="home-with-colon"),
        pytest.param({"MLABHUB_HOME": "/a\nroot2:x:0"}, id="home-with-newline"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(changes: dict[str, str]):
    with pytest.raises(entry.EntryError, match="MLABHUB_"):
        entry.parse_person({**ALICE, **changes})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("alice", "alice"),
        ("Weird@Ex.com", "Weird@Ex.com"),
        ("王小明", "王小明"),
        ("a:b\nroot", "a_b_root"),
        ("-rf", "_rf"),
        ("$(id)", "__id_"),
        ("", "user"),
        ("x" * 40, "x" * 32),
    ],
)
def test_names_are_kept_as_far_as_files_and_shells_can_hold_them(name: str, expected: str):
    assert entry.safe_name(name) == expected


def test_user_and_groups_are_entered(etc: Path):
    assert enter(etc) == "alice"
    assert added(etc, "passwd", PASSWD) == {"alice:*:12345:12346::/mnt/user/alice:/bin/bash"}
    assert added(etc, "group", GROUP) == {
        "vision:*:200001:alice",
        "nlp:*:200002:alice",
        "alice:*:12346:",
        "mlab:x:65020:alice",
    }


def test_entering_twice_changes_nothing(etc: Path):
    enter(etc)
    before = (etc / "passwd").read_text(), (etc / "group").read_text()
    enter(etc)
    assert ((etc / "passwd").read_text(), (etc / "group").read_text()) == before


def test_what_an_earlier_run_entered_is_taken_back(etc: Path):
    enter(etc, MLABHUB_GROUPS="vision:200001,films:44")
    assert "video:x:44:alice" in added(etc, "group", GROUP)
    enter(etc, MLABHUB_USER="bob", MLABHUB_UID="777", MLABHUB_GID="777", MLABHUB_GROUPS="")
    assert added(etc, "passwd", PASSWD) == {"bob:*:777:777::/mnt/user/alice:/bin/bash"}
    assert added(etc, "group", GROUP) == {"bob:*:777:", "mlab:x:65020:bob"}


def test_names_of_the_image_are_not_taken(etc: Path):
    assert enter(etc, MLABHUB_USER="games", MLABHUB_GROUPS="root:300000,video:300001") == "games_12345"
    assert {"root_300000:*:300000:games_12345", "video_300001:*:300001:games_12345"} <= added(etc, "group", GROUP)
    assert set(PASSWD.splitlines()) <= set((etc / "passwd").read_text().splitlines())


def test_an_account_of_the_image_with_the_same_id_gives_way(etc: Path):
    assert enter(etc, MLABHUB_UID="1000", MLABHUB_GID="1000") == "alice"
    passwd = (etc / "passwd").read_text()
    assert "ubuntu" not in passwd
    assert "alice:*:1000:1000::/mnt/user/alice:/bin/bash" in passwd
    assert "ubuntu:x:1000:" in (etc / "group").read_text()


def test_a_group_of_the_image_with_the_same_number_keeps_its_name(etc: Path):
    enter(etc, MLABHUB_GROUPS="cameras:44")
    assert "video:x:44:alice" in added(etc, "group", GROUP)
    assert "cameras" not in (etc / "group").read_text()


@pytest.fixture
def extra(tmp_path: Path) -> Path:
    folder = tmp_path / "extrausers"
    folder.mkdir()
    return folder


def test_without_root_user_and_held_groups_are_entered_beside_the_images(etc: Path, extra: Path):
    person = entry.parse_person({**ALICE, "MLABHUB_GROUPS": "vision:200001,nlp:200002,films:44"})
    for _ in range(2):
        assert entry.enter_beside(person, {12346, 200001, 44}, etc, extra) == "alice"
        assert (extra / "passwd").read_text() == "alice:*:12345:12346::/mnt/user/alice:/bin/bash\n"
        assert (extra / "group").read_text() == "video:x:44:alice\nvision:*:200001:alice\nalice:*:12346:\n"
    assert ((etc / "passwd").read_text(), (etc / "group").read_text()) == (PASSWD, GROUP)


def test_without_root_names_of_the_image_are_not_taken(etc: Path, extra: Path):
    person = entry.parse_person({**ALICE, "MLABHUB_USER": "games"})
    assert entry.enter_beside(person, {12346}, etc, extra) == "games_12345"
    assert (extra / "passwd").read_text().startswith("games_12345:*:12345:")


def test_what_lies_beside_is_not_read(etc: Path, extra: Path):
    (extra / "passwd").write_text("alice:*:0:0::/:\n")
    (extra / "group").write_text("vision:*:0:\n")
    entry.enter_beside(entry.parse_person(ALICE), {200001}, etc, extra)
    assert (extra / "passwd").read_text().startswith("alice:*:12345:")
    assert (extra / "group").read_text() == "vision:*:200001:alice\n"


def test_a_container_of_somebody_else_is_refused():
    person = entry.parse_person({"MLABHUB_UID": str(os.getuid() + 1), "MLABHUB_GID": str(os.getgid() + 1)})
    with pytest.raises(entry.EntryError, match="runs as"):
        entry.check_is(person)
    entry.check_is(entry.Person("me", os.getuid(), os.getgid(), (), "/", sudo=False))


def test_pip_keeps_to_the_image_where_it_can_install_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PIP_USER", "0")
    entry.let_pip_choose(str(tmp_path))
    assert os.environ["PIP_USER"] == "0"
    entry.let_pip_choose(str(tmp_path / "none"))
    assert "PIP_USER" not in os.environ


def test_programs_of_the_home_come_after_the_images(monkeypatch: pytest.MonkeyPatch):
    for name in ("USER", "LOGNAME", "HOME", "SHELL", "XDG_RUNTIME_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, "")  # so that it is undone
    monkeypatch.setenv("PATH", "/opt/venv/bin:/usr/bin:/bin")
    before = os.umask(0o022)
    try:
        entry.set_variables(entry.parse_person(ALICE), "alice", "/run/user/12345")
    finally:
        os.umask(before)
    assert os.environ["PATH"] == "/opt/venv/bin:/mnt/user/alice/.local/bin:/usr/bin:/bin"


def test_in_safe_mode_nothing_of_the_home_is_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("USER", "LOGNAME", "HOME", "SHELL", "XDG_RUNTIME_DIR", "JUPYTER_RUNTIME_DIR", "MLABHUB_NOTES"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("PATH", "/opt/venv/bin:/usr/bin:/bin")
    monkeypatch.setenv("MLABHUB_SAFE", "1")
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "")
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", "/tmp/mlabhub-safe-01J/config")
    before = os.umask(0o022)
    try:
        entry.set_variables(entry.parse_person(ALICE), "alice", "/run/user/12345")
    finally:
        os.umask(before)
    entry.spare_the_home(entry.parse_person(ALICE), str(tmp_path / "run"), "it is full: delete something")
    assert os.environ["PATH"] == "/opt/venv/bin:/usr/bin:/bin"
    assert os.environ["JUPYTER_CONFIG_PATH"] == ""
    assert os.environ["JUPYTER_CONFIG_DIR"] == "/tmp/mlabhub-safe-01J/config"
    assert "it is full" in os.environ["MLABHUB_NOTES"]
    assert list(tmp_path.iterdir()) == []


def test_without_sudo_every_way_back_is_closed():
    person = entry.parse_person(ALICE)
    assert entry.privilege_command(person, [65020, 200001]) == [
        "/usr/bin/setpriv",
        "--reuid=12345",
        "--regid=12346",
        "--groups=65020,200001",
        "--inh-caps=-all",
        "--bounding-set=-all",
        "--no-new-privs",
        "--",
    ]


def test_with_sudo_only_the_ids_change():
    person = entry.parse_person({**ALICE, "MLABHUB_SUDO": "1"})
    assert entry.privilege_command(person, []) == [
        "/usr/bin/setpriv",
        "--reuid=12345",
        "--regid=12346",
        "--clear-groups",
        "--inh-caps=-all",
        "--",
    ]


def test_an_emptied_variable_of_the_site_is_none():
    environ = {"SSL_CERT_FILE": "", "http_proxy": "http://p", "NO_PROXY": "", "OTHER": ""}
    entry.drop_emptied(environ)
    assert environ == {"http_proxy": "http://p", "OTHER": ""}


def test_sudo_keeps_the_sites_variables_and_sudoers_is_well_formed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(entry, "SUDOERS", tmp_path / "mlabhub")
    entry.allow_sudo(entry.parse_person({**ALICE, "MLABHUB_SUDO": "1"}))
    text = (tmp_path / "mlabhub").read_text()
    assert text.splitlines()[1] == "#12345 ALL=(ALL:ALL) NOPASSWD: ALL"
    kept = text.split('"')[1].split()
    made = make_environment(SITE, ["npmrc", "gitconfig"], ca="/ca.pem")
    assert set(made) <= set(kept)
    assert text.splitlines()[0].startswith("Defaults:#12345 env_keep += ")


@pytest.mark.engine
def test_a_home_with_room_for_half_of_it_is_full(tmp_path: Path):
    with full_home(tmp_path, os.getuid()) as home:
        os.truncate(home / "big", (home / "big").stat().st_size - entry.ENOUGH_BYTES // 2)
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            entry.save_a_little(str(home))
        os.truncate(home / "big", (home / "big").stat().st_size - entry.ENOUGH_BYTES)
        entry.save_a_little(str(home))
        assert [file.name for file in home.iterdir()] == ["big"]
