"""What the ledger of `lab` knows: two weeks of a lab with two groups, and who works in it this afternoon.

Everything is made from the present backwards, and the same each time but for the clock.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import sqlalchemy as sa

from mlabhub.core.quota_changes import QuotaChange
from mlabhub.core.readings import TICK_S, Sample
from mlabhub.core.sample_history import COARSE_S, FINE_FOR_S
from mlabhub.ledger import AuditEntry, KnownId, QueueEntry, Record, Reservation, SqlLedger
from mlabhub.ledger.sample_tables import HOUR_S, chunks, pack, ticks
from mlabhub.messages import Message
from mlabhub.service.decisions import admitted_words

PEOPLE = {
    "anna": ("vision",),
    "ben": ("vision",),
    "li-wei": ("vision", "nlp"),
    "mei": ("vision",),
    "carla": ("nlp",),
    "omar": ("nlp",),
    "yuki": ("nlp",),
    "zhang-min": ("nlp",),
    "ruth": (),
}
PERSON, ADMIN = "anna", "ruth"
DAYS = 14
RELEASED = "the hub's spawner says that it ended"


@dataclass(frozen=True)
class Work:
    """One server: whose, for what, on which GPUs (``gpu1: 0 to 3``), since how many hours, at how many per cent.

    ``idle_h`` is for how many hours it has stood still.
    """

    user: str
    server: str
    group: str
    gpus: int
    hours: float
    percent: float
    node: str = "gpu1"
    first: int = 0
    idle_h: float = 0.0
    state: str = "held"

    @property
    def gpu_type(self) -> str | None:
        """The type of its GPUs."""
        return None if not self.gpus else "t4" if self.node == "gpu3" else "a100"


NOW = (
    Work("anna", "detector", "vision", 4, 6.2, 92),
    Work("ben", "segmentation", "vision", 2, 19.5, 71, first=4),
    Work("li-wei", "diffusion", "vision", 2, 11, 88, first=6),
    Work("carla", "finetune", "nlp", 4, 20.4, 97, "gpu2"),
    Work("omar", "evaluation", "nlp", 2, 8.3, 64, "gpu2", first=4, idle_h=0.6),
    Work("zhang-min", "llm-7b", "nlp", 2, 3.1, 99, "gpu2", first=6),
    Work("mei", "labels", "vision", 1, 5.4, 45, "gpu3", idle_h=2.6),
    Work("yuki", "tokenizer", "nlp", 1, 4.2, 38, "gpu3", first=1),
    Work("anna", "", "vision", 0, 27, 0),
    Work("omar", "corpus", "nlp", 0, 2.2, 0),
    Work("anna", "demo", "vision", 1, 0.01, 0, "gpu3", first=2, state="pending"),
)
WAITING = (
    ("anna", "ablation", "vision", 2, 1.4),
    ("yuki", "pretrain", "nlp", 4, 0.9),
    ("ben", "sweep", "vision", 1, 0.3),
)
"""Person, server, group, GPUs, hours since."""


def launches() -> dict[str, str]:
    """Return the launches that pages of the table are about, all of one person's."""
    return {"launch": _id("NOW", 0), "starting": _id("NOW", len(NOW) - 1), "waiting": _id("WAITS", 0)}


def _id(kind: str, number: int) -> str:
    return f"01LAB{kind}{number:0{21 - len(kind)}}"


def fill(ledger: SqlLedger, now: float) -> None:
    """Write all of it."""
    running = [_reservation(number, work, now) for number, work in enumerate(NOW)]
    over = list(_past(now, random.Random(9)))
    ledger.commit([*_numbers(), *_audited([*over, *running]), *_waiting(now), _quota(now)])
    works = [(one, work) for one, work in zip(running, NOW, strict=True) if work.state == "held"]
    _keep_samples(ledger, works, now)
    _keep_older(ledger, over, now)


def _numbers() -> Iterator[KnownId]:
    yield from (KnownId("user", name, 3000 + number) for number, name in enumerate(PEOPLE))
    yield from (KnownId("group", name, 4000 + number) for number, name in enumerate(("vision", "nlp")))


def _reservation(number: int, work: Work, now: float) -> Reservation:
    began, ready = now - HOUR_S * work.hours, work.state == "held"
    kind = work.gpu_type or "cpu"
    return Reservation(
        launch_id=_id("NOW", number),
        user=work.user,
        server=work.server,
        state="held" if ready else "pending",
        created=began,
        changed=began + 4.0,
        deadline=began + 3600.0,
        actor=work.user,
        display_name=work.server,
        group=work.group,
        profile="train" if work.gpus > 1 else "develop" if work.gpus else "cpu",
        image="pytorch" if work.gpus else "base",
        gpu_type=work.gpu_type,
        gpus=tuple(f"GPU-{work.node}-{kind}-{one}" for one in range(work.first, work.first + work.gpus)),
        node=work.node,
        cpu=8.0 * work.gpus or 4.0,
        memory_gib=64.0 * work.gpus or 16.0,
        options=_options(work.gpus, work.gpu_type),
        redeemed=began + 1.0,
        held=began + 4.0 if ready else None,
        ready=began + 8.0 if ready else None,
    )


def _options(gpus: int, gpu_type: str | None) -> dict[str, object]:
    if not gpus:
        return {"profile": "cpu"}
    return {"profile": "train" if gpus > 1 else "develop", "gpus": gpus, "gpu_type": gpu_type}


