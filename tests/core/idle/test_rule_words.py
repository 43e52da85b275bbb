"""A policy in words: what befalls a server that nobody uses, for every kind of policy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mlabhub.core.idle.policy import Policy, Rule
from mlabhub.core.idle.presets import PRESETS
from mlabhub.core.idle.rule_words import rule_sentence, rule_sentences

HOUR = 3600.0
SITE = Policy(
    with_gpu=Rule(window_s=1800.0, held_s=1800.0, held_most_s=4 * HOUR),
    without_gpu=Rule(window_s=12 * HOUR, held_most_s=0.0),
    grace_s=900.0,
)


@pytest.mark.parametrize(
    ("changes", "gpus", "said"),
    [
        ({}, 2, "warned after 30 min without GPU work, stopped 15 min later."),
        ({}, 0, "warned after 12 h without use, stopped 15 min later."),
        ({"action": "release-gpu"}, 1, "15 min later its GPUs are given back, and the work is kept."),
        ({"action": "release-gpu"}, 0, "warned after 12 h without use, stopped 15 min later."),
        ({"action": "nothing"}, 1, "told after 30 min without GPU work; nothing is stopped."),
        ({"action": "nothing"}, 0, "told after 12 h without use; nothing is stopped."),
        ({"dry_run": True}, 1, "on trial: nobody is warned and nothing is stopped"),
        ({"with_gpu": Rule(window_s=None)}, 1, "servers of this kind are never stopped for idleness."),
        ({"with_gpu": Rule(window_s=None), "dry_run": True}, 1, "servers of this kind are never stopped for idleness."),
    ],
)
def test_one_sentence(changes: dict[str, Any], gpus: int, said: str) -> None:
    sentence = str(rule_sentence(replace(SITE, **changes), gpus))
    assert sentence.startswith("Idle rule")
    assert said in sentence


@pytest.mark.parametrize(
    ("changes", "gpus", "there", "not_there"),
    [
        ({}, 1, "A GPU is at work from 10 % on", "learned"),
        ({}, 0, "A server without GPUs is at work from", "What nobody can check"),
        ({}, 1, "for 30 min, and for 4 h at most", "Quiet"),
        ({"learns": True}, 1, "How long it waits is learned", "cannot be kept"),
        ({"learns": True}, 0, "It can be kept 3 times", "learned"),
        ({"keep_times": 0}, 1, "It cannot be kept by asking for it.", "It can be kept"),
        ({"keep_most_s": 0.0}, 1, "It cannot be kept by asking for it.", "It can be kept"),
        ({"quiet": ((1320, 425),)}, 1, "between 22:00 and 07:05", "runs for longer"),
        ({"longest_s": 72 * HOUR}, 1, "No server runs for longer than 3 days.", "Nobody is warned"),
        ({"dry_run": True}, 1, "What is not known for certain stops nothing.", "It can be kept"),
        ({"without_gpu": Rule(window_s=None)}, 0, "never stopped", "What is not known"),
    ],
)
def test_all_of_it(changes: dict[str, Any], gpus: int, there: str, not_there: str) -> None:
    text = " ".join(map(str, rule_sentences(replace(SITE, **changes), gpus)))
    assert there in text
    assert not_there not in text


@pytest.mark.parametrize("gpus", [0, 1])
@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_is_said_without_a_gap(name: str, gpus: int) -> None:
    for sentence in rule_sentences(PRESETS[name], gpus):
        assert not set("{}") & set(str(sentence))
    assert rule_sentences(PRESETS[name], gpus)[0] == rule_sentence(PRESETS[name], gpus)


def test_one_that_looks_at_activity_alone_says_so() -> None:
    text = " ".join(map(str, rule_sentences(PRESETS["activity-only"], 1)))
    assert "Only what the hub calls activity counts as use." in text
    assert "A GPU is at work" not in text
