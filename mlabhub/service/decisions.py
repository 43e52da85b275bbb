"""A launch is decided on: it is admitted with a reservation, waits, or is refused; a function of the projection.

Guarantees: the same launch gets its first answer again; nothing here does I/O or reads a clock; what becomes of a
reservation afterwards is in `reservations`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from mlabhub.core.admission import NOTHING, Capacity, Decision, Placement, Standing, admit_at, decide
from mlabhub.core.capacity import products_of
from mlabhub.core.forecast import Forecast, forecast
from mlabhub.core.hopeless import QUOTA_NEVER
from mlabhub.core.identity import Identity
from mlabhub.core.plan import LaunchPlan, make_plan
from mlabhub.core.privacy import EVERYTHING, Viewer
from mlabhub.core.profiles import Catalog, LaunchRequest
from mlabhub.core.quote import plain
from mlabhub.core.reasons import NEVER, Reason, sentences
from mlabhub.core.units import format_gpus
from mlabhub.core.waiting import Waiting
from mlabhub.ledger import AuditEntry, KnownId, QueueEntry, Record, Reservation, StoredAnswer
from mlabhub.messages import N_, Message
from mlabhub.service.answers import Admitted, Refused, Waits, name_in_use, unknown, used
from mlabhub.service.projection import Projection
from mlabhub.service.queue.acts import asked, enqueue, make_entry, waiting_entry, waits_already
from mlabhub.service.reservations import audit_of
from mlabhub.service.writer import Act, Outcome


@dataclass(frozen=True)
class Wish:
    """A launch that passed the gate; `admit` decides on it. ``options`` are without the launch_id.

    ``viewer`` is who reads the answer. With ``may_wait`` it waits in the queue where it cannot start now; under the
    ``launch_id`` of an entry that waits already, that one starts as it is asked for now, or goes on waiting; with
    ``of_entry`` there has to be one.
    """

    launch_id: str
    request: LaunchRequest
    options: dict[str, Any]
    actor: str
    viewer: Viewer
    deadline_s: float
    display_name: str = ""
    by_spawner: bool = False
    may_wait: bool = False
    of_entry: bool = False


Turn = Callable[[Projection, LaunchRequest, str], Decision | Standing]
"""Decides on a launch, by its id, where others wait whose turn may have come; else says what is not to be had."""


@dataclass(frozen=True)
class Ground:
    """What a decision stands on besides the projection; ``queue`` are those who wait.

    ``turn`` is asked first: nobody takes what somebody who waits is about to get.
    """

    catalog: Catalog
    capacity: Capacity
    identify: Callable[[Projection], Identity]
    queue: tuple[Waiting, ...] = ()
    turn: Turn = lambda *_: NOTHING
    may_come: Callable[[LaunchRequest], bool] = lambda _: False
    """Whether quotas that are to change let a launch start that those of now never would."""


START_DEADLINE_S = 300.0
"""How long a launch may stay unknown to the hub; the spawner's own deadline replaces it when it redeems the launch."""

Answer = Admitted | Refused | Waits | StoredAnswer
Keeper = Callable[[Admitted | Refused | Waits], StoredAnswer]
"""Makes the answer that is kept under an ``Idempotency-Key``."""


def admit(
    wish: Wish, ground: Ground, now: float, *, key: tuple[str, str] | None = None, keep: Keeper | None = None
) -> Act[Answer]:
    """Decide on a launch and reserve what it gets. A launch that was decided on before gets its first answer.

    Raises `NotFound` for a wish ``of_entry`` that does not wait any more.
    """

    def act(projection: Projection) -> Outcome[Answer]:
        stored = projection.answer(*key) if key is not None else None
        if stored is not None and stored.final:
            return Outcome(stored)
        if wish.of_entry:
            waiting_entry(projection, wish.launch_id)
        known = projection.launch(wish.launch_id)
        if known is not None:
            return Outcome(Admitted(_same_launch(known, wish)))
        if projection.is_spent(wish.launch_id) and wish.launch_id not in projection.queue:
            raise used(wish.launch_id)
        return _decide(projection, wish, ground, now, keep)

    return act


