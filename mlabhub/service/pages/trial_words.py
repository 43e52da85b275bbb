"""What a trial of quotas came to, in words with numbers: who would have waited more, and who less.

Guarantees: pure; differences that nobody would notice are said to be none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlabhub.core.quote import plain
from mlabhub.i18n import N_, Translator
from mlabhub.messages import message_of
from mlabhub.service.pages.waits import span_text

NOTICED_S = 60.0
LESS = N_("{group} would have waited {span} less.")
MORE = N_("{group} would have waited {span} more.")
ALIKE = N_("Nobody would have waited noticeably more or less.")


@dataclass(frozen=True)
class GroupRow:
    """One group: its requests, what they waited in all under each of the quotas, and the difference."""

    name: str
    requests: str
    before: str
    after: str
    difference: str
    owed: str


@dataclass(frozen=True)
class TrialView:
    """The whole result; ``facts`` are a name, and the figure before and after."""

    lead: list[str]
    rows: list[GroupRow]
    facts: list[tuple[str, str, str]]
    notes: list[str]
    requests: int


def make_trial_view(result: Mapping[str, Any], t: Translator) -> TrialView:
    """Return what the process of a trial told, in words; the groups first that it makes most of a difference to."""
    groups = sorted(result["groups"], key=lambda one: (-abs(_difference(one)), one["name"]))
    noticed = [one for one in groups if abs(_difference(one)) >= NOTICED_S]
    lead = [_sentence(one, t) for one in noticed[:3]] or [t(ALIKE)]
    return TrialView(
        lead=lead if result["requests"] else [],
        rows=[_row(one, t) for one in groups],
        facts=_facts(result["before"], result["after"], t),
        notes=[t.say(message_of(note)) for note in result["notes"]],
        requests=result["requests"],
    )


def _difference(group: Mapping[str, Any]) -> float:
    return float(group["after"]["waited_s"] - group["before"]["waited_s"])


def _sentence(group: Mapping[str, Any], t: Translator) -> str:
    difference = _difference(group)
    return t(LESS if difference < 0 else MORE, group=_name(group, t), span=span_text(abs(difference), t))


def _name(group: Mapping[str, Any], t: Translator) -> str:
    return plain(group["name"]) or t(N_("Whoever has no group"))


def _row(group: Mapping[str, Any], t: Translator) -> GroupRow:
    before, after, difference = group["before"], group["after"], _difference(group)
    sign = "" if abs(difference) < NOTICED_S else "−" if difference < 0 else "+"
    return GroupRow(
        name=_name(group, t),
        requests=_both(before["count"], after["count"], t),
        before=_span(before["waited_s"], t),
        after=_span(after["waited_s"], t),
        difference=f"{sign}{span_text(abs(difference), t)}" if sign else "±0",
        owed=_both(round(before["owed_gpu_hours"], 1), round(after["owed_gpu_hours"], 1), t),
    )


def _span(seconds: float, t: Translator) -> str:
    return span_text(seconds, t) if seconds >= NOTICED_S / 2 else t(N_("{minutes} min"), minutes=0)


def _both(before: float, after: float, t: Translator) -> str:
    return t.number(before) if before == after else f"{t.number(before)} → {t.number(after)}"


def _facts(before: Mapping[str, Any], after: Mapping[str, Any], t: Translator) -> list[tuple[str, str, str]]:
    def hours(value: float) -> str:
        return t(N_("{hours} GPU-hours"), hours=round(value, 1))

    told = [
        (N_("Taken back"), t.number(before["reclaims"]), t.number(after["reclaims"])),
        (N_("Work lost by that"), hours(before["lost_gpu_hours"]), hours(after["lost_gpu_hours"])),
        (N_("Refused as never possible"), t.number(before["refused"]), t.number(after["refused"])),
        (N_("Guarantees not kept at once"), hours(before["owed_gpu_hours"]), hours(after["owed_gpu_hours"])),
        (N_("GPUs in use"), f"{before['use']:.1%}", f"{after['use']:.1%}"),
    ]
    return [(t(name), was, will_be) for name, was, will_be in told]


@dataclass(frozen=True)
class IdleRow:
    """One group: its GPU-hours, what of them is freed, and how often somebody was interrupted."""

    name: str
    held: str
    freed_before: str
    freed_after: str
    stops: str
    again: str


@dataclass(frozen=True)
class IdleView:
    """What a trial of a policy of idleness came to."""

    lead: list[str]
    rows: list[IdleRow]
    facts: list[tuple[str, str, str]]
    servers: int
    samples: int


def make_idle_view(result: Mapping[str, Any], t: Translator) -> IdleView:
    """Return what the process of a trial told, in words; the groups first that hold most."""
    before, after = result["before"], result["after"]
    groups = sorted(result["groups"], key=lambda one: (-one["before"]["gpu_hours_held"], one["name"]))
    return IdleView(
        lead=[
            t(
                N_("{after} GPU-hours would be freed instead of {before}, of {held} that were held."),
                after=_hours(after["gpu_hours_reclaimed"]),
                before=_hours(before["gpu_hours_reclaimed"]),
                held=_hours(after["gpu_hours_held"]),
            ),
            t(
                N_("Servers stopped: {after} instead of {before}; wanted again afterwards: {again} instead of {were}."),
                after=after["stops"],
                before=before["stops"],
                again=after["wanted_again"],
                were=before["wanted_again"],
            ),
        ],
        rows=[_idle_row(one, t) for one in groups],
        facts=_idle_facts(before, after, t),
        servers=after["servers"],
        samples=after["samples"],
    )


def _hours(value: float) -> float:
    return round(value, 1) if value < 100 else round(value)


def _idle_row(group: Mapping[str, Any], t: Translator) -> IdleRow:
    before, after = group["before"], group["after"]
    return IdleRow(
        name=_name(group, t),
        held=t.number(_hours(before["gpu_hours_held"])),
        freed_before=t.number(_hours(before["gpu_hours_reclaimed"])),
        freed_after=t.number(_hours(after["gpu_hours_reclaimed"])),
        stops=_both(before["stops"], after["stops"], t),
        again=_both(before["wanted_again"], after["wanted_again"], t),
    )


def _idle_facts(before: Mapping[str, Any], after: Mapping[str, Any], t: Translator) -> list[tuple[str, str, str]]:
    told = [
        (N_("GPU-hours idle"), "gpu_hours_idle"),
        (N_("GPU-hours of which nobody knows"), "gpu_hours_unknown"),
        (N_("Warnings"), "warnings"),
        (N_("Warnings withdrawn"), "withdrawn"),
        (N_("Servers stopped"), "stops"),
        (N_("Wanted again after that"), "wanted_again"),
        (N_("Stopped within ten minutes of work"), "stops_of_a_busy_server"),
    ]
    return [(t(name), t.number(_hours(before[key])), t.number(_hours(after[key]))) for name, key in told]
