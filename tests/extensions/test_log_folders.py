"""Which folders may be chosen, how they are named and kept, and what is seen in them."""

from __future__ import annotations

import errno
import json
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mlabhub_proxies.tensorboard import look
from mlabhub_proxies.tensorboard.folders import (
    MAX_FOLDERS,
    FolderList,
    FolderRefused,
    Places,
    is_free,
    make_name,
    read_paths,
)
from mlabhub_proxies.tensorboard.look import Budget, complete, find_folders, look_into, walk
from mlabhub_proxies.tensorboard.tool import LEAST_MIB, MOST_MIB, memory_bytes, memory_share
from mlabhub_proxies.tensorboard.use import Use, read_longest
from mlabhub_proxies.words import get_translator


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Return a person's home and one share, with a stranger's folder beside them."""
    for name in ("home", "share", "stranger"):
        (tmp_path / name).mkdir()
    return Places(str(tmp_path / "home"), (str(tmp_path / "share"),))


@pytest.fixture
def make_list(tmp_path: Path, places: Places) -> Callable[..., FolderList]:
    """Return the list of a server as it is made at each of its starts."""

    def make(given: list[str] | None = None, file: Path = tmp_path / "home/.config/list.json") -> FolderList:
        return FolderList(file, tmp_path / "links", places, given)

    return make


def links(tmp_path: Path) -> dict[str, str]:
    """Return what TensorBoard is shown."""
    around = tmp_path / "links"
    return {str(path.relative_to(around)): os.readlink(path) for path in around.rglob("*") if path.is_symlink()}


# Which may be chosen ------------------------------------------------------------------------------------------------

REFUSED_TEXTS = {
    "nothing": ("", "empty"),
    "blanks": ("  ", "empty"),
    "none": (None, "empty"),
    "a number": (7, "empty"),
    "a list": (["/tmp"], "empty"),
    "relative": ("runs", "relative"),
    "relative upwards": ("../runs", "relative"),
    "somebody's home": ("~bob/runs", "relative"),
    "an address": ("file:///etc", "relative"),
    "NUL": ("/mnt/a\0b", "unprintable"),
    "a line's end": ("/mnt/a\nb", "unprintable"),
    "an escape": ("/mnt/\x1b[2J", "unprintable"),
    "right to left": ("/mnt/\u202egpj", "unprintable"),
    "half a character": ("/mnt/\ud800", "unprintable"),
    "very long": ("/" + "x" * 10_000, "too_long"),
    "the whole machine": ("/", "outside"),
    "two slashes": ("//etc", "outside"),
    "system": ("/etc", "outside"),
    "upwards": ("~/../../../../etc", "outside"),
    "upwards in the middle": ("~/runs/../../stranger", "outside"),
    "beside with the same beginning": ("~/../home2", "outside"),
    "proc": ("/proc/self/root", "outside"),
}


@pytest.mark.parametrize(("typed", "code"), REFUSED_TEXTS.values(), ids=REFUSED_TEXTS)
def test_refused_as_text(places: Places, typed: object, code: str) -> None:
    with pytest.raises(FolderRefused) as refused:
        places.check(typed)
    assert refused.value.code == code
    assert get_translator("en").say(refused.value.sentence).endswith(".")


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        here = Path.cwd()
        os.chdir(path.parent)  # A socket's path must be short.
        try:
            one.bind(path.name)
        finally:
            os.chdir(here)


REFUSED_THINGS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a file": (lambda path: path.write_text("x"), "no_folder"),
    "a pipe": (make_fifo, "no_folder"),
    "a socket": (make_socket, "no_folder"),
    "below a file": (lambda path: path.with_name("runs").mkdir() or path.write_text("x"), "no_folder"),
    "a link out": (lambda path: path.symlink_to("/etc"), "outside"),
    "a link out by name": (lambda path: path.symlink_to("../stranger"), "outside"),
    "a link to nowhere outside": (lambda path: path.symlink_to("/nowhere"), "outside"),
    "a link to itself": (lambda path: path.symlink_to(path.name), "unusable"),
}


@pytest.mark.parametrize(("make", "code"), REFUSED_THINGS.values(), ids=REFUSED_THINGS)
def test_refused_for_what_is_there(places: Places, make: Callable[[Path], object], code: str) -> None:
    path = Path(places.home) / "thing"
    make(path)
    with pytest.raises(FolderRefused) as refused:
        places.check("~/thing")
    assert refused.value.code == code


def test_refused_below_a_file(places: Places) -> None:
    (Path(places.home) / "file").write_text("x")
    with pytest.raises(FolderRefused) as refused:
        places.check("~/file/runs")
    assert refused.value.code == "unusable"


TAKEN = {
    "home": ("~", "home"),
    "home with a slash": ("~/", "home"),
    "not there yet": ("~/later/on", "home/later/on"),
    "blanks around": ("  ~/runs ", "home/runs"),
    "double slashes": ("~//runs///may/", "home/runs/may"),
    "up and down again": ("~/runs/../runs", "home/runs"),
    "a link inside": ("~/mine", "home/mine"),
    "a link to a share": ("~/team", "home/team"),
    "a share": ("{}/share/exp1", "share/exp1"),
    "other scripts": ("~/训练 日志", "home/训练 日志"),
    "a quote": ("~/a'b\"c", "home/a'b\"c"),
    "braces": ("~/{exp}", "home/{exp}"),
    "a tilde inside": ("~/~", "home/~"),
}


@pytest.mark.parametrize(("typed", "taken"), TAKEN.values(), ids=TAKEN)
def test_taken(places: Places, tmp_path: Path, typed: str, taken: str) -> None:
    home = Path(places.home)
    (home / "runs").mkdir()
    (home / "mine").symlink_to("runs")
    (home / "team").symlink_to(tmp_path / "share")
    assert places.check(typed.replace("{}", str(tmp_path))) == str(tmp_path / taken)


def test_a_home_that_is_a_link_itself(tmp_path: Path) -> None:
    (tmp_path / "real/runs").mkdir(parents=True)
    (tmp_path / "home").symlink_to("real")
    places = Places(str(tmp_path / "home"))
    assert places.check("~/runs") == str(tmp_path / "home/runs")
    assert places.check(str(tmp_path / "real/runs")) == str(tmp_path / "real/runs")


@pytest.mark.parametrize("text", [None, "", "x", "7", "{}", '"/mnt"', "[7, null]", "[["])
def test_places_that_cannot_be_read_are_none(text: str | None) -> None:
    environ = {"MLABHUB_HOME": "/home/alice", **({} if text is None else {"MLABHUB_PLACES": text})}
    assert list(Places.of(environ)) == ["/home/alice"]


def test_places_of_a_server() -> None:
    environ = {
        "HOME": "/root",
        "MLABHUB_HOME": "/mnt/user/alice",
        "MLABHUB_PLACES": '["/mnt/user/alice", "/mnt/x", "y"]',
    }
    assert list(Places.of(environ)) == ["/mnt/user/alice", "/mnt/x"]
    assert list(Places.of({"HOME": "/root"})) == ["/root"]


# Names --------------------------------------------------------------------------------------------------------------

NAMES = {
    "short": ("runs", (), "runs"),
    "the last two": ("mnt/share/vision/exp1", (), "vision/exp1"),
    "more if it must be": ("mnt/share/vision/exp1", ("vision/exp1",), "share/vision/exp1"),
    "a number at the end of it": ("a/b", ("a/b",), "b (2)"),
    "one inside another": ("runs/may", ("runs",), "may (2)"),
    "one around another": ("runs", ("runs/may",), "runs (2)"),
    "taken numbers": ("runs", ("runs", "runs (2)"), "runs (3)"),
    "nothing to name": ("", (), "home"),
}


@pytest.mark.parametrize(("below", "taken", "name"), NAMES.values(), ids=NAMES)
def test_names(below: str, taken: tuple[str, ...], name: str) -> None:
    assert make_name(below, taken) == name
    assert is_free(name, taken)


def test_a_hundred_folders_that_look_alike(tmp_path: Path, make_list: Callable[..., FolderList]) -> None:
    folders = make_list()
    for number in range(MAX_FOLDERS // 2):
        folders.add(f"~/{number}/vision/runs")
        folders.add(f"~/{number}/vision")
    assert len(links(tmp_path)) == MAX_FOLDERS
    with pytest.raises(FolderRefused, match="too_many"):
        folders.add("~/one/more")


# The list -----------------------------------------------------------------------------------------------------------


def test_add_and_remove(tmp_path: Path, make_list: Callable[..., FolderList]) -> None:
    folders = make_list()
    (tmp_path / "share/vision/exp1").mkdir(parents=True)
    share = str(tmp_path / "share/vision/exp1")
    assert folders.add("~/runs").name == "runs"
    assert folders.add(share).name == "vision/exp1"
    assert folders.add(share + "/").name == "vision/exp1"
    assert links(tmp_path) == {"runs": str(tmp_path / "home/runs"), "vision/exp1": share}
    folders.remove(share)
    assert links(tmp_path) == {"runs": str(tmp_path / "home/runs")}
    assert not (tmp_path / "links/vision").exists()
    assert Path(share).is_dir()
    with pytest.raises(FolderRefused, match="unknown"):
        folders.remove(share)
    with pytest.raises(FolderRefused, match="unknown"):
        folders.remove(None)


def test_kept_until_the_next_start(tmp_path: Path, make_list: Callable[..., FolderList]) -> None:
    make_list().add("~/runs")
    assert [folder.path for folder in make_list().folders] == [str(tmp_path / "home/runs")]
    assert ((tmp_path / "home/.config/list.json").stat().st_mode & 0o777) == 0o600


def test_started_with_folders(tmp_path: Path, make_list: Callable[..., FolderList]) -> None:
    paths = [str(tmp_path / "home" / name) for name in ("one", "two", "three")]
    folders = make_list(paths[:1])
    folders.add(paths[1])
    # The same start again goes on where it was left; another choice is a fresh one.
    assert [folder.path for folder in make_list(paths[:1]).folders] == paths[:2]
    assert [folder.path for folder in make_list(paths[2:]).folders] == paths[2:]
    # Without a choice it shows what it showed last, and so does the choice of then.
    assert [folder.path for folder in make_list([]).folders] == paths[2:]
    make_list().add(paths[0])
    assert [folder.path for folder in make_list(paths[2:]).folders] == [paths[2], paths[0]]


@pytest.mark.parametrize("kept", ["", "{", "[]", "7", '{"folders": 7}', '{"folders": [7, {"path": 7}, {"path": "x"}]}'])
def test_a_list_that_is_spoiled_is_empty(tmp_path: Path, make_list: Callable[..., FolderList], kept: str) -> None:
    file = tmp_path / "home/.config/list.json"
    file.parent.mkdir()
    file.write_text(kept)
    assert make_list().folders == ()


def test_a_kept_folder_that_leads_out_is_not_shown(tmp_path: Path, make_list: Callable[..., FolderList]) -> None:
    link = tmp_path / "home/mine"
    (tmp_path / "home/runs").mkdir()
    link.symlink_to("runs")
    folders = make_list()
    folders.add("~/mine")
    assert links(tmp_path) == {"mine": str(link)}
    link.unlink()
    link.symlink_to(tmp_path / "stranger")
    folders.refresh()
    assert links(tmp_path) == {}
    assert look_into(str(link), folders.places) == look.OUTSIDE
    assert [folder.path for folder in make_list().folders] == [str(link)]
    assert links(tmp_path) == {}


def fail(number: int) -> Callable[..., None]:
    """Return a function that fails as a disk does."""

    def failing(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return failing


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EACCES])
def test_a_home_that_takes_nothing(
    tmp_path: Path, make_list: Callable[..., FolderList], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    folders = make_list()
    folders.add("~/before")
    monkeypatch.setattr(os, "replace", fail(number))
    folders.add("~/runs")
    assert set(links(tmp_path)) == {"before", "runs"}
    assert folders.problem is not None
    assert os.strerror(number) in get_translator("en").say(folders.problem)
    assert os.listdir(tmp_path / "home/.config") == ["list.json"]
    monkeypatch.undo()
    assert [folder.name for folder in make_list().folders] == ["before"]
    folders.add("~/more")
    assert folders.problem is None


def test_a_home_where_nothing_can_be_made(tmp_path: Path, make_list: Callable[..., FolderList]) -> None:
    folders = make_list(file=Path("/proc/nowhere/list.json"))
    folders.add("~/runs")
    assert folders.problem is not None
    assert set(links(tmp_path)) == {"runs"}


def test_many_changes_at_once(tmp_path: Path, make_list: Callable[..., FolderList]) -> None:
    folders = make_list()
    threads = [threading.Thread(target=folders.add, args=(f"~/{number}",)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(links(tmp_path)) == len(json.loads((tmp_path / "home/.config/list.json").read_text())["folders"]) == 20


# What is seen -------------------------------------------------------------------------------------------------------


def event_file(folder: Path, when: float = 1_790_000_000.0) -> Path:
    """Make something that looks like an event file."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"events.out.tfevents.{len(list(folder.iterdir()))}"
    file.touch()
    os.utime(file, (when, when))
    return file


