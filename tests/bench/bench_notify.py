"""What messages cost whoever tells news, and how long it takes to find whom to ask.

    python -m tests.bench.bench_notify

Prints one line of JSON: microseconds to tell one thing with messages off and with all channels on (10,000 things for
500 people, while nothing is taken), and milliseconds to find whom to ask on 200 nodes with 3,000 servers and 500 who
wait.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from pathlib import Path

from mlabhub.catalog import LoadedNotifications
from mlabhub.core.notifications import Notifications
from mlabhub.core.nudges import Asked, plan_askings
from mlabhub.core.quotas import Quotas
from mlabhub.core.sharing.model import Ask, Machine, Round, Run, Scene, Waiter
from mlabhub.core.units import to_micro
from mlabhub.messages import Message
from mlabhub.service import news
from mlabhub.service.metrics import Metrics
from mlabhub.service.notify import Letter, Notifier, Post
from mlabhub.service.notify.wire import Outcome

COUNT = 10_000
NOW = 1_000_000.0


def items() -> list[news.NewsItem]:
    """Return what is told."""
    return [
        news.Reclaimed(user=f"user{n % 500}", launch_id=f"{n}", server="train", at=NOW, group="vision")
        for n in range(COUNT)
    ]


def loaded() -> LoadedNotifications:
    """Return a configuration with a channel of each sort."""
    channels = {
        "site": {"admins": {"url": "json://admins/"}},
        "groups": {"vision": {"url": "json://vision/"}},
        "users": {"default": {"url": "mailto://h.example?to={user}@h.example"}},
    }
    settings = Notifications.model_validate(channels)
    addresses = {place: channel.url for place, channel in settings.channels() if channel.url is not None}
    return LoadedNotifications(Path("notifications.yaml"), True, settings, addresses)


def cost(one: news.News, told: Sequence[news.NewsItem]) -> float:
    """Return microseconds of CPU to tell one of them."""
    began = time.thread_time()
    for item in told:
        one.tell(item)
    return 1e6 * (time.thread_time() - began) / len(told)


async def tell() -> tuple[float, float]:
    """Return the cost with messages off, and on."""

    async def on_sent(letter: Letter) -> None:
        raise AssertionError("nothing is taken here")

    def make(what: LoadedNotifications) -> Notifier:
        post = Post(
            lambda address, title, body: Outcome(False, Message("full")),
            lambda letters: ("", ""),
            Metrics(),
            lambda: NOW,
            on_sent,
        )
        notifier = Notifier(lambda: what, lambda: "open", post)
        notifier.begin()
        return notifier

    told = items()
    off = min(cost(make(LoadedNotifications(Path(), False, Notifications())), told) for _ in range(3))
    on = min(cost(make(loaded()), told) for _ in range(3))
    return off, on


def find() -> float:
    """Return milliseconds of CPU to find whom to ask."""
    machines = [
        Machine(f"n{n}", {"a100": 8}, to_micro(64), to_micro(512), {"a100": 0}, to_micro(8), to_micro(64), to_micro(64))
        for n in range(200)
    ]
    unused = (None, 60.0, 9000.0, 90_000.0)
    runs = [
        Run(
            id=f"r{n}",
            user=f"user{n % 500}",
            group="vision",
            ask=Ask((0, 1, 2, 4)[n % 4], "a100" if n % 4 else None, to_micro(1), to_micro(8)),
            machine=f"n{n % 200}",
            started=0.0,
            notice_s=600.0,
            idle_since=None if (age := unused[n // 7 % 4]) is None else NOW - age,
        )
        for n in range(3000)
    ]
    waiters = [
        Waiter(f"w{n}", f"waits{n}", "nlp", Ask((1, 2, 4, 8)[n % 4], "a100", to_micro(1), to_micro(8)), NOW - 600)
        for n in range(500)
    ]
    order = tuple(one.id for one in waiters)
    scene, last = (
        Scene(machines, runs, waiters, Quotas(), NOW),
        Round(order=order, blocked=dict.fromkeys(order, "room")),
    )
    best = float("inf")
    for _ in range(5):
        began = time.thread_time()
        assert plan_askings(scene, last, Asked({}, {}), 1800.0)
        best = min(best, time.thread_time() - began)
    return 1e3 * best


def main() -> None:
    """Measure and print."""
    off, on = asyncio.run(tell())
    print(json.dumps({"tell_off_us": round(off, 2), "tell_on_us": round(on, 1), "find_ms": round(find(), 1)}))


if __name__ == "__main__":
    main()
