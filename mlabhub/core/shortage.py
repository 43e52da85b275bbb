"""Why there is no place for a request, in words: what is short, how much of it there is, and where.

Guarantees: "never" is said only of what no node could hold even if it were empty, healthy and open; the resource that
is named is one whose amount stands in the way: with what is said to be the most of it, the rest of the request fits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mlabhub.core.capacity import Capacity, Gpu, Node
from mlabhub.core.holdings import Holdings
from mlabhub.core.placement import Room, free_rooms, needs_of, whole_rooms
from mlabhub.core.privacy import Viewer
from mlabhub.core.profiles import LaunchRequest
from mlabhub.core.quote import plain, quote, quote_all
from mlabhub.core.reasons import Reason, amount_of, joined, name_holder, sentences
from mlabhub.core.slots import split_slot
from mlabhub.core.units import CPU, GPU, GPU_PREFIX, MEMORY, format_gpu_type, format_number, from_micro
from mlabhub.messages import N_, Message

MOST_LISTED = 5

NO_MACHINE = N_("No machine is ready to run servers.")
TRY_AGAIN = N_("Try again soon, or tell an administrator.")
NO_GPU = N_("There is no GPU here. Choose a profile that needs none.")
NO_TYPE = N_("There is no {type} here; there is: {types}.")
NONE_HAS = N_("No machine has {asked}: the most is {most}, on {node}. Take {most} or less.")
NONE_BESIDE_HAS = N_(
    "No machine with {beside} has {asked} as well: {node} has {has}, but {amount}. Take {most} or less."
)
NONE_HAS_ALL = N_("No machine has {asked} at once: {nodes}. Take less of what is short there.")
WAITS_NONE = N_("{asked} waits: none is free.")
WAIT_NONE = N_("{asked} wait: none is free.")
WAIT_ONE = N_("{asked} wait: 1 is free, on {node}.")
WAIT_FEW = N_("{asked} wait: {free} are free ({nodes}).")
WAIT_APART = N_("{asked} wait: {free} are free, but no node has {need} ({nodes}).")
WAIT_APART_TYPES = N_("{asked} wait: {free} are free, but no node has {need} of one type ({nodes}).")
NONE_FREE = N_("No machine has {asked} free; free are: {nodes}.")
NONE_BESIDE_FREE = N_("No machine with {beside} free has {asked} free as well; free are: {nodes}.")
NONE_FREE_ALL = N_("No machine has {asked} free at once; free are: {nodes}.")
NOT_FOR_PROFILE = N_("No machine is for servers of the profile {profile}. Choose another one, or ask an administrator.")
NOT_FOR = N_("These are not for servers of the profile {profile}: {nodes}.")
OTHERS = N_("Pods that are not this hub's hold: {nodes}.")
SLOT_GPU = N_("Which of its GPUs a server gets, the cluster decides ({uuid} was asked for). Leave the choice to it.")
CLOSED = N_("These take no new servers: {nodes}.")
MAINTAINED = N_("These are being maintained ({reason}): {nodes}.")
SICK = N_("These GPUs are not healthy: {gpus}.")
BUSY = N_("These GPUs are used by something outside of this hub: {gpus}.")
UNSURE = N_("Whether these GPUs are free cannot be told now: {gpus}.")
UNREAD = N_("The GPUs of {node} cannot be read: {fault}")
UNKNOWN_GPU = N_("There is no GPU {uuid} here. Leave the choice to us, or look at the list of GPUs.")
OTHER_TYPE = N_("The GPU {uuid} is of type {type}, not {asked}. Choose another one.")
HELD_GPU = N_("The GPU {uuid} is held by {name}. Choose another one, or wait.")
DIVIDED_GPU = N_("The GPU {uuid} is divided into slices (MIG). Choose a slice of it, or another GPU.")
SICK_GPU = N_("The GPU {uuid} is not healthy; the list of GPUs says why. Choose another one.")
BUSY_GPU = N_("The GPU {uuid} is used by something outside of this hub. Choose another one, or wait.")
UNSURE_GPU = N_("Whether the GPU {uuid} is free cannot be told now. Choose another one, or try again soon.")
APART = N_("The GPUs that were chosen are on different machines: {nodes}. Choose GPUs of one machine.")


@dataclass(frozen=True)
class _Short:
    """What stands in the way. ``rooms`` have all the rest, most of it first.

    Without a resource, more than one would have to be less, and ``rooms`` are all there are. ``beside``: machines have
    as much of it, but not together with these.
    """

    resource: str | None
    rooms: Sequence[Room]
    beside: tuple[str, ...] = ()


def why_no_place(
    request: LaunchRequest,
    gpu_types: Sequence[str],
    overcommit: float,
    holdings: Holdings,
    capacity: Capacity,
    viewer: Viewer,
) -> tuple[Reason, ...]:
    """Return the reasons why `find_place` found none."""
    uncounted = tuple(_uncounted(request, gpu_types, capacity))
    if capacity.nodes and not any(node.is_for(request.profile) for node in capacity.nodes):
        return (Reason("never_fits", Message.of(NOT_FOR_PROFILE, profile=quote(request.profile))),)
    closed = not any(node.schedulable and node.is_for(request.profile) for node in capacity.nodes)
    if closed and (not capacity.nodes or could_hold(request, gpu_types, capacity)):
        if capacity.nodes and all(node.maintained for node in capacity.nodes if node.is_for(request.profile)):
            return (Reason("maintenance", sentences([Message(NO_MACHINE), *uncounted])),)
        return (Reason("no_room", sentences([Message(NO_MACHINE), *uncounted, Message(TRY_AGAIN)])),)
    chosen = tuple(_chosen_reasons(request, holdings, capacity, viewer))
    if chosen:
        return chosen
    needs = {resource: need for resource, need in needs_of(request).items() if need}
    if not could_hold(request, gpu_types, capacity):
        short = _find_short(needs, list(whole_rooms(request, gpu_types, capacity)))
        if GPU in needs and short.resource in (GPU, None) and any(_unread(capacity)):
            return (Reason("no_room", sentences([*uncounted, Message(TRY_AGAIN)])),)
        return (Reason("never_fits", _say_never(request, needs, short, capacity), _name(request, short.resource)),)
    rooms = list(free_rooms(request, gpu_types, overcommit, holdings, capacity))
    short = _find_short(needs, rooms)
    message = sentences([_say_short(request, needs, short, rooms), *uncounted])
    return (Reason("no_room", message, _name(request, short.resource or next(iter(needs)))),)


def could_hold(request: LaunchRequest, gpu_types: Sequence[str], capacity: Capacity) -> bool:
    """Return whether a machine could hold a request if it were empty, healthy and open."""
    needs = needs_of(request)
    if request.gpu_ids is not None:
        return any(_fits(room, needs) for room in whole_rooms(request, gpu_types, capacity))
    gpus, cpu, memory = request.gpus, needs[CPU], needs[MEMORY]
    return any(
        node.cpu_micro >= cpu
        and node.memory_micro >= memory
        and node.is_for(request.profile)
        and (not gpus or any(node.whole.get(one, 0) >= gpus for one in gpu_types))
        for node in capacity.nodes
    )


def _fits(room: Room, needs: Mapping[str, int], but: str = "") -> bool:
    return all(room.of(resource) >= need for resource, need in needs.items() if resource != but)


def _find_short(needs: Mapping[str, int], rooms: Sequence[Room]) -> _Short:
    """Return the resource that has to be less; one of which no machine has enough, before one that does not combine."""
    most = {resource: max((room.of(resource) for room in rooms), default=0) for resource in needs}
    if GPU in needs and not most[GPU]:
        return _Short(GPU, rooms)
    alone = [resource for resource, need in needs.items() if most[resource] < need]
    candidates = alone if alone else [resource for resource in (CPU, MEMORY, GPU) if resource in needs]
    for resource in candidates if len(alone) < 2 else ():
        left = [room for room in rooms if room.of(resource) and _fits(room, needs, but=resource)]
        if left:
            left.sort(key=lambda room: (-room.of(resource), room.node.name))
            others = tuple(one for one in needs if one != resource and any(room.of(one) < needs[one] for room in rooms))
            return _Short(resource, left, others if left[0].of(resource) < most[resource] else ())
    order = sorted(rooms, key=lambda room: (*(-min(room.of(one), need) for one, need in needs.items()), room.node.name))
    resource_gone = alone[0] if len(alone) == 1 and not most[alone[0]] else None
    return _Short(resource_gone, order)


def _chosen_reasons(request: LaunchRequest, holdings: Holdings, capacity: Capacity, viewer: Viewer) -> Iterator[Reason]:
    """Return what is wrong with GPUs that were asked for by id."""
    nodes: dict[str, None] = {}
    for uuid in request.gpu_ids or ():
        gpu, holder = capacity.gpus.get(uuid), holdings.holder_of(uuid)
        values = {"uuid": quote(uuid), "asked": format_gpu_type(request.gpu_type)}
        if gpu is None:
            yield Reason("no_such_gpu", Message.of(UNKNOWN_GPU, values), GPU)
            continue
        nodes[gpu.node] = None
        resource = GPU_PREFIX + gpu.type
        if split_slot(uuid) is not None:
            yield Reason("no_such_gpu", Message.of(SLOT_GPU, values), resource)
        elif request.gpu_type is not None and gpu.type != request.gpu_type:
            yield Reason("no_such_gpu", Message.of(OTHER_TYPE, values, type=format_gpu_type(gpu.type)), resource)
        elif holder is not None:
            yield Reason("gpu_held", Message.of(HELD_GPU, values, name=name_holder(holder, viewer)), resource)
        elif (why := _why_unusable(gpu)) is not None:
            yield Reason(why[0], Message.of(why[1], values), resource)
    if len(nodes) > 1:
        yield Reason("never_fits", Message.of(APART, nodes=quote_all(nodes, MOST_LISTED)), GPU)


def _why_unusable(gpu: Gpu) -> tuple[str, str] | None:
    """Return why a GPU that nobody holds is not handed out, as a code and a template; who uses it is not told."""
    if gpu.divided:
        return "no_such_gpu", DIVIDED_GPU
    if not gpu.healthy:
        return "gpu_sick", SICK_GPU
    if gpu.busy is None:
        return "gpu_unsure", UNSURE_GPU
    return ("gpu_busy", BUSY_GPU) if gpu.busy else None


def _say_never(request: LaunchRequest, needs: Mapping[str, int], short: _Short, capacity: Capacity) -> Message:
    resource = short.resource
    if resource is None:
        nodes = _machines(request, needs, short.rooms)
        return Message.of(NONE_HAS_ALL, asked=_amounts(request, needs), nodes=nodes)
    if resource == GPU and not any(room.gpus for room in short.rooms):
        types = quote_all(format_gpu_type(gpu_type) for gpu_type in capacity.gpu_types)
        asked = format_gpu_type(request.gpu_type)
        return Message.of(NO_TYPE, type=asked, types=types) if capacity.gpu_types else Message(NO_GPU)
    best = short.rooms[0]
    most = best.of(resource)
    return Message.of(
        NONE_BESIDE_HAS if short.beside else NONE_HAS,
        asked=_amount(request, resource, needs[resource]),
        most=_number(most),
        amount=_amount(request, resource, most),
        node=best.node.name,
        beside=_amounts(request, {one: needs[one] for one in short.beside}),
        has=_amounts(request, {one: best.of(one) for one in short.beside}),
    )


def _say_short(request: LaunchRequest, needs: Mapping[str, int], short: _Short, rooms: Sequence[Room]) -> Message:
    resource = short.resource
    if resource is None:
        nodes = _machines(request, needs, short.rooms)
        return Message.of(NONE_FREE_ALL, asked=_amounts(request, needs), nodes=nodes)
    if resource == GPU and not short.beside:
        return _say_gpus_wait(request, rooms)
    best: dict[str, int] = {}
    for room in short.rooms:
        best.setdefault(room.node.name, room.of(resource))
    return Message.of(
        NONE_BESIDE_FREE if short.beside else NONE_FREE,
        asked=_amount(request, resource, needs[resource]),
        nodes=quote_all([f"{name} {_number(amount)}" for name, amount in best.items()], MOST_LISTED),
        beside=_amounts(request, {one: needs[one] for one in short.beside}),
    )


def _say_gpus_wait(request: LaunchRequest, rooms: Sequence[Room]) -> Message:
    """Say how many GPUs are free and where, when no machine has enough of them."""
    some = sorted((room for room in rooms if room.gpus), key=lambda room: (-len(room.gpus), room.node.name))
    free, need = sum(len(room.gpus) for room in some), request.gpus
    several = len({room.gpu_type for room in some}) > 1
    named = [f"{room.node.name} {len(room.gpus)}" + f" {format_gpu_type(room.gpu_type)}" * several for room in some]
    if free >= need:
        template = WAIT_APART_TYPES if several else WAIT_APART
    elif not free:
        template = WAIT_NONE if need > 1 else WAITS_NONE
    else:
        template = WAIT_FEW if free > 1 else WAIT_ONE
    return Message.of(
        template,
        asked=_amount(request, GPU, needs_of(request)[GPU]),
        free=free,
        need=need,
        node=some[0].node.name if some else "",
        nodes=quote_all(named, MOST_LISTED),
    )


def _uncounted(request: LaunchRequest, gpu_types: Sequence[str], capacity: Capacity) -> Iterator[Message]:
    """Name what is there but does not count: nodes that take no servers, GPUs that are not handed out."""
    closed = [node.name for node in capacity.nodes if not node.schedulable and not node.maintained]
    if closed:
        yield Message.of(CLOSED, nodes=quote_all(closed, MOST_LISTED))
    yield from _maintained(capacity)
    other = [node.name for node in capacity.nodes if node.schedulable and not node.is_for(request.profile)]
    if other:
        yield Message.of(NOT_FOR, profile=quote(request.profile), nodes=quote_all(other, MOST_LISTED))
    if not request.gpus:
        return
    taken = {node.name: sum(node.gpus_taken.get(one, 0) for one in gpu_types) for node in capacity.nodes}
    if any(taken.values()):
        named = [f"{name} {count} {format_gpu_type(request.gpu_type)}" for name, count in taken.items() if count]
        yield Message.of(OTHERS, nodes=quote_all(named, MOST_LISTED))
    for node, fault in _unread(capacity):
        yield Message.of(UNREAD, node=plain(node.name), fault=fault)
    unread = {node.name for node, _ in _unread(capacity)}
    wanted = [gpu for gpu in capacity.gpus.values() if gpu.type in gpu_types and gpu.node not in unread]
    wanted = [gpu for gpu in wanted if not gpu.divided]
    kinds = (
        (SICK, [gpu for gpu in wanted if not gpu.healthy]),
        (BUSY, [gpu for gpu in wanted if gpu.healthy and gpu.busy]),
        (UNSURE, [gpu for gpu in wanted if gpu.healthy and gpu.busy is None]),
    )
    for template, gpus in kinds:
        if gpus:
            yield Message.of(template, gpus=quote_all([f"{gpu.uuid} ({gpu.node})" for gpu in gpus], MOST_LISTED))


def _maintained(capacity: Capacity) -> Iterator[Message]:
    """Say which nodes are being maintained, and what for."""
    names: dict[str, list[str]] = {}
    for node in capacity.nodes:
        if node.maintained:
            names.setdefault(node.maintained, []).append(node.name)
    for reason, nodes in list(names.items())[:MOST_LISTED]:
        yield Message.of(MAINTAINED, reason=plain(reason), nodes=quote_all(nodes, MOST_LISTED))


def _unread(capacity: Capacity) -> Iterator[tuple[Node, Message]]:
    """Return the nodes whose GPUs cannot be read, and why."""
    for node in capacity.nodes:
        if node.gpu_fault is not None:
            yield node, node.gpu_fault


def _machines(request: LaunchRequest, needs: Mapping[str, int], rooms: Sequence[Room]) -> Message:
    """Say what some machines have of all that is needed: ``n1 8 A100, 96 CPU; n2 ...``."""
    parts = [
        Message.of(
            N_("{node} {amounts}"), node=room.node.name, amounts=_amounts(request, {n: room.of(n) for n in needs})
        )
        for room in rooms[:MOST_LISTED]
    ]
    return joined("; ", parts)


def _amounts(request: LaunchRequest, amounts: Mapping[str, int]) -> Message:
    return joined(", ", [_amount(request, resource, amount) for resource, amount in amounts.items()])


def _name(request: LaunchRequest, resource: str | None) -> str:
    """Return a resource's name as in quotas, GPUs by the type that was asked for."""
    if resource == GPU and request.gpu_type is not None:
        return GPU_PREFIX + request.gpu_type
    return resource or ""


def _number(micro: int) -> str:
    return format_number(from_micro(micro))


def _amount(request: LaunchRequest, resource: str, micro: int) -> Message:
    return amount_of(_name(request, resource), from_micro(micro))
