"""What people are told of idle servers, as news; see `mlabhub.service.news`."""

from __future__ import annotations

from dataclasses import dataclass

from mlabhub.core.idle.policy import Action
from mlabhub.core.reasons import sentences
from mlabhub.messages import N_, Message
from mlabhub.service.news import NewsItem, clock_text


@dataclass(frozen=True, kw_only=True)
class IdleWarned(NewsItem):
    """It stands idle, as ``said``, and something is done about that if nobody uses it until ``until``, at the soonest.

    ``action`` is what. ``reminder``: it was said before.
    """

    kind = "idle_warned"
    said: Message
    until: float
    action: Action = "stop"
    reminder: bool = False

    @property
    def page(self) -> str:
        """Where one sees why, and can keep it, or give it back."""
        return f"servers/{self.launch_id}"

    @property
    def title(self) -> Message:
        """It in a few words."""
        titles = {
            "stop": N_("{server} stands idle and is stopped at {until}"),
            "release-gpu": N_("{server} stands idle and gives its GPUs back at {until}"),
            "nothing": N_("{server} stands idle"),
        }
        return self._say(titles[self.action], until=clock_text(self.until))

    @property
    def body(self) -> Message:
        """What happened, why, and what can be done."""
        ends = {
            "stop": N_(
                "Use it, or keep it on its page; else it is stopped, not before {until}. What is in the home folder "
                "stays."
            ),
            "release-gpu": N_(
                "Use it, or keep it on its page; else it gives its GPUs back, not before {until}, and the work is kept."
            ),
            "nothing": N_("If it is not needed now, please stop it on its page: others may wait for what it holds."),
        }
        first = self._say(N_("{server} ({size}): {said}"), said=self.said)
        return sentences([first, self._say(ends[self.action], until=clock_text(self.until))])


@dataclass(frozen=True, kw_only=True)
class IdleWithdrawn(NewsItem):
    """It is not stopped for idleness; ``said`` is why."""

    kind = "idle_withdrawn"
    said: Message

    page = ""

    @property
    def title(self) -> Message:
        """It in a few words."""
        return self._say(N_("{server} goes on"))

    @property
    def body(self) -> Message:
        """What happened, why, and what can be done."""
        return self._say(N_("The warning about {server} ({size}) holds no more. {said}"), said=self.said)


@dataclass(frozen=True, kw_only=True)
class IdleStopped(NewsItem):
    """It was stopped for idleness; ``said`` is what was seen, None where that is not known any more."""

    kind = "idle_stopped"
    said: Message | None

    page = ""

    @property
    def title(self) -> Message:
        """It in a few words."""
        return self._say(N_("{server} was stopped: nobody used it"))

    @property
    def body(self) -> Message:
        """What happened, why, and what can be done."""
        first = self._say(N_("{server} ({size}) stood idle, its person was warned, and it was stopped."))
        last = Message(N_("What is in the home folder is kept; start it again when it is needed."))
        return sentences([first, *([] if self.said is None else [self.said]), last])


IDLE_KINDS = {one.kind: one for one in (IdleWarned, IdleWithdrawn, IdleStopped)}
"""They go beside `mlabhub.service.news.KINDS`."""