def test_what_is_in_a_folder(places: Places) -> None:
    runs = Path(places.home) / "runs"
    event_file(runs / "one")
    event_file(runs / "one", 1_790_000_500.0)
    event_file(runs / "two/train")
    os.mkfifo(runs / "two/events.out.tfevents.pipe")
    seen = look_into(str(runs), places)
    assert (seen.runs, seen.files, seen.newest, seen.complete, seen.problem) == (2, 3, 1_790_000_500.0, True, None)
    assert look_into(str(runs / "nowhere"), places) == look.ABSENT


def test_what_a_colleague_leaves_in_a_shared_folder_breaks_nothing(places: Places) -> None:
    runs = Path(places.home) / "runs"
    runs.mkdir(exist_ok=True)
    (runs / "events.out.tfevents.1").touch()
    for number, target in enumerate(("tfevents.loop0", "/proc/1/root/x", "x" * 255 + "/" + "y" * 255, "nowhere")):
        (runs / f"tfevents.loop{number}").symlink_to(target)
    os.mkfifo(runs / "tfevents.pipe")
    assert look_into(str(runs), places).files == 1
    assert find_folders(places, []) == [str(runs)]
    assert complete(f"{places.home}/", places)[0] == str(runs)


def test_links_that_form_loops_are_walked_once(places: Places) -> None:
    runs = Path(places.home) / "runs"
    event_file(runs / "deep/one")
    for number in range(5):
        (runs / f"up{number}").symlink_to("..")
        (runs / f"deep/up{number}").symlink_to("../..")
        (runs / f"deep/self{number}").symlink_to(".")
    seen = look_into(str(runs), places)
    assert (seen.runs, seen.files, seen.complete) == (1, 1, True)


