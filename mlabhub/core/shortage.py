"""Why there is no place for a request, in words: what is short, where most of it is, and what would start.

Guarantees: "never" is said only of what no node could hold even if it were empty, healthy and open; a nearest request
is named only after a place for it was found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from mlabhub.core.capacity import Capacity, Gpu, Node
from mlabhub.core.holdings import Holdings
from mlabhub.core.placement import Room, find_place, free_rooms, needs_of, whole_rooms
from mlabhub.core.profiles import LaunchRequest
from mlabhub.core.quote import plain, quote, quote_all
from mlabhub.core.reasons import Reason, amount_of, name_holder
from mlabhub.core.units import CPU, GPU, GPU_PREFIX, format_gpu_type, format_gpus, format_number, from_micro
from mlabhub.messages import N_, Message

MOST_LISTED = 5

WAIT = N_("Wait until a server stops.")
NO_MACHINE = N_("No machine is ready to run servers.")
TRY_AGAIN = N_("Try again soon, or tell an administrator.")
NO_GPU = N_("There is no GPU here. Choose a profile that needs none.")
NO_TYPE = N_("There is no {type} here; there is: {types}.")
NONE_HAS = N_("No machine has {asked}: the most is {most}, on {node}. Take {most} or less.")
NONE_WITH_GPUS_HAS = N_("No machine with {gpus} has {asked}: the most is {most}, on {node}. Take {most} or less.")
NONE_FREE = N_("No machine has {asked} free; free are: {free}.")
NONE_FREE_BESIDE_GPUS = N_("No machine with {gpus} free has {asked} free as well; free are: {free}.")
NEAREST = N_("{amount} would start now.")
CLOSED = N_("These take no new servers: {nodes}.")
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


def why_no_place(
    request: LaunchRequest,
    gpu_types: Sequence[str],
    overcommit: float,
    holdings: Holdings,
    capacity: Capacity,
    *,
    within_limits: bool,
) -> tuple[Reason, ...]:
    """Return the reasons why `find_place` found none; ``within_limits`` says that no quota stands in the way."""
    uncounted = tuple(_uncounted(request, gpu_types, capacity))
    if not any(node.schedulable for node in capacity.nodes):
        return (Reason("no_room", _sentences([Message(NO_MACHINE), *uncounted, Message(TRY_AGAIN)])),)
    chosen = tuple(_chosen_reasons(request, holdings, capacity))
    if chosen:
        return chosen
    never = _shortage(request, whole_rooms(request, gpu_types, capacity))
    if never is not None and never[0] == GPU and any(_unread(capacity)):
        return (Reason("no_room", _sentences([*uncounted, Message(TRY_AGAIN)])),)
    if never is not None:
        return (Reason("never_fits", _say_never(request, *never, capacity)),)
    short = _shortage(request, free_rooms(request, gpu_types, overcommit, holdings, capacity))
    assert short is not None, "a room that fits is a place"

    def starts_now(less: LaunchRequest) -> bool:
        return find_place(less, gpu_types, overcommit, holdings, capacity) is not None

    nearest = _nearest(request, *short, starts_now) if within_limits else None
    return (Reason("no_room", _sentences([_say_short(request, *short), nearest or Message(WAIT), *uncounted])),)


def _shortage(request: LaunchRequest, rooms: Iterable[Room]) -> tuple[str, list[Room]] | None:
    """Return the resource that runs out first and the rooms left until then, most of it first; None if a room fits."""
    left = list(rooms)
    for resource, need in needs_of(request).items():
        enough = [room for room in left if room.of(resource) >= need]
        if not enough:
            return resource, sorted(left, key=lambda room: (-room.of(resource), room.node.name))
        left = enough
    return None


def _chosen_reasons(request: LaunchRequest, holdings: Holdings, capacity: Capacity) -> Iterator[Reason]:
    """Return what is wrong with GPUs that were asked for by id."""
    nodes: dict[str, None] = {}
    for uuid in request.gpu_ids or ():
        gpu, holder = capacity.gpus.get(uuid), holdings.holder_of(uuid)
        values = {"uuid": quote(uuid), "asked": format_gpu_type(request.gpu_type)}
        if gpu is None:
            yield Reason("no_such_gpu", Message.of(UNKNOWN_GPU, values))
            continue
        nodes[gpu.node] = None
        if request.gpu_type is not None and gpu.type != request.gpu_type:
            yield Reason("no_such_gpu", Message.of(OTHER_TYPE, values, type=format_gpu_type(gpu.type)))
        elif holder is not None:
            yield Reason("gpu_held", Message.of(HELD_GPU, values, name=name_holder(holder.user)))
        elif (why := _why_unusable(gpu)) is not None:
            yield Reason(why[0], Message.of(why[1], values))
    if len(nodes) > 1:
        yield Reason("never_fits", Message.of(APART, nodes=quote_all(nodes, MOST_LISTED)))


def _why_unusable(gpu: Gpu) -> tuple[str, str] | None:
    """Return why a GPU that nobody holds is not handed out, as a code and a template; who uses it is not told."""
    if gpu.divided:
        return "no_such_gpu", DIVIDED_GPU
    if not gpu.healthy:
        return "gpu_sick", SICK_GPU
    if gpu.busy is None:
        return "gpu_unsure", UNSURE_GPU
    return ("gpu_busy", BUSY_GPU) if gpu.busy else None


def _say_never(request: LaunchRequest, resource: str, rooms: Sequence[Room], capacity: Capacity) -> Message:
    most = rooms[0].of(resource) if rooms else 0
    if resource == GPU and not most:
        types = quote_all(format_gpu_type(gpu_type) for gpu_type in capacity.gpu_types)
        asked = format_gpu_type(request.gpu_type)
        return Message.of(NO_TYPE, type=asked, types=types) if capacity.gpu_types else Message(NO_GPU)
    return Message.of(
        NONE_HAS if resource == GPU or not request.gpus else NONE_WITH_GPUS_HAS,
        asked=_amount(request, resource, needs_of(request)[resource]),
        most=_amount(request, resource, most),
        node=rooms[0].node.name,
        gpus=format_gpus(request.gpus, request.gpu_type),
    )


def _say_short(request: LaunchRequest, resource: str, rooms: Sequence[Room]) -> Message:
    best: dict[str, int] = {}
    for room in rooms:
        best.setdefault(room.node.name, room.of(resource))
    free = [f"{name} {format_number(from_micro(amount))}" for name, amount in best.items()]
    return Message.of(
        NONE_FREE if resource == GPU or not request.gpus else NONE_FREE_BESIDE_GPUS,
        asked=_amount(request, resource, needs_of(request)[resource]),
        free=quote_all(free, MOST_LISTED),
        gpus=format_gpus(request.gpus, request.gpu_type),
    )


def _nearest(
    request: LaunchRequest, resource: str, rooms: Sequence[Room], starts_now: Callable[[LaunchRequest], bool]
) -> Message | None:
    """Return the largest smaller amount of the short resource that would start now, in words, if there is one."""
    most = rooms[0].of(resource)
    if resource == GPU:
        counts = range(len(rooms[0].gpus), 0, -1) if request.gpu_ids is None else ()
        smaller = [replace(request, gpus=count) for count in counts]
    elif resource == CPU:
        smaller = [replace(request, cpu=from_micro(most))]
    else:
        smaller = [replace(request, memory_gib=from_micro(most))]
    found = next((less for less in smaller if most and starts_now(less)), None)
    if found is None:
        return None
    return Message.of(NEAREST, amount=_amount(request, resource, needs_of(found)[resource]))


def _uncounted(request: LaunchRequest, gpu_types: Sequence[str], capacity: Capacity) -> Iterator[Message]:
    """Name what is there but does not count: nodes that take no servers, GPUs that are not handed out."""
    closed = [node.name for node in capacity.nodes if not node.schedulable]
    if closed:
        yield Message.of(CLOSED, nodes=quote_all(closed, MOST_LISTED))
    if not request.gpus:
        return
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


def _unread(capacity: Capacity) -> Iterator[tuple[Node, Message]]:
    """Return the nodes whose GPUs cannot be read, and why."""
    for node in capacity.nodes:
        if node.gpu_fault is not None:
            yield node, node.gpu_fault


def _amount(request: LaunchRequest, resource: str, micro: int) -> Message:
    if resource == GPU and request.gpu_type is not None:
        resource = GPU_PREFIX + request.gpu_type
    return amount_of(resource, from_micro(micro))


def _sentences(parts: Sequence[Message]) -> Message:
    names = [f"s{index}" for index in range(len(parts))]
    return Message.of(" ".join(f"{{{name}}}" for name in names), dict(zip(names, parts, strict=True)))
