"""What would happen to a choice, in words: it starts now, it does not now and why, or it never can.

Guarantees: pure; words come before icons, and no state is told by colour alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import urlencode

from mlabhub.i18n import N_, Translator
from mlabhub.messages import Message
from mlabhub.service.pages.choices import exact
from mlabhub.service.pages.waits import wait_text
from mlabhub.service.pages.words import gpus_text, size_text
from mlabhub.service.views import Preview

NOW, BUSY, NEVER_FITS, WRONG = "now", "busy", "never", "wrong"
KINDS = {"now": NOW, "later": BUSY, "never": NEVER_FITS}
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
    """Another choice that starts now: what its button says, and sends beside the form."""

    text: str
    take: str


@dataclass(frozen=True)
class Forecast:
    """The line below the choices. ``when`` is how long from now it probably starts; ``button`` starts or queues it."""

    kind: str
    headline: str
    size: str = ""
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    offer: Offer | None = None
    payer: str = ""
    when: str = ""
    button: str = ""

    @property
    def icon(self) -> str:
        """The icon beside the headline."""
        return ICONS[self.kind]


def kind_of(preview: Preview) -> str:
    """Return which of the four it is."""
    return WRONG if preview.request is None else KINDS[preview.state]


def make_forecast(
    preview: Preview,
    t: Translator,
    *,
    simulated: bool,
    payer: Message | None = None,
    unpinned: Preview | None = None,
    now: datetime | None = None,
) -> Forecast:
    """Say a preview, with the nearest choice that starts now if it was looked for.

    ``unpinned`` is the preview of the same choice without the GPUs that were named; ``now`` is needed to say how long
    it waits.
    """
    size, gpus, request = "", "", preview.request
    if request is not None:
        gpus = gpus_text(t, request.gpus, request.gpu_type, simulated)
        size = size_text(request.cpu, request.memory_gib, gpus)
    kind = kind_of(preview)
    advice = () if preview.advice is None else (preview.advice,)
    wait = wait_text(preview.wait if kind == BUSY else None, now, t) if now is not None else None
    known = wait is not None and wait.known
    if wait is not None and wait.clock and not known:
        advice = (*advice, wait.clock)
    return Forecast(
        kind=kind,
        headline=wait.clock if wait is not None and known else t(HEADLINES[kind]),
        when=wait.relative if wait is not None else "",
        button=_button(kind, gpus, t),
        size=size,
        reasons=tuple(t.say(reason.message) for reason in preview.reasons) + tuple(t.say(one) for one in advice),
        notes=tuple(t.say(note.message) for note in preview.notes),
        offer=_offer(unpinned or preview, t, simulated, unpinned is not None),
        payer="" if payer is None else t.say(payer),
    )


def _button(kind: str, gpus: str, t: Translator) -> str:
    """Return what the form's own button says. What can never start can still be tried: the answer says why."""
    if kind != BUSY:
        return t(N_("Start"))
    return t(N_("Queue for {what}"), what=gpus) if gpus else t(N_("Queue for it"))


def _offer(preview: Preview, t: Translator, simulated: bool, unpinned: bool) -> Offer | None:
    request, changes = preview.request, preview.nearest
    if request is None:
        return None
    if unpinned and preview.starts_now:
        text = t(N_("Start with any {gpus} now"), gpus=gpus_text(t, request.gpus, request.gpu_type, simulated))
        return Offer(text, urlencode({"gpus": request.gpus}))
    if not changes:
        return None
    if unpinned:
        changes = {"gpus": request.gpus, **changes}  # a number of GPUs that a button says lets go of the named ones
    nearest = replace(request, **changes)
    gpus = gpus_text(t, nearest.gpus, nearest.gpu_type, simulated) if {"gpus", "gpu_type"} & changes.keys() else ""
    amounts = size_text(
        nearest.cpu if "cpu" in changes else None, nearest.memory_gib if "memory_gib" in changes else None, gpus
    )
    sent = {name: exact(value) if isinstance(value, int | float) else value for name, value in changes.items()}
    return Offer(t(N_("Start with {what} now"), what=amounts), urlencode(sent))
