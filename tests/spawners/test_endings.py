"""Why a server has ended, in words."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from mlabhub.core.tools import TOOLS
from mlabhub.messages import Message
from mlabhub.spawners.endings import UNUSED_STATUS, Ending, say_ending
from mlabhub.spawners.plan_to_container import TENSORBOARD_COMMAND
from mlabhub_proxies import parts


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        pytest.param(Ending(UNUSED_STATUS), "nobody looked at it any more", id="unused"),
        pytest.param(Ending(137, out_of_memory=True), "more memory than it has", id="out of memory"),
        pytest.param(Ending(137, True, 8.0), "more than the 8 GiB of memory that it has", id="out of its memory"),
        pytest.param(Ending(137, why=Message("So it is.")), "So it is.", id="known better"),
        pytest.param(Ending(0), "shut down from inside", id="by its person"),
        pytest.param(Ending(-9), "from outside of the hub (signal 9)", id="a process that was killed"),
        pytest.param(Ending(143), "from outside of the hub (signal 15)", id="a container that was ended"),
        pytest.param(Ending(1), "a fault of its own (exit status 1)", id="a fault"),
    ],
)
def test_endings(ending: Ending, words: str) -> None:
    assert words in str(say_ending(ending))


def test_what_runs_inside_means_the_same() -> None:
    """The two packages do not know one another, so that a server of another version goes on."""
    module = importlib.util.find_spec(TENSORBOARD_COMMAND[-1])
    assert module is not None
    assert f"\nUNUSED_STATUS = {UNUSED_STATUS}\n" in Path(str(module.origin)).read_text()
    assert tuple(tool.slug for tool in parts.TOOLS) == TOOLS
