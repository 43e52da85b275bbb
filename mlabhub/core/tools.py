"""The tools that people open in a server, and the kinds of servers that a profile can be.

Guarantees: pure and total; the tools of a server are some of those that its profile allows, in the order of the pages.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Literal

from pydantic import Field

from mlabhub.core.schema import KeyFault
from mlabhub.messages import N_, Message

ProfileTool = Literal["lab", "vscode", "terminal", "desktop", "tensorboard"]
TOOLS: tuple[ProfileTool, ...] = ("lab", "vscode", "terminal", "desktop", "tensorboard")
"""In the order in which pages show them, and the bar in the server."""
ADDED: frozenset[ProfileTool] = frozenset({"lab", "vscode", "terminal"})
"""What an image from elsewhere is given; what else it brings nobody knows."""

Kind = Literal["workbench", "tensorboard"]
WORKBENCH: Kind = "workbench"
TENSORBOARD: Kind = "tensorboard"
"""A small server that shows log folders of the NAS, and ends when nobody looks at it."""

Minutes = Annotated[float, Field(strict=True, ge=0.01, le=10_080, allow_inf_nan=False)]
UNUSED_MINUTES = 60.0


def offered_tools(allowed: Iterable[str] | None, has: Collection[str]) -> tuple[str, ...]:
    """Return what can be opened: what a profile allows (None: everything) of what an image has.

    An image that says nothing of its tools has what every image is given, and what the profile names.
    """
    permitted = frozenset(TOOLS if allowed is None else allowed)
    there = frozenset(has) or (ADDED if allowed is None else permitted)
    return tuple(tool for tool in TOOLS if tool in permitted and tool in there)


def kind_faults(
    kind: Kind, tools: Collection[str] | None, unused_minutes: float | None, more: Mapping[str, object]
) -> list[KeyFault]:
    """Find what contradicts a profile's kind; ``more`` is what a profile of kind tensorboard cannot have."""
    if kind == WORKBENCH:
        if unused_minutes is None:
            return []
        message = Message(N_("is for kind: tensorboard only; leave it out"))
        return [KeyFault(("unused_minutes",), message)]
    message = Message(N_("cannot be together with kind: tensorboard, which only reads log folders; leave it out"))
    faults = [KeyFault((key,), message) for key, value in more.items() if value]
    if tools is not None and set(tools) != {TENSORBOARD}:
        only = Message(N_("can only be [tensorboard] with kind: tensorboard; leave it out"))
        faults.append(KeyFault(("tools",), only))
    return faults
