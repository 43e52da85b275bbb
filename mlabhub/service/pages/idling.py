"""What the home page says of idle servers: a warning above all, a line on each card, and what can be done about it.

Guarantees: pure; a warning in force is shown from what the ledger says of it alone, whatever else is known of its
server; what is not known is said to be not known; what cannot be done is not offered.
"""

from __future__ import annotations

from dataclasses import dataclass

from mlabhub.core.idle.words import span
from mlabhub.core.quote import plain
from mlabhub.i18n import N_, Translator, join_sentences
from mlabhub.ledger import Reservation
from mlabhub.service.idle.views import IdleView
from mlabhub.service.pages.queueing import Words
from mlabhub.service.pages.waits import Countdown, countdown, local
from mlabhub.service.pages.words import gpus_text
from mlabhub.service.views import ServerView, ShelvedView

KEEP_S = 2 * 3600.0
"""For how long one press keeps a server, where its rule allows as much."""
QUIET = ("active", "unknown")
"""Verdicts in which there is nothing to keep a server from."""

STOPS = N_("{server} stands idle and is stopped at {when}.")
RELEASES = N_("{server} stands idle and gives its GPUs back at {when}.")
STOPS_IN = N_("{server} stands idle and is stopped in {span} at the soonest.")
RELEASES_IN = N_("{server} stands idle and gives its GPUs back in {span} at the soonest.")
STOPPING = N_("{server} stood idle and is being stopped.")
ASKS = N_("{server} stands idle. Please stop it if it is not needed.")

SHELVED = {
    "saving": N_("It gives {what} back: what is open is being saved, then it stops and starts again without GPUs."),
    "stopping": N_("It gives {what} back: it stops, and starts again without GPUs."),
    "released": N_("It gave {what} back. You can have it again as it was, with its GPUs."),
    "returning": N_("It is on its way to having {what} again."),
}
RESCUE = N_("What may help to go on is in {folder}.")


@dataclass(frozen=True)
class Acts:
    """What can be done; an address that is empty is not offered. ``keep`` is for how long one press keeps it."""

    keep: str = ""
    keep_url: str = ""
    release_url: str = ""
    why_url: str = ""


@dataclass(frozen=True)
class WarningCard:
    """A warning in force: ``text`` with ``{when}`` where the deadline goes, if there is one, and why it was given."""

    launch_id: str
    mark: str
    name: str
    text: str
    countdown: Countdown | None
    said: str
    open_url: str
    acts: Acts

    @property
    def title(self) -> str:
        """What was given and when it ends, in one sentence."""
        return self.text if self.countdown is None else self.text.replace("{when}", self.countdown.clock)


@dataclass(frozen=True)
class IdleLine:
    """What a card says of idleness, and when it is warned; of one that is ``warned``, until when it has."""

    said: str
    countdown: Countdown | None
    warned: bool
    acts: Acts


def name_of(one: Reservation, t: Translator) -> str:
    """Return what a launch's server is called on pages."""
    return one.display_name or one.server or t(N_("Default server"))


def make_warning(view: IdleView, server: ServerView | None, words: Words, other: str | None) -> WarningCard | None:
    """Return the warning that is in force on a server; None: there is none."""
    warning, t = view.warning, words.t
    if warning is None or not warning.active:
        return None
    name, text, at = name_of(view.launch, t), ASKS, view.deadline
    ends = {"stop": (STOPS, STOPS_IN), "release-gpu": (RELEASES, RELEASES_IN)}.get(view.policy.action)
    if warning.state == "stopping":
        text, at = STOPPING, None
    elif ends is None:
        at = None
    else:
        text = ends[at is None]
    return WarningCard(
        launch_id=view.launch.launch_id,
        mark=f"{view.launch.launch_id}-{warning.at:.0f}-{warning.reminded}",
        name=name,
        text=t(text, server=name, when="{when}", span=t.say(span(view.policy.grace_s))),
        countdown=None if at is None else countdown(at, local(view.now), t),
        said=t.say(view.said),
        open_url=(server.open_url or server.url) if server is not None and server.state == "running" else "",
        acts=_acts(view, words, other) if warning.state == "given" else Acts(why_url=_why(view, words)),
    )


def make_line(view: IdleView, words: Words, other: str | None) -> IdleLine:
    """Return what a card says of its server's idleness."""
    at = view.deadline if view.deadline is not None else view.due
    return IdleLine(
        said=words.t.say(view.said),
        countdown=None if at is None or view.verdict in QUIET else countdown(at, local(view.now), words.t),
        warned=view.deadline is not None,
        acts=_acts(view, words, other),
    )


def _acts(view: IdleView, words: Words, other: str | None) -> Acts:
    kept = view.keep_left and view.keep_most_s > 0 and (view.verdict not in QUIET or view.warning is not None)
    return Acts(
        keep=words.t.say(span(min(KEEP_S, view.keep_most_s))) if kept else "",
        keep_url=_why(view, words) if kept else "",
        release_url=words.url("release-gpu", server=view.launch.server, user=other) if view.can_release else "",
        why_url=_why(view, words),
    )


def _why(view: IdleView, words: Words) -> str:
    return words.url(f"servers/{view.launch.launch_id}")


def shelved_text(shelved: ShelvedView | None, t: Translator, *, simulated: bool) -> str:
    """Say what a server gave back; nothing of one that gave nothing back."""
    if shelved is None or shelved.state not in SHELVED:
        return ""
    what = gpus_text(t, shelved.gpus or 0, shelved.gpu_type, simulated) or t(N_("its GPUs"))
    parts = [t(SHELVED[shelved.state], what=what)]
    if shelved.fault is not None:
        parts.append(t.say(shelved.fault))
    if shelved.rescue and shelved.state == "released":
        parts.append(t(RESCUE, folder=plain(shelved.rescue)))
    return join_sentences(parts)