def test_a_huge_folder_is_looked_at_in_part(places: Places) -> None:
    runs = Path(places.home) / "runs"
    for number in range(30):
        event_file(runs / str(number))
    seen = look_into(str(runs), places, Budget(entries=20))
    assert not seen.complete
    assert seen.runs < 20
    assert not look_into(str(runs), places, Budget(seconds=0)).complete


def test_a_folder_that_may_not_be_read(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "scandir", fail(errno.EACCES))
    problem = look_into(places.home, places).problem
    assert problem is not None
    assert get_translator("en").say(problem) == "It cannot be read: Permission denied."
    assert list(walk(places.home, Budget())) == []


def test_folders_worth_adding(tmp_path: Path, places: Places) -> None:
    home = Path(places.home)
    event_file(home / "project/lightning_logs/version_0")
    event_file(home / "other/exp1")
    event_file(home / "other/exp2")
    event_file(home / ".cache/runs")
    event_file(home / "a/b/c/d/e/f")
    event_file(tmp_path / "share/vision/runs/1")
    found = {str(home / "project/lightning_logs"), str(home / "other"), str(tmp_path / "share/vision/runs")}
    assert set(find_folders(places, [])) == found
    assert set(find_folders(places, [str(home / "project")])) == found - {str(home / "project/lightning_logs")}


