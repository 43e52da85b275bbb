"""The ledger's tables of samples: ticks as they come, then a chunk for each launch and hour, then daily sums.

Guarantees: what is packed is unpacked the same, but for the reasons of what is not known.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Column, Float, Index, LargeBinary, Table

from mlabhub.core.readings import Sample
from mlabhub.ledger.tables import Text, metadata

HOUR_S = 3600.0

ticks = Table(
    "sample_ticks",
    metadata,
    Column("t", Float, primary_key=True),
    Column("lines", LargeBinary, nullable=False),
)

chunks = Table(
    "sample_chunks",
    metadata,
    Column("launch_id", Text, primary_key=True),
    Column("begin", Float, primary_key=True),
    Column("step", Float, nullable=False),
    Column("server", Text, nullable=False),
    Column("lines", LargeBinary, nullable=False),
    Index("sample_chunks_by_time", "begin"),
    Index("sample_chunks_of_server", "server", "begin"),
)

days = Table(
    "sample_days",
    metadata,
    Column("server", Text, primary_key=True),
    Column("day", Float, primary_key=True),
    Column("gpu_s", Float, nullable=False),
    Column("known_s", Float, nullable=False),
    Column("used_s", Float, nullable=False),
    Column("core_s", Float, nullable=False),
    Column("cores_known_s", Float, nullable=False),
    Index("sample_days_by_time", "day"),
)


def pack(samples: Iterable[Sample]) -> bytes:
    """Return samples as they are kept: compressed JSON."""
    rows = [
        [one.t, one.server, one.launch_id, one.gpus, one.gpu_util, one.gpu_mem_used, one.cpu_cores, dict(one.more)]
        for one in samples
    ]
    return zlib.compress(json.dumps(rows, separators=(",", ":"), allow_nan=False).encode())


def unpack(lines: bytes) -> list[Sample]:
    """Return what was packed."""
    return [_sample(*row) for row in json.loads(zlib.decompress(lines))]


def unpack_of(lines: bytes, server: str) -> list[Sample]:
    """Return one server's samples of what was packed; of the thousands beside them nothing is read."""
    text = zlib.decompress(lines).decode()
    name = json.dumps(server)
    found, at = [], text.find(name)
    while at >= 0:
        begin = text.rfind("[", 0, at)  # a row begins with its time, and then its server
        if _ROW.fullmatch(text, begin, at):
            found.append(_sample(*_DECODER.raw_decode(text, begin)[0]))
        at = text.find(name, at + len(name))
    return found


_DECODER = json.JSONDecoder()
_ROW = re.compile(r"\[[-+.0-9eE]+,")


def _sample(
    t: float, server: str, launch: str, gpus: int, util: list[Any], memory: list[Any], cores: Any, more: dict[str, Any]
) -> Sample:
    return Sample(t, server, launch, gpus, tuple(util), tuple(memory), cores, more=more)
