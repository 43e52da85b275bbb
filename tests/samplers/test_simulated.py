"""How busy simulated GPUs are made out to be: a file that somebody writes by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlabhub.core.readings import Reading, Watched
from mlabhub.samplers import SimulatedUse

ALICE = Watched("alice/", "L1", ("GPU-sim-a100-0", "GPU-sim-a100-1"))
BOB = Watched("bob/lab", "L2", ("GPU-sim-a100-2",))
NOBODY = Watched("carol/", "L3")


def read(file: Path, text: str | None, *watched: Watched) -> tuple[Reading, ...]:
    """Return readings while the file has this text; None: there is no file."""
    if text is not None:
        file.write_text(text)
    return SimulatedUse(file).sample(watched or (ALICE, BOB, NOBODY), 60.0)


def test_a_server_comes_before_a_gpu_and_a_gpu_before_all_others(tmp_path: Path) -> None:
    told = {"alice/": {"percent": 80, "memory_used": 2e9}, "GPU-sim-a100-0": 5, "GPU-sim-a100-2": 7.5, "*": 0}
    alice, bob = read(tmp_path / "use.json", json.dumps(told))
    assert (alice.gpu_util, alice.gpu_mem_used) == ((80.0, 80.0), (2e9, 2e9))
    assert (bob.gpu_util, bob.gpu_mem_used, bob.reasons) == ((7.5,), (0.0,), ())
    alice, bob = read(tmp_path / "use.json", '{"GPU-sim-a100-1": 5, "*": 1}')
    assert (alice.gpu_util, bob.gpu_util) == ((1.0, 5.0), (1.0,))


def test_what_the_file_does_not_say_is_not_known(tmp_path: Path) -> None:
    alice, bob = read(tmp_path / "use.json", '{"GPU-sim-a100-1": 5}')
    assert (alice.gpu_util, bob.gpu_util) == ((None, 5.0), (None,))
    assert [str(one) for one in bob.reasons] == [
        f"GPU-sim-a100-2 is simulated, and {tmp_path / 'use.json'} does not say how busy it is."
    ]


def test_without_a_file_nothing_is_known(tmp_path: Path) -> None:
    alice, bob = read(tmp_path / "use.json", None)
    assert (alice.gpu_util, alice.gpu_mem_used, bob.gpu_util) == ((None, None), (None, None), (None,))
    assert alice.reasons
    assert bob.reasons


@pytest.mark.parametrize(
    "text", ["", "junk", "[]", "null", "3", '{"*": 0', "[" * 100_000, "\ufeff{}"], ids=lambda text: str(text)[:8]
)
def test_a_file_of_junk_is_a_reason(tmp_path: Path, text: str) -> None:
    (bob,) = read(tmp_path / "use.json", text, BOB)
    assert (bob.gpu_util, bob.gpu_mem_used) == ((None,), (None,))
    assert "use.json" in str(bob.reasons[0])


@pytest.mark.parametrize("value", ["-1", "101", "NaN", "1e999", "true", '"9"', "null", "[1]", '{"percent": "a"}', "{}"])
def test_what_is_no_use_is_not_known(tmp_path: Path, value: str) -> None:
    (bob,) = read(tmp_path / "use.json", f'{{"bob/lab": {value}, "*": 50}}', BOB)
    assert (bob.gpu_util, bob.gpu_mem_used) == ((None,), (None,))
    assert bob.reasons


def test_a_file_that_changes_counts_at_once(tmp_path: Path) -> None:
    file = tmp_path / "use.json"
    sampler = SimulatedUse(file)
    seen = []
    for t, text in enumerate(('{"*": 3}', "{", '{"*": 97}')):
        file.write_text(text)
        seen.append(sampler.sample([BOB], 60.0 + 5.0 * t)[0].gpu_util)
    assert seen == [(3.0,), (None,), (97.0,)]
