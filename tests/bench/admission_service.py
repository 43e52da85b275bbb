"""The real service process with a large machine behind it: what `bench_admission` measures.

Everything is as in production (tornado, writer, SQLite with synchronous=FULL, reconciler); only hub and backend are
doubles, for 3,000 containers are not what is measured.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from dataclasses import replace

from mlabhub.ledger import QueueEntry, Reservation
from mlabhub.service.app import serve
from mlabhub.settings import load_settings
from tests.doubles import ScriptedBackend, ScriptedHub, make_node, unreachable


def make_backend(count: int = 400) -> ScriptedBackend:
    """Return so many nodes of 8 GPUs, and one of another type, for which people wait."""
    nodes = [make_node(f"n{number:03}", cpu=512, memory_gib=8192) for number in range(count)]
    return ScriptedBackend(nodes=(*nodes, make_node("waited-for", gpu_type="t4", cpu=512, memory_gib=8192)))


def held_reservation(number: int) -> Reservation:
    """Return one of the reservations that are held from the beginning: 600 users with 5 servers each."""
    return Reservation(
        launch_id=f"01HELD{number:020}",
        user=f"user{number % 600}",
        server=f"s{number // 600}",
        state="held",
        created=1.0,
        changed=1.0,
        deadline=1.0,
        held=1.0,
        ready=1.0,
        group=f"group{number % 20}",
        profile="gpu",
        image="base",
        gpu_type="a100" if number < 1600 else None,
        gpus=(f"GPU-n{number // 8:03}-a100-{number % 8}",) if number < 1600 else (),
        node=f"n{number // 8 % 400:03}",
        cpu=1.0,
        memory_gib=2.0,
    )


def holder() -> Reservation:
    """Return who holds all that is waited for."""
    gpus = tuple(f"GPU-waited-for-t4-{number}" for number in range(8))
    return replace(
        held_reservation(0), launch_id=f"01HOLDER{0:018}", server="holder", gpu_type="t4", gpus=gpus, node="waited-for"
    )


def queued_entry(number: int) -> QueueEntry:
    """Return one of the launches that wait from the beginning, of 100 users."""
    gpus = number % 8 + 1
    return QueueEntry(
        launch_id=f"01QUEUED{number:018}",
        user=f"user{number % 100}",
        server=f"q{number}",
        state="waiting",
        since=float(number),
        created=float(number),
        changed=float(number),
        group=f"group{number % 20}",
        profile="gpu",
        image="base",
        gpu_type="t4",
        gpus=gpus,
        cpu=1.0,
        memory_gib=2.0,
        options={"profile": "gpu", "gpu_type": "t4", "gpus": gpus},
    )


async def main() -> None:
    """Serve. The hub is silent, so that the reconciler leaves alone what nobody starts in the end."""
    backend = make_backend(*map(int, sys.argv[2:]))
    await serve(load_settings(sys.argv[1]), hub=ScriptedHub(fault=unreachable()), backend=backend)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(main())
