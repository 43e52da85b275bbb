"""What happens to people's launches, as it is told to them: one value a thing, and the port that takes it.

Guarantees: telling never fails, never waits and decides nothing; what is told can be said in any language; names are
values in sentences, never templates. ``title`` and ``body`` speak of the server, not of a person, so that the same
sentences serve its owner and a channel that several people read; nothing in them names anybody else, but for ``ask``
of `NoticeGiven`, which is said to the holder alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, ClassVar, Protocol

from mlabhub.core.quote import plain
from mlabhub.core.reasons import sentences
from mlabhub.core.units import format_gpus
from mlabhub.ledger import QueueEntry, Reservation
from mlabhub.messages import N_, Message


def clock_text(at: float) -> str:
    """Return a time as every language reads it, in the zone of this machine: ``2026-11-26 14:05 CST``."""
    return f"{datetime.fromtimestamp(at, timezone.utc).astimezone():%Y-%m-%d %H:%M %Z}"


@dataclass(frozen=True, kw_only=True)
class NewsItem:
    """One thing that happened to a launch at ``at``: whose it is, who pays, and what it asks for or holds.

    ``kind`` is its name in the configuration, ``page`` where it can be looked at or acted on, below the service's
    prefix.
    """

    kind: ClassVar[str]

    user: str
    launch_id: str
    server: str
    at: float
    display_name: str = ""
    group: str | None = None
    gpus: int = 0
    gpu_type: str | None = None

    @property
    def server_title(self) -> Message | str:
        """What the server is called."""
        if not self.user:  # told where nobody may know whose it is
            return Message(N_("A server"))
        name = self.display_name or self.server
        return plain(name) if name else Message(N_("Default server"))

    @property
    def size(self) -> Message | str:
        """What it is made of, as far as others lack it: its GPUs."""
        return format_gpus(self.gpus, self.gpu_type) if self.gpus else Message(N_("no GPU"))

    @property
    def page(self) -> str:
        """Where it can be followed."""
        return f"starting/{self.launch_id}"

    @property
    def title(self) -> Message:
        """It in a few words."""
        raise NotImplementedError

    @property
    def body(self) -> Message:
        """What happened, why, and what can be done."""
        raise NotImplementedError

    def personal(self) -> Message:
        """Return the body as its person may read it, who may know more than others."""
        return self.body

    def _say(self, template: str, **more: object) -> Message:
        return Message.of(template, {"server": self.server_title, "size": self.size, **more})


@dataclass(frozen=True, kw_only=True)
class Queued(NewsItem):
    """It waits for its turn. ``again``: it was reclaimed before, and waits anew."""

    kind = "queued"
    position: int
    wait: Message | None = None
    again: bool = False

    @property
    def title(self) -> Message:
        """It in a few words."""
        return self._say(N_("{server} waits, place {position}"), position=self.position)

    @property
    def body(self) -> Message:
        """What happened, why, and what can be done."""
        first = self._say(
            N_("{server} ({size}) waits for its turn again, in place {position}.")
            if self.again
            else N_("{server} ({size}) waits for its turn, in place {position}."),
            position=self.position,
        )
        parts = [first, *([] if self.wait is None else [self.wait])]
        return sentences(
            [*parts, Message(N_("Its page shows how it stands; there it can be changed, or taken out of the queue."))]
        )


@dataclass(frozen=True, kw_only=True)
class Started(NewsItem):
    """Its turn came, and it starts; ``claim_by``: unused until then, it is given back.

    ``borrowed``: beyond the group's guarantee, so that it may be taken back with notice.
    """

    kind = "started"
    claim_by: float | None = None
    node: str = ""
    borrowed: bool = False

    @property
    def title(self) -> Message:
        """It in a few words."""
        return self._say(N_("{server} starts: its turn has come"))

    @property
    def body(self) -> Message:
        """What happened, why, and what can be done."""
        parts = [self._say(N_("{server} ({size}) has waited and starts now."))]
        if self.borrowed:
            parts.append(Message(N_("It borrows what others leave unused, and may be asked back with notice.")))
        if self.claim_by is not None:
            parts.append(
                self._say(
                    N_("Open it by {until}; if nobody does, it is given back to whoever waits next."),
                    until=clock_text(self.claim_by),
                )
            )
        return sentences(parts)


@dataclass(frozen=True, kw_only=True)
class Refused(NewsItem):
    """It waited, and cannot start any more; ``reason`` says why. ``removed``: somebody else took it out."""

    kind = "refused"
    reason: Message
    removed: bool = False

    @property
    def title(self) -> Message:
        """It in a few words."""
        return self._say(N_("{server} waits no longer") if self.removed else N_("{server} cannot start"))

    @property
    def body(self) -> Message:
        """What happened, why, and what can be done."""
        first = (
            N_("{server} ({size}) was waiting, and is no longer in the queue.")
            if self.removed
            else N_("{server} ({size}) was waiting and has left the queue, because it cannot start any more.")
        )
        return sentences([self._say(first), self.reason])


@dataclass(frozen=True, kw_only=True)
class GivenBack(NewsItem):
    """It started when its turn came, and was stopped since nobody used it for ``minutes``."""

    kind = "given_back"
    minutes: float

    page = ""

    @property
    def title(self) -> Message:
        """It in a few words."""
        return self._say(N_("{server} was given back"))

    @property
    def body(self) -> Message:
        """What happened, why, and what can be done."""
        return self._say(
            N_(
                "{server} ({size}) started when its turn came, and nobody opened it within {minutes} min: it was given "
                "back. Start it again to wait for the next turn."
            ),
            minutes=float(self.minutes),
        )


@dataclass(frozen=True, kw_only=True)
class NoticeGiven(NewsItem):
    """It borrows, and was asked back at ``at``: it ends at ``deadline``. ``for_whom`` says who comes back.

    ``again``: what is reclaimed waits for another turn by itself.
    """

    kind = "notice"
    deadline: float
    for_whom: Message | None = None
    again: bool = True

    @property
    def page(self) -> str:
        """Where it can be given back at once."""
        return f"release/{self.launch_id}"

    @property
    def title(self) -> Message:
        """It in a few words."""
        return self._say(N_("{server} is asked back and ends at {until}"), until=clock_text(self.deadline))

    @property
    def body(self) -> Message:
        """What happened, why, and what can be done."""
        first = self._say(
            N_(
                "{server} ({size}) borrows what another group may count on, and that group needs it now. It is stopped "
                "at {until}, in {minutes} min, if it is still needed then. Save your work before that; what is in the "
                "home folder stays."
            ),
            until=clock_text(self.deadline),
            minutes=float(max(0, round((self.deadline - self.at) / 60))),
        )
        more = [Message(N_("Afterwards it waits for another turn by itself."))] if self.again else []
        return sentences([first, *more])

    def personal(self) -> Message:
        """Return the body with who comes back."""
        return self.body if self.for_whom is None else sentences([self.body, self.for_whom])


@dataclass(frozen=True, kw_only=True)
class NoticeWithdrawn(NewsItem):
    """It is not asked back any more."""

    kind = "notice_withdrawn"

    page = ""

    @property
    def title(self) -> Message:
        """It in a few words."""
        return self._say(N_("{server} may stay"))

    @property
    def body(self) -> Message:
        """What happened, why, and what can be done."""
        return self._say(N_("{server} ({size}) was asked back and is no longer needed elsewhere: it goes on running."))


@dataclass(frozen=True, kw_only=True)
class Reclaimed(NewsItem):
    """Its notice has passed, and it was stopped. ``again``: it waits for another turn."""

    kind = "reclaimed"
    again: bool = True

    page = ""

    @property
    def title(self) -> Message:
        """It in a few words."""
        return self._say(N_("{server} was stopped: what it borrowed is needed"))

    @property
    def body(self) -> Message:
        """What happened, why, and what can be done."""
        first = self._say(
            N_("The notice for {server} ({size}) has passed, and it was stopped. What is in the home folder is kept.")
        )
        more = [Message(N_("It waits for another turn and starts again by itself."))] if self.again else []
        return sentences([first, *more])


@dataclass(frozen=True, kw_only=True)
class EndsSoon(NewsItem):
    """It reaches the longest duration of its profile at ``ends``."""

    kind = "ends_soon"
    ends: float

    page = ""

    @property
    def title(self) -> Message:
        """It in a few words."""
        return self._say(N_("{server} ends at {until}"), until=clock_text(self.ends))

    @property
    def body(self) -> Message:
        """What happened, why, and what can be done."""
        return self._say(
            N_(
                "{server} ({size}) has run nearly as long as its profile allows: it is stopped at {until}. Save your "
                "work before that; what is in the home folder stays, and it can be started again."
            ),
            until=clock_text(self.ends),
        )


@dataclass(frozen=True, kw_only=True)
class MachineCloses(NewsItem):
    """Its machine is maintained from ``closes`` on; ``reason`` is what for."""

    kind = "machine_closes"
    closes: float
    node: str
    reason: str

    page = ""

    @property
    def title(self) -> Message:
        """It in a few words."""
        return self._say(N_("Maintenance of the machine of {server} from {at} on"), at=clock_text(self.closes))

    @property
    def body(self) -> Message:
        """What happened, why, and what can be done."""
        return self._say(
            N_(
                "{server} ({size}) runs on {node}, which is maintained from {at} on: {reason}. It may then end without "
                "further notice. Save your work before that; what is in the home folder stays."
            ),
            node=plain(self.node),
            at=clock_text(self.closes),
            reason=plain(self.reason),
        )


@dataclass(frozen=True, kw_only=True)
class SomebodyWaits(NewsItem):
    """Somebody waits for ``wanted`` (``2 A100``), and this server holds it and seems unused since ``unused_since``."""

    kind = "somebody_waits"
    wanted: str
    unused_since: float

    @property
    def page(self) -> str:
        """Where it can be given back at once."""
        return f"release/{self.launch_id}"

    @property
    def title(self) -> Message:
        """It in a few words."""
        return self._say(N_("Somebody waits for {wanted}"), wanted=self.wanted)

    @property
    def body(self) -> Message:
        """What happened, why, and what can be done."""
        return self._say(
            N_(
                "Somebody waits for {wanted}, and {server} ({size}) seems unused since {since}. If it is not needed "
                "now, one click gives it back; the home folder stays. Otherwise nothing happens to it."
            ),
            wanted=self.wanted,
            since=clock_text(self.unused_since),
        )


@dataclass(frozen=True, kw_only=True)
class GpuReleased(NewsItem):
    """It gave its GPUs back; ``said`` is as what it goes on, ``fault`` why it does not.

    ``rescue`` is the folder with what it left for whoever goes on.
    """

    kind = "gpu_released"
    said: Message | None = None
    fault: Message | None = None
    rescue: str = ""

    page = ""

    @property
    def title(self) -> Message:
        """It in a few words."""
        return self._say(N_("{server} gave its GPUs back"))

    @property
    def body(self) -> Message:
        """What happened, why, and what can be done."""
        parts = [self._say(N_("{server} gave its GPUs back. What is in the home folder is kept."))]
        parts += [one for one in (self.said, self.fault) if one is not None]
        if self.rescue:
            parts.append(self._say(N_("What ran in it is noted in {rescue}."), rescue=plain(self.rescue)))
        parts.append(Message(N_("The Home page offers its GPUs again.")))
        return sentences(parts)


KINDS: Mapping[str, type[NewsItem]] = {
    one.kind: one
    for one in (
        Queued,
        Started,
        Refused,
        GivenBack,
        NoticeGiven,
        NoticeWithdrawn,
        Reclaimed,
        EndsSoon,
        MachineCloses,
        SomebodyWaits,
        GpuReleased,
    )
}


def about(one: Reservation | QueueEntry) -> dict[str, Any]:
    """Return what every thing says of the launch that it is about."""
    return {
        "user": one.user,
        "launch_id": one.launch_id,
        "server": one.server,
        "display_name": one.display_name,
        "group": one.group,
        "gpus": len(one.gpus) if isinstance(one, Reservation) else one.gpus,
        "gpu_type": one.gpu_type,
    }


class News(Protocol):
    """Who passes news on. It takes one at once and never raises; whether it arrives is its own business."""

    def tell(self, one: NewsItem) -> None: ...


class NoNews:
    """Passes nothing on."""

    def tell(self, one: NewsItem) -> None:
        """Take one."""
