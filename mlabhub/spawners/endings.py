"""Why a server that nobody stopped has ended, in words for its owner.

Guarantees: pure; what is not known is not guessed.
"""

from __future__ import annotations

from dataclasses import dataclass

from mlabhub.core.units import format_gib
from mlabhub.messages import N_, Message

UNUSED_STATUS = 75
"""How `mlabhub_proxies.tensorboard.server` ends when nobody has looked at it for long enough."""
_SHELL_SIGNAL = 128


@dataclass(frozen=True)
class Ending:
    """How a server's process ended. ``status`` is its exit status; less than zero: by that signal.

    ``memory_gib`` is how much memory it had, where that is known. ``why`` is what the backend itself knows of an end
    that did not come from the process; it goes before all else.
    """

    status: int = 0
    out_of_memory: bool = False
    memory_gib: float | None = None
    why: Message | None = None


def say_ending(ending: Ending) -> Message:
    """Return the sentence."""
    if ending.why is not None:
        return ending.why
    if ending.out_of_memory and ending.memory_gib is not None:
        return Message.of(
            N_(
                "It used more than the {memory} of memory that it has, so the system ended it. "
                "Start it again with more memory, or do less."
            ),
            memory=format_gib(ending.memory_gib),
        )
    if ending.out_of_memory:
        return Message(
            N_("It used more memory than it has, so the system ended it. Start it again with more memory, or do less.")
        )
    if ending.status == UNUSED_STATUS:
        return Message(N_("It ended by itself, for nobody looked at it any more. Start it again when you need it."))
    if ending.status == 0:
        return Message(N_("It was shut down from inside."))
    signal = -ending.status if ending.status < 0 else ending.status - _SHELL_SIGNAL
    if signal > 0:
        return Message.of(N_("It was ended from outside of the hub (signal {signal})."), signal=signal)
    return Message.of(N_("It ended because of a fault of its own (exit status {status})."), status=ending.status)
