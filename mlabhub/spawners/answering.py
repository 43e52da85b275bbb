"""Whether a started server answers, and where.

Guarantees: one look ends within some seconds, whatever is at the other end.
"""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit


def place_of(address: Any) -> tuple[str, int]:
    """Return host and port of what an ecosystem's spawner says after a start: a pair of them, or an address."""
    if isinstance(address, str):
        parts = urlsplit(address)
        return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    host, port = address
    return host, int(port)


async def answers(host: str, port: int, base_url: str) -> bool:
    """Return whether a Jupyter server answers there."""
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 2)
    except (OSError, asyncio.TimeoutError):
        return False
    try:
        writer.write(f"GET {base_url}api HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        return (await asyncio.wait_for(reader.readline(), 10)).startswith(b"HTTP/")
    except (OSError, asyncio.TimeoutError, ValueError):  # the last for a line that does not end
        return False
    finally:
        writer.close()
