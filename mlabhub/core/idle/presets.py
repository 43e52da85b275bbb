"""Policies that are there without a line of configuration.

Guarantees: those named after others imitate their thresholds and times, and are warned, graced and failed safe as all
are here. ``activity-only`` looks at nothing but the hub's ``last_activity``, as the usual cullers do: it stops silent
training runs and spares forgotten tabs, and is there to be compared with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mlabhub.core.idle.fold import Thresholds
from mlabhub.core.idle.policy import Policy, Rule

MINUTE, HOUR = 60.0, 3600.0
ANY_PERCENT = 0.01

DEFAULT = Policy(
    without_gpu=Rule(
        thresholds=Thresholds(cpu_cores=0.1),
        window_s=12 * HOUR,
        held_s=4 * HOUR,
        held_most_s=24 * HOUR,
        activity_holds=True,
    ),
    learns=True,
)
_ANY_USE = Rule(thresholds=Thresholds(busy_percent=ANY_PERCENT, noise_percent=ANY_PERCENT), held_most_s=0.0)
_BY_ACTIVITY = Rule(thresholds=Thresholds(by_activity=True), window_s=HOUR, held_most_s=0.0)

PRESETS: Mapping[str, Policy] = {
    "default": DEFAULT,
    "princeton": Policy(
        name="princeton",
        with_gpu=replace(_ANY_USE, window_s=HOUR),
        without_gpu=Rule(window_s=None),
        grace_s=HOUR,
        reminders_s=(15 * MINUTE,),
    ),
    "gpu-pruner": Policy(
        name="gpu-pruner",
        with_gpu=replace(_ANY_USE, window_s=30 * MINUTE),
        without_gpu=Rule(window_s=None),
        grace_s=5 * MINUTE,
        dry_run=True,
    ),
    "activity-only": Policy(name="activity-only", with_gpu=_BY_ACTIVITY, without_gpu=_BY_ACTIVITY, grace_s=MINUTE),
}
