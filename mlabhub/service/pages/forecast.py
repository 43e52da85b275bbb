"""What would happen to a choice, in words: it starts now, it does not now and why, or it never can.

Guarantees: pure; words come before icons, and no state is told by colour alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mlabhub.core.reasons import NEVER
from mlabhub.core.units import format_gpus
from mlabhub.errors import MLabError
from mlabhub.i18n import N_, Translator
from mlabhub.service.pages.words import size_text
from mlabhub.service.views import Preview

NOW, BUSY, NEVER_FITS, WRONG = "now", "busy", "never", "wrong"
ICONS = {
    NOW: "fa-circle-check",
    BUSY: "fa-hourglass-half",
    NEVER_FITS: "fa-circle-xmark",
    WRONG: "fa-circle-exclamation",
}
HEADLINES = {
    NOW: N_("Starts now"),
    BUSY: N_("Not free now"),
    NEVER_FITS: N_("Cannot start"),
    WRONG: N_("Cannot be chosen"),
}


@dataclass(frozen=True)
class Forecast:
    """The line below the choices."""

    kind: str
    headline: str
    size: str = ""
    reasons: tuple[str, ...] = ()
    offer: str = ""
    offer_url: str = ""
    offer_choice: Mapping[str, Any] | None = None

    @property
    def icon(self) -> str:
        """The icon beside the headline."""
        return ICONS[self.kind]


def make_forecast(
    preview: Preview,
    t: Translator,
    *,
    other: Preview | None = None,
    url: str = "",
    choice: Mapping[str, Any] | None = None,
) -> Forecast:
    """Say a preview; ``other`` is the nearest choice that starts now, at ``url``."""
    kind = NOW if preview.starts_now else BUSY
    if any(reason.code in NEVER for reason in preview.reasons):
        kind = NEVER_FITS
    request = preview.request
    size = size_text(request.cpu, request.memory_gib, request.gpu_type, request.gpus) if request else ""
    offer = ""
    if other is not None and other.request is not None:
        gpus = format_gpus(other.request.gpus, other.request.gpu_type)
        offer = t(N_("{gpus} would start now."), gpus=gpus)
    return Forecast(
        kind=kind,
        headline=t(HEADLINES[kind]),
        size=size,
        reasons=tuple(t.say(reason.message) for reason in preview.reasons),
        offer=offer,
        offer_url=url if offer else "",
        offer_choice=choice if offer else None,
    )


def failed_forecast(error: MLabError, t: Translator) -> Forecast:
    """Say why a choice is none."""
    return Forecast(kind=WRONG, headline=t(HEADLINES[WRONG]), reasons=(t.say(error.message),))


def nearest(options: Mapping[str, Any], preview: Preview) -> Iterator[dict[str, Any]]:
    """Return other choices to try where this one does not start, nearest first: fewer GPUs, down to one."""
    request = preview.request
    if request is None:
        return
    for gpus in range(min(request.gpus, 17) - 1, 0, -1):
        yield {"gpus": gpus}
