"""The real service process with a large machine behind it: what `bench_admission` measures.

Everything is as in production (tornado, writer, SQLite with synchronous=FULL, reconciler); only hub and backend are
doubles, for 3,000 containers are not what is measured.
"""

from __future__ import annotations

import asyncio
import logging
import sys

from mlabhub.ledger import Reservation
from mlabhub.service.app import serve
from mlabhub.settings import load_settings
from tests.doubles import ScriptedBackend, ScriptedHub, make_node, unreachable


def make_backend() -> ScriptedBackend:
    """Return 400 nodes of 8 GPUs."""
    return ScriptedBackend(nodes=tuple(make_node(f"n{number:03}", cpu=512, memory_gib=8192) for number in range(400)))


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


async def main() -> None:
    """Serve. The hub is silent, so that the reconciler leaves alone what nobody starts in the end."""
    await serve(load_settings(sys.argv[1]), hub=ScriptedHub(fault=unreachable()), backend=make_backend())


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(main())
