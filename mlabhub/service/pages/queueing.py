"""What pages say of the queue: one's own entries as cards, everybody's as a table, and what is to be given back.

Guarantees: pure; a name is shown only as the view gives it; what cannot be done is not offered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from mlabhub.core.reasons import sentences
from mlabhub.i18n import N_, Translator
from mlabhub.service.pages.choices import as_arguments
from mlabhub.service.pages.waits import Countdown, WaitText, countdown, local, span_text, wait_text
from mlabhub.service.pages.words import gpus_text, server_title, size_text
from mlabhub.service.views import ServerView
from mlabhub.service.wait_views import NoticeView, QueueEntryView

MOST_AHEAD = 5
Url = Callable[..., str]


@dataclass(frozen=True)
class Row:
    """One entry as a line: ``who`` may be a name, or somebody of a group; ``why`` is what it waits for."""

    launch_id: str
    position: int
    who: str
    own: bool
    group: str
    what: str
    since: datetime
    wait: WaitText
    why: str
    back: int = 0
    watch_url: str = ""
    leave_url: str = ""
    front_url: str = ""


@dataclass(frozen=True)
class QueueCard(Row):
    """An entry of one's own, or one that an administrator looks at, with what can be done about it.

    ``take`` is what the button that starts the nearest choice says; ``ahead`` are those before it, the nearest last.
    """

    name: str = ""
    profile: str = ""
    count: int = 0
    take: str = ""
    advice: str = ""
    take_url: str = ""
    change_url: str = ""
    ahead: list[Row] = field(default_factory=list)
    ahead_more: int = 0


@dataclass(frozen=True)
class NoticeCard:
    """What is to be given back, when, for whom, and where that can be done at once."""

    launch_id: str
    name: str
    what: str
    for_whom: str
    countdown: Countdown
    release_url: str


@dataclass(frozen=True)
class Words:
    """What all of them need to be said: language, addresses, the moment, whether GPUs are simulated."""

    t: Translator
    url: Url
    now: datetime
    simulated: bool = False


def make_row(entry: QueueEntryView, words: Words, *, front: bool = False) -> Row:
    """Return a line of the table; ``front``: it may be moved to the front."""
    t, about = words.t, {"launch": entry.launch_id, "user": None if entry.own else str(entry.user)}
    return Row(
        launch_id=entry.launch_id,
        position=entry.position,
        who=t(N_("you")) if entry.own else t.say(entry.user),
        own=entry.own,
        group=entry.group or "",
        what=what_text(entry, words),
        since=local(entry.since),
        wait=wait_text(entry.wait, words.now, t),
        why=t.say(sentences([reason.message for reason in entry.reasons])),
        back=entry.reclaims,
        watch_url=words.url(f"starting/{entry.launch_id}") if entry.may_act else "",
        leave_url=words.url("leave", **about) if entry.may_act else "",
        front_url=words.url("front", **about) if front else "",
    )


def make_queue_card(
    entry: QueueEntryView, entries: Sequence[QueueEntryView], words: Words, profiles: Mapping[str, str]
) -> QueueCard:
    """Return the card of one of all ``entries``, next first; ``profiles`` are their names."""
    before = entry.position - 1
    t, row = words.t, make_row(entry, words)
    return QueueCard(
        **vars(row),
        name=server_title(t, entry),
        profile=profiles.get(entry.profile, entry.profile),
        count=len(entries),
        take=_take_text(entry, words),
        advice=t.say(entry.advice) if entry.advice else "",
        take_url=words.url("queue/nearest") if entry.may_act and entry.nearest else "",
        change_url=words.url("launch", **_change_arguments(entry)) if entry.may_act and entry.options else "",
        ahead=[make_row(one, words) for one in entries[max(0, before - MOST_AHEAD) : before]],
        ahead_more=max(0, before - MOST_AHEAD),
    )


def what_text(entry: QueueEntryView, words: Words) -> str:
    """Return the size that an entry asks for; beside GPUs, that alone is told."""
    gpus = gpus_text(words.t, entry.gpus, entry.gpu_type, words.simulated)
    return size_text(entry.cpu, entry.memory_gib, gpus)


def _take_text(entry: QueueEntryView, words: Words) -> str:
    changes = entry.nearest
    if not changes:
        return ""
    gpus, gpu_type = changes.get("gpus", entry.gpus), changes.get("gpu_type", entry.gpu_type)
    counted = {"gpus", "gpu_type"} & set(changes)
    text = size_text(
        changes.get("cpu"),
        changes.get("memory_gib"),
        gpus_text(words.t, gpus, gpu_type, words.simulated) if counted else "",
    )
    return words.t(N_("Take {what} now"), what=text)


def _change_arguments(entry: QueueEntryView) -> dict[str, str | None]:
    return {**as_arguments(entry.options or {}), "entry": entry.launch_id}


def make_notice(notice: NoticeView, server: ServerView | None, words: Words) -> NoticeCard:
    """Return what the holder of something is told; without a view of the server, by the hub's name for it."""
    t = words.t
    what = gpus_text(t, server.gpus, server.gpu_type, words.simulated) if server is not None else ""
    return NoticeCard(
        launch_id=notice.launch_id,
        name=server_title(t, server) if server is not None else notice.server_name or t(N_("Default server")),
        what=what,
        for_whom=t.say(notice.for_whom),
        countdown=countdown(notice.deadline, words.now, t),
        release_url=words.url(f"release/{notice.launch_id}"),
    )


def loan_text(server: ServerView, t: Translator) -> str:
    """Say that a server may be taken back; nothing of one that may not."""
    if not server.borrowed:
        return ""
    group = server.group or ""
    if server.notice_s is None:
        return t(N_("Borrowed: it goes beyond {group}'s guarantee, and may be taken back, with notice."), group=group)
    return t(
        N_("Borrowed: it goes beyond {group}'s guarantee, and may be taken back, with {span} of notice."),
        group=group,
        span=span_text(server.notice_s, t),
    )


def wanted_text(server: ServerView, t: Translator, *, simulated: bool) -> str:
    """Say that somebody waits for what a server holds."""
    if server.wanted is None:
        return ""
    what = gpus_text(t, server.gpus, server.gpu_type, simulated)
    if not what:
        return t(N_("Somebody is waiting for what this server holds. If you do not need it now, give it back."))
    return t(N_("Somebody is waiting for {what}. If you do not need this server now, give it back."), what=what)