def _decide(projection: Projection, wish: Wish, ground: Ground, now: float, keep: Keeper | None) -> Outcome[Answer]:
    taken = _closed(projection, wish) or _name_taken(projection, wish)
    if taken is not None:
        told = Forecast(Decision("refuse", reasons=(taken,)))
    else:
        told = _forecast(projection, wish, ground, now)
    placement = told.decision.placement
    answer: Admitted | Refused | Waits
    if placement is not None:
        answer, records = _admit(projection, wish, ground, now, placement, told.decision.notes)
    elif wish.may_wait and taken is None and may_start_later(told.decision, wish.request, ground.may_come):
        answer, records = _wait(projection, wish, told, now)
    else:
        answer = Refused(told.decision.reasons, told.advice, told.nearest)
        full = answer.reasons if taken is not None else _full_reasons(projection, wish, ground, told.decision, now)
        records = (_refused(wish, full, now),)
    return Outcome(answer, (*records, keep(answer)) if keep else records)


def may_start_later(decision: Decision, request: LaunchRequest, may_come: Callable[[LaunchRequest], bool]) -> bool:
    """Whether it makes sense to wait: others may stop, or a quota that stands in the way is to change."""
    never = {reason.code for reason in decision.reasons} & NEVER
    return not never or (never <= QUOTA_NEVER and may_come(request))


def _admit(
    projection: Projection, wish: Wish, ground: Ground, now: float, placement: Placement, notes: tuple[Reason, ...]
) -> tuple[Admitted, tuple[Record, ...]]:
    entry = projection.queue.get(wish.launch_id)
    reservation, records = grant(projection, wish, ground, now, placement, entry)
    line = audit_of(reservation, now, wish.actor, "admit", admitted_words(reservation))
    started = () if entry is None else (started_entry(entry, wish.request, wish.options, now),)
    return Admitted(reservation, notes), (reservation, line, *records, *started)


def grant(
    projection: Projection,
    wish: Wish,
    ground: Ground,
    now: float,
    placement: Placement,
    entry: QueueEntry | None = None,
) -> tuple[Reservation, tuple[KnownId, ...]]:
    """Return the reservation of a launch that starts at ``placement``, and the numbers that are new with it."""
    identity = ground.identify(projection)
    plan = make_plan(
        wish.request,
        launch_id=wish.launch_id,
        identity=identity,
        placement=placement,
        storage=ground.catalog.storage,
        display_name=wish.display_name,
        cpu_overcommit=ground.catalog.quotas.cpu_overcommit,
        gpu_products=products_of(ground.capacity, placement.gpu_type),
    )
    return _reserve(wish, plan, now, entry), _new_ids(projection, identity)


def _wait(projection: Projection, wish: Wish, told: Forecast, now: float) -> tuple[Waits, tuple[Record, ...]]:
    entry = projection.queue.get(wish.launch_id)
    answer = Waits(entry or _entry(wish, now), told.decision.reasons, told.advice, told.nearest)
    return answer, () if entry is not None else enqueue(projection, answer.entry, now)


def _entry(wish: Wish, now: float) -> QueueEntry:
    return make_entry(
        wish.request,
        launch_id=wish.launch_id,
        options=wish.options,
        actor=wish.actor,
        display_name=wish.display_name,
        now=now,
    )


def _closed(projection: Projection, wish: Wish) -> Reason | None:
    """Return why nothing starts for somebody whose account is closed, whoever asks for it."""
    if wish.request.user not in projection.closed:
        return None
    text = N_("The account of {user} is closed, so nothing starts for it. An administrator can reopen it.")
    return Reason("account_closed", Message.of(text, user=plain(wish.request.user)))


def _name_taken(projection: Projection, wish: Wish) -> Reason | None:
    """Return why the server's name cannot be had, if so: a launch of it runs, or another one waits."""
    user, server = wish.request.user, wish.request.server_name
    other = projection.of_server(user, server)
    if other is not None:
        return name_in_use(other)
    entry = projection.entry_of_server(user, server)
    return waits_already(entry) if entry is not None and entry.launch_id != wish.launch_id else None


