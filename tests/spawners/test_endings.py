"""Why a server has ended, in words."""

from __future__ import annotations

import pytest

from mlabhub.spawners.endings import UNUSED_STATUS, Ending, say_ending


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        pytest.param(Ending(UNUSED_STATUS), "nobody looked at it any more", id="unused"),
        pytest.param(Ending(137, out_of_memory=True), "more memory than it has", id="out of memory"),
        pytest.param(Ending(0), "shut down from inside", id="by its person"),
        pytest.param(Ending(-9), "from outside of the hub (signal 9)", id="a process that was killed"),
        pytest.param(Ending(143), "from outside of the hub (signal 15)", id="a container that was ended"),
        pytest.param(Ending(1), "a fault of its own (exit status 1)", id="a fault"),
    ],
)
def test_endings(ending: Ending, words: str) -> None:
    assert words in str(say_ending(ending))
