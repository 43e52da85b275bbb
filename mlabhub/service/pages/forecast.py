"""What would happen to a choice, in words: it starts now, it does not now and why, or it never can.

Guarantees: pure; words come before icons, and no state is told by colour alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mlabhub.core.profiles import Profile
from mlabhub.core.reasons import NEVER
from mlabhub.i18n import N_, Translator
from mlabhub.service.pages.words import gpus_text, size_text
from mlabhub.service.views import Preview

MOST_OFFERS = 16
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
class Offer:
    """Another choice that starts now, and the address of the page with it."""

    text: str
    url: str


@dataclass(frozen=True)
class Forecast:
    """The line below the choices."""

    kind: str
    headline: str
    size: str = ""
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    offer: Offer | None = None

    @property
    def icon(self) -> str:
        """The icon beside the headline."""
        return ICONS[self.kind]


def make_forecast(preview: Preview, t: Translator, *, simulated: bool, offer: Offer | None = None) -> Forecast:
    """Say a preview; ``offer`` is the nearest choice that starts now."""
    kind = NOW if preview.starts_now else WRONG if preview.request is None else BUSY
    if any(reason.code in NEVER for reason in preview.reasons):
        kind = NEVER_FITS
    size = ""
    if (request := preview.request) is not None:
        gpus = gpus_text(t, request.gpus, request.gpu_type, simulated)
        size = size_text(request.cpu, request.memory_gib, gpus)
    return Forecast(
        kind=kind,
        headline=t(HEADLINES[kind]),
        size=size,
        reasons=tuple(t.say(reason.message) for reason in preview.reasons),
        notes=tuple(t.say(note.message) for note in preview.notes),
        offer=offer,
    )


def nearest(preview: Preview, profile: Profile, gpu_types: Sequence[str]) -> list[dict[str, Any]]:
    """Return the choices to try where this one does not start: fewer GPUs, the most of them first, then other types."""
    request = preview.request
    if request is None or preview.starts_now or not request.gpus:
        return []
    fewer = [gpus for gpus in range(request.gpus - 1, 0, -1) if profile.gpus.accepts(gpus)]
    others = [one for one in profile.offered_gpu_types(gpu_types) if request.gpu_type not in (None, one)]
    return [*({"gpus": gpus} for gpus in fewer[:MOST_OFFERS]), *({"gpu_type": one} for one in others)]
