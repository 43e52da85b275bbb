"""How good forecasts were, as administrators read it beside the queue.

Guarantees: pure; a share is said only of as many starts as forecasts are corrected by, so that no percentage stands on
a handful; below that, and while nobody can look it up, it is said to be unknown.
"""

from __future__ import annotations

from mlabhub.core.corrections import LEAST, SHARE
from mlabhub.i18n import N_, Translator
from mlabhub.service.pages.waits import span_text
from mlabhub.service.wait_views import ForecastAccuracy

GOAL = round(100 * (1 - 2 * SHARE))
"""How many of a hundred starts ranges are made for."""
AWAY = N_("Unknown at the moment: the record of past starts does not answer.")
TOO_LITTLE = N_(
    "Unknown yet: {told} starts from the queue had been told a range in the last {weeks} weeks; it is said from "
    "{least} on."
)
WITHIN = N_(
    "Of the last {weeks} weeks' {told} starts from the queue that had been told a range, {within} % fell into it (goal "
    "{goal} %): {earlier} came earlier, {later} later. Half of the ranges were no wider than {width}."
)
NOT_TOLD = N_("Starts of which nobody could tell when: {unknown}.")


def accuracy_lines(found: ForecastAccuracy | None, t: Translator) -> list[str]:
    """Return the sentences; None: it cannot be looked up now."""
    if found is None:
        return [t(AWAY)]
    told = found.starts - found.unknown
    if told < LEAST or found.within is None or found.median_width_s is None:
        lines = [t(TOO_LITTLE, told=told, weeks=found.weeks, least=LEAST)]
    else:
        about = {"earlier": found.earlier, "later": found.later, "width": span_text(found.median_width_s, t)}
        # Rounded down: the goal is not said to be reached before it is.
        lines = [t(WITHIN, weeks=found.weeks, told=told, within=int(100 * found.within + 1e-9), goal=GOAL, **about)]
    return [*lines, t(NOT_TOLD, unknown=found.unknown)] if found.unknown else lines
