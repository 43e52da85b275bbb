"""The small pictures on a server's card: its last day's use of GPUs and processors, each with a sentence that says it.

Guarantees: pure; what is not known is hatched and said, never drawn as zero; a picture needs no style in the page.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mlabhub.core.idle.day_use import PLACES, STEP_S, DayUse, Value
from mlabhub.core.idle.words import span
from mlabhub.i18n import N_, Translator
from mlabhub.service.pages.picture import HEIGHT, NOT_KNOWN, PERCENT, areas_of, unknown_of
from mlabhub.service.pages.words import list_text


@dataclass(frozen=True)
class Spark:
    """One picture, ``width`` wide and ``height`` high: paths of what is known, left edge and width of what is not.

    ``now`` is the last minute's value in words, ``said`` what the picture shows beside that.
    """

    key: str
    name: str
    now: str
    said: str
    areas: list[str]
    unknown: list[tuple[int, int]]
    width: int = PLACES
    height: int = HEIGHT


def make_sparks(use: DayUse | None, cores: float | None, t: Translator) -> list[Spark]:
    """Return the pictures of a launch that may use so many ``cores``; none before anything was measured."""
    if use is None or use.before == PLACES:
        return []
    sparks = [_spark("cpu", t(N_("CPU")), use.cores, use.cores_now, cores, use.before, t)]
    if use.gpu:
        sparks.insert(0, _spark("gpu", "GPU", use.gpu, use.gpu_now, 100.0, use.before, t))
    return sparks


def _spark(
    key: str, name: str, values: Sequence[Value], now: Value, most: float | None, before: int, t: Translator
) -> Spark:
    def said(value: Value) -> str:
        if value is None:
            return t(NOT_KNOWN)
        if key == "gpu":
            return t(PERCENT, percent=f"{value:.0f}")
        return t(N_("{cores} cores"), cores=t.number(round(value, 1)))

    known = [value for value in values if value is not None]
    unknown = [(left + before, width) for left, width in unknown_of(values[before:])]
    gap = sum(width for _, width in unknown) * STEP_S
    length = t.say(span((PLACES - before) * STEP_S))
    parts = [
        t(N_("at most {value} in the last {span}"), value=said(max(known, default=None)), span=length),
        t(N_("not known for {span}"), span=t.say(span(gap))) if gap else "",
    ]
    top = max(most or 1.0, *known) if known else most or 1.0
    return Spark(key, name, t(N_("now {value}"), value=said(now)), list_text(t, parts), areas_of(values, top), unknown)


def gpu_hours(gpus: int, seconds: float, t: Translator) -> str:
    """Say how much GPU time was held."""
    hours = gpus * max(seconds, 0.0) / 3600
    return t(N_("{hours} GPU-hours"), hours=round(hours, 1) if hours < 100 else math.floor(hours))