def test_how_a_path_goes_on(tmp_path: Path, places: Places) -> None:
    home = Path(places.home)
    for name in ("alpha", "another", "beta", ".hidden"):
        (home / name).mkdir()
    (home / "a-file").touch()
    event_file(home / "another/1")
    assert complete(f"{home}/a", places) == [str(home / "another"), str(home / "alpha")]
    assert complete("~/", places) == ["~/another", "~/alpha", "~/beta"]
    assert complete("~/.h", places) == ["~/.hidden"]
    assert complete("~/nowhere/x", places) == []
    assert complete("~/a-file/x", places) == []
    assert complete(str(tmp_path)[:4], places) == list(places)
    assert complete(f"{tmp_path}/stranger/", places) == []
    assert complete("/etc/", places) == []
    assert complete("~/\0", places) == []


# Use, memory --------------------------------------------------------------------------------------------------------


def test_how_long_nobody_was_there() -> None:
    now = 0.0
    use = Use(3600, clock=lambda: now)
    now = 3000.0
    assert (use.left_s, use.warns) == (600, False)
    now = 3301.0
    assert use.warns
    use.note()
    assert (use.left_s, use.warns) == (3600, False)
    now = 8000.0
    assert use.left_s is not None
    assert use.left_s < 0
    assert (Use().left_s, Use().warns) == (None, False)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [(None, 3600), ("", 3600), ("x", 3600), ("nan", 3600), ("inf", 3600), ("-1", 3600), ("0", 3600), ("5", 5)],
)
def test_how_long_it_may_be(text: str | None, seconds: float) -> None:
    assert read_longest(text) == seconds


def test_a_share_of_the_memory() -> None:
    assert memory_share(8 * 1024**3, 0.25) == 2048
    assert memory_share(1, 0.25) == LEAST_MIB
    assert memory_share(1024**4, 0.25) == MOST_MIB
    assert memory_bytes() > 0


def test_lists_of_paths() -> None:
    assert read_paths('["/a", 7, "b"]') == ["/a", "b"]
