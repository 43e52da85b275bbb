"""What is asked of an engine while a person waits: an engine that hangs must not take the pages along.

Guarantees: an answer, or `Unavailable`, comes within `PATIENCE_S`, for a launch within `LAUNCH_PATIENCE_S`; nothing
that changes anything is asked this way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from mlabhub.errors import Unavailable
from mlabhub.messages import N_

PATIENCE_S = 3.0
LAUNCH_PATIENCE_S = 15.0
"""A launch waits longer: without an answer it goes on, but a missing image is not fetched."""
_T = TypeVar("_T")


async def soon(asked: Awaitable[_T], *, launch: bool = False) -> _T:
    """Return what is answered in time. Raises `Unavailable`."""
    seconds = LAUNCH_PATIENCE_S if launch else PATIENCE_S
    try:
        return await asyncio.wait_for(asked, seconds)
    except asyncio.TimeoutError:
        sentence = N_("The container engine takes too long to answer. Running servers go on; try again in a minute.")
        raise Unavailable(sentence, log_text=f"the engine did not answer within {seconds} s") from None
