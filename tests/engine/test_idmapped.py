"""Maps of ids, and layers whose ids are put back."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlabhub.engine.idmapped import make_map, restore_ids
from mlabhub.engine.spec import FIRST_INNER_ID, INNER_IDS

F = FIRST_INNER_ID


@pytest.mark.parametrize(
    ("ids", "apart", "expected"),
    [
        ([1000], False, ["1000 1000 1"]),
        ([7, 5, 5], False, ["5 5 1", "7 7 1"]),
        ([1000], True, [f"1000 {F + 1000} 1", "0 0 1000", f"1001 1001 {F - 1001}"]),
        ([5, 6], True, [f"5 {F + 5} 1", f"6 {F + 6} 1", "0 0 5", f"7 7 {F - 7}"]),
        ([], True, [f"0 0 {F}"]),
    ],
)
def test_maps(ids: list[int], apart: bool, expected: list[str]) -> None:
    assert make_map(ids, user_namespace=apart).splitlines() == expected


@given(st.lists(st.integers(1, 2**32 - 2), min_size=1, max_size=20))
def test_everybody_has_one_place_and_only_ones_own_ids_are_in_reach(ids: list[int]) -> None:
    extents = [tuple(map(int, line.split())) for line in make_map(ids, user_namespace=True).splitlines()]
    for first, _, count in extents:
        assert count >= 1
        assert first + count <= F
    reachable = {first for first, outside, _ in extents if outside >= F}
    assert reachable == {number for number in ids if number < INNER_IDS}
    disk = sorted((first, first + count) for first, _, count in extents)
    assert all(end == start for (_, end), (start, _) in pairwise(disk))
    places = sorted((outside, outside + count) for _, outside, count in extents)
    assert all(end <= start for (_, end), (start, _) in pairwise(places))


@pytest.mark.engine
def test_ids_are_put_back_with_bits_and_without_following_links(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.touch()
    os.chown(outside, F + 7, F + 7)
    layer = tmp_path / "diff"
    (layer / "opt").mkdir(parents=True)
    for name in ("plain", "setuid"):
        (layer / "opt" / name).touch()
    (layer / "opt" / "link").symlink_to(outside)
    os.mkfifo(layer / "opt" / "pipe")
    for path in (layer, *layer.rglob("*")):
        os.chown(path, F + 33, F + 44, follow_symlinks=False)
    os.chown(layer / "opt" / "plain", 5, 5)
    (layer / "opt" / "setuid").chmod(0o6755)
    for _ in range(2):
        restore_ids(layer)
        owners = {path.name: (path.lstat().st_uid, path.lstat().st_gid) for path in (layer, *layer.rglob("*"))}
        others = dict.fromkeys(("diff", "opt", "setuid", "link", "pipe"), (33, 44))
        assert owners == {**others, "plain": (5, 5)}
    assert (layer / "opt" / "setuid").stat().st_mode & 0o7777 == 0o6755
    assert outside.stat().st_uid == F + 7