def _past(now: float, chance: random.Random) -> Iterator[Reservation]:
    """Yield what ran before, place after place, each free again before the next one."""
    number = 0
    for work in NOW:
        t = now - 86_400.0 * DAYS + HOUR_S * chance.random() * 6
        end = now - HOUR_S * (work.hours + 0.5)
        while t < end:
            lasted = min(end - t, HOUR_S * (0.5 + chance.expovariate(1 / 7)))
            who = chance.choice([name for name, groups in PEOPLE.items() if work.group in groups])
            one = _reservation(
                number, replace(work, user=who, server="work", hours=(now - t) / HOUR_S, state="held"), now
            )
            number += 1
            yield replace(one, launch_id=_id("PAST", number), state="released", released=t + lasted, changed=t + lasted)
            t += lasted + HOUR_S * chance.expovariate(1 / 3)


def _audited(launched: Iterable[Reservation]) -> list[Record]:
    """Return launches, and after them what the audit says of them, by time."""
    entries, launches = [], list(launched)
    for one in launches:
        about = {"user": one.user, "server": one.server, "launch_id": one.launch_id}
        entries.append(AuditEntry(one.created, one.actor, "admit", admitted_words(one), **about))
        if one.released is not None:
            entries.append(AuditEntry(one.released, "service", "release", Message(RELEASED), **about))
    return [*launches, *sorted(entries, key=lambda one: one.at)]


def _waiting(now: float) -> Iterator[QueueEntry]:
    for number, (user, server, group, gpus, hours) in enumerate(WAITING):
        since = now - HOUR_S * hours
        yield QueueEntry(
            launch_id=_id("WAITS", number),
            user=user,
            server=server,
            state="waiting",
            since=since,
            created=since,
            changed=since,
            actor=user,
            display_name=server,
            group=group,
            profile="train",
            image="pytorch",
            gpu_type="a100",
            gpus=gpus,
            cpu=8.0,
            memory_gib=64.0,
            options={"profile": "train", "gpus": gpus, "gpu_type": "a100"},
        )


def _quota(now: float) -> QuotaChange:
    """Return what vision got for a deadline."""
    about = ("limit", "vision", "gpu:a100", 10.0)
    day = 86_400.0
    return QuotaChange(
        "01LABQUOTA", now - 2 * day, ADMIN, "CVPR deadline", *about, start=now - 2 * day, end=now + 5 * day
    )


# -- samples


def percent_at(work: Work, ago_s: float, number: int) -> float:
    """Return how busy a server's GPUs were so many seconds ago."""
    if ago_s < HOUR_S * work.idle_h or not work.percent:
        return 0.0
    wave = (int(ago_s // 1200) * 7 + number * 5) % 11
    return min(100.0, max(0.0, work.percent - 1.5 * wave))


def _sample(number: int, one: Reservation, work: Work, t: float, now: float) -> Sample:
    count, percent = len(one.gpus), percent_at(work, now - t, number)
    busy = percent > 0 or (not count and now - t > HOUR_S * 1.2)
    cores = (0.6 * work.gpus or 1.3) if busy else 0.02
    more = {"last_activity": t - 20.0 if busy else now - HOUR_S * work.idle_h, "kernels_busy": int(busy)}
    name = f"{one.user}/{one.server}"
    return Sample(t, name, one.launch_id, count, (percent,) * count, (30e9 if busy else 2e9,) * count, cores, more=more)


def _keep_samples(ledger: SqlLedger, works: list[tuple[Reservation, Work]], now: float) -> None:
    """Keep the last day of what runs: whole hours as chunks, the rest as minutes."""
    hour = now // HOUR_S * HOUR_S

    def there(t: float) -> list[Sample]:
        return [_sample(n, one, work, t, now) for n, (one, work) in enumerate(works) if one.created < t]

    with ledger._engine.begin() as connection:
        for begin in (hour - HOUR_S * back for back in range(24, 0, -1)):
            by_launch: dict[str, list[Sample]] = {}
            for minute in range(1, 61):
                for sample in there(begin + TICK_S * minute):
                    by_launch.setdefault(sample.launch_id, []).append(sample)
            for launch_id, samples in by_launch.items():
                _chunk(connection, launch_id, begin, TICK_S, samples)
        for minute in range(1, int((now - hour) // TICK_S)):
            t = hour + TICK_S * minute
            connection.execute(sa.insert(ticks), {"t": t, "lines": pack(there(t))})


def _keep_older(ledger: SqlLedger, over: Iterable[Reservation], now: float) -> None:
    """Keep of what is over that it worked for two hours of three, as finely as the service does."""
    with ledger._engine.begin() as connection:
        for number, one in enumerate(over):
            assert one.released is not None
            begin = one.created // HOUR_S * HOUR_S
            while begin < one.released:
                step = TICK_S if begin > now - FINE_FOR_S else COARSE_S
                percent = 80.0 if (begin // HOUR_S + number) % 3 else 0.0
                times = (begin + step * minute for minute in range(1, round(HOUR_S / step) + 1))
                samples = [_older(one, t, percent) for t in times if one.created < t <= one.released]
                if samples:
                    _chunk(connection, one.launch_id, begin, step, samples)
                begin += HOUR_S


def _older(one: Reservation, t: float, percent: float) -> Sample:
    count = len(one.gpus)
    return Sample(t, f"{one.user}/{one.server}", one.launch_id, count, (percent,) * count, (2e9,) * count, 0.5)


def _chunk(connection: sa.Connection, launch_id: str, begin: float, step: float, samples: list[Sample]) -> None:
    about = {"launch_id": launch_id, "begin": begin, "step": step, "server": samples[0].server}
    connection.execute(sa.insert(chunks), {**about, "lines": pack(samples)})
