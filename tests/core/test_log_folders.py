"""The option log_folders: what passes is a path in a folder of one's own, whatever comes in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlabhub.core.log_folders import MOST_FOLDERS, read_log_folder, read_log_folders, source_of
from mlabhub.core.paths import is_within
from mlabhub.core.storage import Place
from mlabhub.errors import InvalidLaunch, MLabError, NotPermitted

TARGETS = ("/mnt/user/alice", "/mnt/share/vision", "/mnt/data/imagenet")
HERE = {
    "as it is": ("/mnt/user/alice/runs", "/mnt/user/alice/runs"),
    "a whole folder": ("/mnt/share/vision", "/mnt/share/vision"),
    "a slash at the end": ("/mnt/user/alice/runs/", "/mnt/user/alice/runs"),
    "doubled slashes": ("//mnt///user//alice/runs", "/mnt/user/alice/runs"),
    "dots": ("/./mnt/user/./alice/runs/.", "/mnt/user/alice/runs"),
    "the home": ("~", "/mnt/user/alice"),
    "in the home": ("~/runs", "/mnt/user/alice/runs"),
    "spaces and other letters": ("/mnt/user/alice/实验 1:b", "/mnt/user/alice/实验 1:b"),
    "dots in a name": ("/mnt/user/alice/..runs..", "/mnt/user/alice/..runs.."),
}
WRONG = {
    "nothing": ("", InvalidLaunch),
    "a relative path": ("runs", InvalidLaunch),
    "another home": ("~bob/runs", InvalidLaunch),
    "out of the home": ("~/../bob", InvalidLaunch),
    "an address": ("s3://bucket/runs", InvalidLaunch),
    "a number": (7, InvalidLaunch),
    "null": (None, InvalidLaunch),
    "a list": (["/mnt/user/alice"], InvalidLaunch),
    "two lines": ("/mnt/user/alice/a\nb", InvalidLaunch),
    "NUL": ("/mnt/user/alice/\0", InvalidLaunch),
    "half a character": ("/mnt/user/alice/\ud800", InvalidLaunch),
    "right to left": ("/mnt/user/alice/\u202e", InvalidLaunch),
    "too long": ("/mnt/user/alice/" + "a" * 1000, InvalidLaunch),
    "out and in again": ("/mnt/user/alice/../alice/runs", InvalidLaunch),
    "out": ("/mnt/user/alice/../bob", InvalidLaunch),
    "another person's": ("/mnt/user/bob/runs", NotPermitted),
    "another group's": ("/mnt/share/nlp", NotPermitted),
    "a namesake's": ("/mnt/user/alice2", NotPermitted),
    "all of them": ("/mnt/user", NotPermitted),
    "the root": ("/", NotPermitted),
    "slashes alone": ("///", NotPermitted),
    "the system": ("/etc", NotPermitted),
    "the process": ("/proc/1/root/mnt/user/bob", NotPermitted),
    "another case": ("/MNT/user/alice", NotPermitted),
}


@pytest.mark.parametrize(("value", "path"), HERE.values(), ids=HERE)
def test_folders_of_ones_own(value: str, path: str) -> None:
    assert read_log_folders([value, path], TARGETS, permitted=True) == (path,)


@pytest.mark.parametrize(("value", "error"), WRONG.values(), ids=WRONG)
def test_what_is_refused(value: object, error: type[MLabError]) -> None:
    with pytest.raises(error) as caught:
        read_log_folders([value], TARGETS, permitted=True)
    sentence = str(caught.value.message)
    assert caught.value.data["key"] == "log_folders"
    assert "/mnt/user/alice" in sentence
    assert sentence.isprintable()
    assert len(sentence) < 300


@pytest.mark.parametrize("value", ["/mnt/user/alice", {"a": "/mnt/user/alice"}, 1, True])
def test_what_is_no_list(value: object) -> None:
    with pytest.raises(InvalidLaunch, match="must be a list of paths"):
        read_log_folders(value, TARGETS, permitted=True)


def test_how_many() -> None:
    most = [f"/mnt/user/alice/{number}" for number in range(MOST_FOLDERS)]
    assert read_log_folders(most, TARGETS, permitted=True) == tuple(most)
    with pytest.raises(InvalidLaunch, match="has 51 entries; at most 50"):
        read_log_folders([*most, "/mnt/user/alice/x"], TARGETS, permitted=True)


@pytest.mark.parametrize("nothing", [None, [], ()])
def test_other_kinds_of_profiles_have_none(nothing: object) -> None:
    assert read_log_folders(nothing, TARGETS, permitted=False) == ()
    with pytest.raises(NotPermitted, match="for profiles of kind tensorboard"):
        read_log_folders(["/mnt/user/alice"], TARGETS, permitted=False)


@given(st.text() | st.lists(st.sampled_from(["", ".", "..", "mnt", "user", "alice", "bob"])).map("/".join))
def test_nothing_slips_through(value: str) -> None:
    try:
        path = read_log_folder(value, TARGETS)
    except MLabError:
        return
    assert any(is_within(path, target) for target in TARGETS)
    assert ".." not in path.split("/")


def test_where_it_is_on_the_machine() -> None:
    places = [Place("user", "/nas/u/alice", "/mnt/user/alice"), Place("deep", "/ssd", "/mnt/user/alice/ssd")]
    for path, source in {
        "/mnt/user/alice": "/nas/u/alice",
        "/mnt/user/alice/runs": "/nas/u/alice/runs",
        "/mnt/user/alice/ssd/runs": "/ssd/runs",
        "/elsewhere": "/elsewhere",
    }.items():
        assert source_of(path, places) == source