def _forecast(projection: Projection, wish: Wish, ground: Ground, now: float) -> Forecast:
    request, catalog = wish.request, ground.catalog
    profile = catalog.profiles_by_slug[request.profile]
    holdings, capacity = projection.holdings, ground.capacity
    turn = ground.turn(projection, request, wish.launch_id)
    about = request, profile, catalog.quotas, holdings, ground.queue, capacity, now, wish.viewer
    if isinstance(turn, Standing):
        return forecast(*about, standing=turn)
    if turn.placement is not None:
        return Forecast(admit_at(request, turn.placement, catalog.quotas, holdings, wish.viewer))
    told = forecast(*about)
    # Where there would be room, it is somebody else's who waits.
    return told if told.decision.placement is None else Forecast(turn)


def _full_reasons(
    projection: Projection, wish: Wish, ground: Ground, decision: Decision, now: float
) -> tuple[Reason, ...]:
    """Return the reasons of a refusal with all names, for the audit."""
    if wish.viewer.sees_all:
        return decision.reasons
    quotas, holdings = ground.catalog.quotas, projection.holdings
    return decide(wish.request, quotas, holdings, ground.queue, ground.capacity, now, EVERYTHING).reasons


def _reserve(wish: Wish, plan: LaunchPlan, now: float, entry: QueueEntry | None = None) -> Reservation:
    """Return the reservation of a launch that was admitted; a spawner's own is redeemed as it is made."""
    return Reservation(
        launch_id=wish.launch_id,
        user=plan.user,
        server=plan.server_name,
        state="pending",
        created=now,
        changed=now,
        deadline=now + wish.deadline_s,
        origin="spawner" if wish.by_spawner else "launch",
        actor=wish.actor,
        display_name=wish.display_name,
        group=plan.group,
        profile=plan.profile,
        image=plan.image,
        gpu_type=plan.gpu_type,
        gpus=plan.gpus,
        node=plan.node,
        cpu=plan.cpu,
        memory_gib=plan.memory_gib,
        options=wish.options,
        plan=plan.to_dict(),
        kind=plan.kind,
        redeemed=now if wish.by_spawner else None,
        since=entry.since if entry is not None else None,
        reclaims=entry.reclaims if entry is not None else 0,
    )


def started_entry(entry: QueueEntry, request: LaunchRequest, options: dict[str, Any], now: float) -> QueueEntry:
    """Return an entry whose turn came, with what it starts as."""
    return replace(entry, state="started", changed=now, started=now, claim_by=None, options=options, **asked(request))


def _same_launch(known: Reservation, wish: Wish) -> Reservation:
    """Return the reservation if the wish is a repetition of the one it was made for."""
    same = (known.user, known.server, known.options) == (wish.request.user, wish.request.server_name, wish.options)
    if not same:
        raise unknown(wish.launch_id)
    if known.state != "pending":
        raise used(wish.launch_id)
    return known


def admitted_words(one: Reservation) -> Message:
    """Say what a launch was given."""
    return Message.of(
        N_("{profile} admitted on {node}: {cpu} CPU, {memory_gib} GiB, {gpus}; {payer} pays"),
        profile=one.profile,
        node=one.node,
        cpu=one.cpu,
        memory_gib=one.memory_gib,
        gpus=format_gpus(len(one.gpus), one.gpu_type) if one.gpus else Message(N_("no GPU")),
        payer=one.group or Message(N_("no group")),
    )


def _refused(wish: Wish, reasons: tuple[Reason, ...], now: float) -> AuditEntry:
    message, request = sentences([reason.message for reason in reasons]), wish.request
    return AuditEntry(now, wish.actor, "refuse", message, request.user, request.server_name, wish.launch_id)


def _new_ids(projection: Projection, identity: Identity) -> tuple[KnownId, ...]:
    wanted = [KnownId("user", identity.name, identity.uid)]
    wanted += [KnownId("group", group.name, group.gid) for group in identity.groups]
    return tuple(one for one in wanted if projection.known_id(one.kind, one.name) != one.number)
