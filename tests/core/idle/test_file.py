"""``idle.yaml``: policies that start from others, rules, and faults at their keys."""

from __future__ import annotations

from datetime import timezone

import pytest
from pydantic import ValidationError

from mlabhub.core.idle.file import Idle
from mlabhub.core.idle.policy import Policy
from mlabhub.core.idle.presets import PRESETS

PATIENT = {
    "like": "default",
    "with_gpu": {"window_minutes": 180, "noise_percent": 2},
    "without_gpu": {"stopped": False},
    "grace_minutes": 30,
    "reminder_minutes": [5],
    "quiet_hours": ["22:00-07:00"],
    "action": "release-gpu",
    "dry_run": True,
    "longest_hours": 48,
}


def test_what_is_not_named_is_as_in_the_one_it_starts_from():
    idle = Idle.model_validate({"policies": {"patient": PATIENT, "very": {"like": "patient", "grace_minutes": 90}}})
    policy, very = idle.named("patient"), idle.named("very")
    assert (policy.with_gpu.window_s, policy.with_gpu.thresholds.noise_percent) == (10_800, 2)
    assert policy.with_gpu.thresholds.busy_percent == 10
    assert policy.without_gpu.window_s is None
    assert (policy.grace_s, policy.reminders_s, policy.quiet) == (1800, (300,), ((1320, 420),))
    assert (policy.action, policy.dry_run, policy.longest_s, policy.learns) == ("release-gpu", True, 172_800, True)
    assert (very.name, very.grace_s, very.with_gpu) == ("very", 5400, policy.with_gpu)
    assert idle.named("princeton") is PRESETS["princeton"]


def test_one_that_takes_a_presets_place_starts_from_it():
    idle = Idle.model_validate({"policies": {"default": {"grace_minutes": 60}, "other": {}}})
    assert idle.named("default").grace_s == idle.named("other").grace_s == 3600
    assert idle.named("default").learns


RULES = {
    "policies": {"night": {"like": "gpu-pruner"}},
    "rules": [
        {"policy": "princeton", "profiles": ["big"], "groups": ["vision", "nlp"]},
        {"policy": "night", "hours": "20:00-08:00"},
    ],
}


@pytest.mark.parametrize(
    ("profile", "group", "hour", "name"),
    [
        ("big", "vision", 12, "princeton"),
        ("big", "robots", 12, "default"),
        ("small", "vision", 12, "default"),
        ("small", None, 21, "night"),
        ("small", None, 3, "night"),
        ("small", None, 8, "default"),
        ("big", "nlp", 21, "princeton"),
    ],
)
def test_the_first_rule_that_fits_counts(profile, group, hour, name):
    idle = Idle.model_validate(RULES)
    assert idle.policy_for(profile, group, hour * 3600.0, timezone.utc).name == name


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        ({"policy": "princton"}, 'there is no policy "princton"; there are: activity-only, default, gpu-pruner'),
        ({"rules": [{"policy": "x"}]}, 'there is no policy "x"'),
        ({"policies": {"a": {"like": "b"}, "b": {"like": "a"}}}, "leads back to itself"),
        ({"policies": {"a": {"like": "a"}}}, "leads back to itself"),
        ({"policies": {"a": {"quiet_hours": ["22-7"]}}}, 'two times of the day such as 22:00-07:00; it is "22-7"'),
        ({"policies": {"a": {"with_gpu": {"busy_percent": 5, "noise_percent": 6}}}}, "more than busy_percent, 5"),
        ({"policies": {"a": {"with_gpu": {"window_minutes": 5}}}}, "greater than or equal to 10"),
        ({"policies": {"a": {"grace_minutes": 0}}}, "greater than or equal to 1"),
        ({"policies": {"a": {"action": "kill"}}}, "'stop', 'release-gpu' or 'nothing'"),
    ],
)
def test_faults(data, fault):
    with pytest.raises(ValidationError, match=fault.replace("(", "\\(")):
        Idle.model_validate(data)


def test_aggressiveness_is_how_long_is_waited():
    windows = [Policy().at(step / 10).with_gpu.window_s for step in range(11)]
    assert windows == sorted(windows, reverse=True)
    assert (windows[0], windows[5], windows[10]) == (pytest.approx(86_400), 4500, pytest.approx(600))
    assert PRESETS["princeton"].at(0.2).without_gpu.window_s is None
