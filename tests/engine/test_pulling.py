"""Progress of fetching an image, whatever an engine streams."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlabhub.engine import labels
from mlabhub.engine.info import ImageInfo
from mlabhub.engine.pulling import PullProgress, read_line
from mlabhub.engine.runtime import KEPT_ASIDE, brings_all, check_architecture, make_environment
from mlabhub.errors import LaunchRefused

LINES: list[dict[str, Any]] = [
    {"status": "Pulling from eflops/torch", "id": "1"},
    {"status": "Pulling fs layer", "id": "aa"},
    {"status": "Pulling fs layer", "id": "bb"},
    {"status": "Downloading", "id": "aa", "progressDetail": {"current": 50, "total": 100}},
    {"status": "Downloading", "id": "bb", "progressDetail": {"current": 100, "total": 300}},
    {"status": "Download complete", "id": "aa"},
    {"status": "Download complete", "id": "bb"},
]


def test_layers_add_up() -> None:
    progress = PullProgress()
    assert [progress.add(line)[0] for line in LINES] == [None, None, None, 50.0, 50.0, 50.0, 99.0]


@given(st.lists(st.one_of(st.sampled_from(LINES), st.dictionaries(st.text(), st.integers() | st.text() | st.none()))))
def test_it_never_falls_and_never_fails(lines: list[dict[str, Any]]) -> None:
    progress, last = PullProgress(), 0.0
    for line in lines:
        percent, words = progress.add(line)
        assert str(words)
        if percent is not None:
            assert last <= percent < 100
            last = percent


@pytest.mark.parametrize("line", ["", "nothing", "[1]", "7", '{"half": '])
def test_what_is_no_line_is_nothing(line: str) -> None:
    assert read_line(line) == {}


def info(**more: Any) -> ImageInfo:
    values: dict[str, Any] = {"id": "a", "references": (), "labels": {}, "config": {}}
    return ImageInfo(**{**values, **more})


@pytest.mark.parametrize(
    ("entry", "brings"),
    [
        (["/opt/mlabhub/entry"], True),
        (["/opt/mlabhub/entry", "x"], False),
        (["/bin/sh"], False),
        (None, False),
    ],
)
def test_only_our_entry_brings_all(entry: list[str] | None, brings: bool) -> None:
    assert brings_all({"Entrypoint": entry}) is brings


def test_an_image_for_other_processors_is_refused() -> None:
    check_architecture(info(architecture="amd64"), "x", "x86_64")
    check_architecture(info(), "x", "x86_64")
    with pytest.raises(LaunchRefused, match="is for arm64 processors; this machine's are amd64"):
        check_architecture(info(architecture="arm64"), "x", "x86_64")


def test_what_disturbs_our_interpreter_is_kept_aside() -> None:
    image = (
        "PATH=/opt/conda/bin",
        "LD_PRELOAD=/x.so",
        "PYTHONHOME=/opt",
        "PYTHONPATH=a=b",
        "JUPYTER_PORT=1",
        "CUDA_HOME=/c",
        "LANG=en_US.EVIL",
        "LC_ALL=en_US.EVIL",
    )
    made = make_environment(image)
    assert json.loads(made.pop(KEPT_ASIDE)) == {
        "LC_ALL": "en_US.EVIL",
        "LD_PRELOAD": "/x.so",
        "PYTHONHOME": "/opt",
        "PYTHONPATH": "a=b",
        "JUPYTER_PORT": "1",
    }
    assert made.pop("OPENSSL_CONF")
    # A locale of the image's may name a library of the image's, which root would load to read its own arguments.
    assert made.pop("LC_ALL") == "C"
    assert make_environment(())["LC_ALL"] == "C"
    assert made == dict.fromkeys(("LD_PRELOAD", "PYTHONHOME", "PYTHONPATH", "JUPYTER_PORT"), "")


def test_variables_without_end_are_refused() -> None:
    with pytest.raises(LaunchRefused, match="too large"):
        make_environment([f"LD_{number}={'x' * 1000}" for number in range(200)])


@given(st.lists(st.text(min_size=1, max_size=80), min_size=2, max_size=6, unique=True))
def test_no_two_images_share_a_tag(images: list[str]) -> None:
    assert len({labels.saved_tag(image) for image in images}) == len(images)


@pytest.mark.parametrize(
    ("image", "kept"),
    [("pytorch", True), ("saved/mine", False), ("a---b", False), ("master0:5000/a/b:1", False), ("saved-mine", True)],
)
def test_slugs_are_their_own_tags(image: str, kept: bool) -> None:
    tag = labels.saved_tag(image)
    assert (tag == image) is kept
    assert len(tag) <= 128
