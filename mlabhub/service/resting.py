"""How loops rest that go round for ever: until it is time again, or somebody wakes them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable


async def rest(wake: asyncio.Event, pause: Awaitable[None]) -> bool:
    """Wait until a pause is over or ``wake`` is set; whether it was woken before the pause was over."""
    resting, woken = asyncio.ensure_future(pause), asyncio.ensure_future(wake.wait())
    try:
        await asyncio.wait({resting, woken}, return_when=asyncio.FIRST_COMPLETED)
        return not resting.done()
    finally:
        resting.cancel()
        woken.cancel()
