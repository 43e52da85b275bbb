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
from tests.doubles import ScriptedBackend, ScriptedHub, make_node


def make_backend(held: int) -> ScriptedBackend:
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
    """Serve; hub and backend have all that is held, so that the reconciler finds nothing to mend."""
    settings = load_settings(sys.argv[1])
    held = int(sys.argv[2])
    backend, hub = make_backend(held), ScriptedHub()
    for one in map(held_reservation, range(held)):
        backend.run(one.launch_id, one.user, one.server, one.gpus)
    await serve(settings, hub=hub, backend=backend)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(main())
