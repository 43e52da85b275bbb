"""Made samples, as a recording would hold them: what is hard to judge, and what docs/examples/idle holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from random import Random
from typing import Any

from mlabhub.core.idle.policy import Policy
from mlabhub.core.idle.presets import DEFAULT
from mlabhub.replay.idle import Outcome, read_samples, run

START = 1_732_233_600.0
MINUTE, HOUR = 60.0, 3600.0
Line = dict[str, Any]


def trace(
    server: str = "alice/",
    hours: float = 10.0,
    *,
    gpu: Any = 0.0,
    start: float = START,
    tick: float = MINUTE,
    clock: Callable[[float], float] = lambda t: t,
    **more: Any,
) -> Iterator[Line]:
    """Yield a server's lines; a value may be a function of the minutes since its start."""
    for number in range(int(hours * HOUR / tick)):
        t = start + number * tick
        minute = number * tick / MINUTE
        util = gpu(minute) if callable(gpu) else gpu
        util = util if isinstance(util, list) or util is None else [util]
        line = {"t": clock(t), "server": server, "gpus": len(util) if util else 1, "gpu_util": util}
        line |= {key: value(minute) if callable(value) else value for key, value in more.items()}
        yield line


def lines_of(lines: Iterable[Line]) -> list[bytes]:
    """Return lines as a file holds them."""
    return [json.dumps(line).encode() for line in lines]


def replayed(lines: Iterable[Line], policy: Policy = DEFAULT) -> Outcome:
    """Replay lines under a policy."""
    return run(read_samples(lines_of(lines)), policy)


def stops(lines: Iterable[Line], policy: Policy = DEFAULT) -> list[float]:
    """Return after how many minutes servers are stopped."""
    return [(one.t - START) / MINUTE for one in replayed(lines, policy).decisions if one.action == "stop"]


def many(samples: int, servers: int = 400, seed: int = 3) -> Iterator[Line]:
    """Yield about so many lines of servers that work and stand idle by turns, in order of time."""
    random = Random(seed)
    states = [[random.random() < 0.5, 0.0] for _ in range(servers)]
    for number in range(samples // servers):
        minute = float(number)
        for index, state in enumerate(states):
            if minute >= state[1]:
                state[0] = not state[0]
                state[1] = minute + random.paretovariate(0.8) * 8
            busy = bool(state[0])
            yield {
                "t": START + minute * MINUTE,
                "server": f"u{index}/",
                "gpus": 1 + index % 4,
                "gpu_util": [random.randrange(30, 100) if busy else 0.0] * (1 + index % 4),
                "gpu_mem_used": [30e9] * (1 + index % 4),
                "cpu_cores": 1.5 if busy else 0.05,
                "last_activity": START + minute * MINUTE - 30,
                "input_age": None,
                "kernels_busy": int(busy),
                "terminals_busy": 0,
            }


def example() -> list[Line]:
    """Return twelve hours of eight servers, a line each five minutes: what docs/examples/idle holds."""
    servers = {
        "alice/": {"gpu": lambda m: [float(60 + m % 40)] * 2, "cpu_cores": 3.1, "last_activity": START - 8 * HOUR},
        "bob/": {"gpu": lambda m: 85.0 if m < 150 else 0.0, "cpu_cores": lambda m: 2.4 if m < 150 else 0.1},
        "carol/": {"gpu": lambda m: float(4 + m % 5), "cpu_cores": 1.0},
        "dave/desk": {"gpu": lambda m: float(1 + m % 2), "cpu_cores": 0.2, "input_age": lambda m: 20.0 + m * 60},
        "erin/": {"gpu": [None], "cpu_cores": 0.1},
        "frank/": {"gpu": lambda m: 70.0 if m % 140 < 60 else 0.0, "cpu_cores": lambda m: 1.8 if m % 140 < 60 else 0.1},
        "grace/": {"gpu": lambda m: [0.0, 0.0, 55.0 * (m < 300), 0.0], "gpu_mem_used": [40_000_000_000] * 4},
        "heidi/": {"gpu": lambda m: 0.0 if 40 <= m <= 400 else 90.0, "cpu_cores": lambda m: 1.0 if m < 50 else 0.1},
    }  # fmt: skip
    found = [
        line
        for name, values in servers.items()
        for line in trace(name, hours=12, tick=300.0, **values)
        if not (name == "bob/" and 200 <= (line["t"] - START) / MINUTE < 230)
    ]
    return sorted(found, key=lambda line: (line["t"], line["server"]))


def sessions(seed: int = 7, servers: int = 80, days: float = 4.0) -> Iterator[Line]:
    """Yield sessions of 1 to 8 GPUs, a line each five minutes: work and pauses by turns, each person in their own way.

    Some come back within the hour and some after hours; some leave for good often and some hardly ever.
    """
    random, tick = Random(seed), 300.0
    for number in range(servers):
        gpus, usual, leaves = random.choice((1, 2, 4, 8)), random.choice((600, 3600, 9000)), random.choice((0.03, 0.3))
        t, end = START + random.uniform(0, days * 12) * HOUR, START + days * 24 * HOUR
        gone = False
        while t < end and not gone:
            gone = random.random() < leaves
            idle = 12 * HOUR if gone else random.lognormvariate(0, 0.8) * usual
            for use, seconds in ((90.0, random.lognormvariate(8, 1)), (0.0, idle)):
                for _ in range(int(seconds / tick) + 1):
                    yield {"t": t, "server": f"s{number}/", "gpus": gpus, "gpu_util": [use] * gpus}
                    t += tick
        yield {"t": t, "server": f"s{number}/", "gpus": gpus, "gpu_util": [0.0] * gpus, "end": gone}
