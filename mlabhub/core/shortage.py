"""Why there is no place for a request, in words: what is short, where most of it is, and what would start.

Guarantees: "never" is said only of what no node could hold even if it were empty, healthy and open; a nearest request
is named only after a place for it was found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from mlabhub.core.capacity import Capacity
from mlabhub.core.holdings import Holdings
from mlabhub.core.placement import Room, find_place, free_rooms, needs_of, whole_rooms
from mlabhub.core.profiles import LaunchRequest
from mlabhub.core.quote import quote, quote_all
from mlabhub.core.reasons import Reason, amount_of
from mlabhub.core.units import CPU, GPU, GPU_PREFIX, format_gpu_type, format_gpus, format_number, from_micro
from mlabhub.messages import N_, Message

MOST_LISTED = 5
WAIT = N_("Wait until a server stops, or take less.")


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
    if not capacity.nodes:
        return (
            Reason(
                "no_room", Message(N_("No machine is ready to run servers. Try again soon, or tell an administrator."))
            ),
        )
    by_id = tuple(_chosen_reasons(request, holdings, capacity))
    if by_id:
        return by_id
    never = _shortage(request, whole_rooms(request, gpu_types, capacity))
    if never is not None:
        return (Reason("never_fits", _say_never(request, *never, capacity)),)
    short = _shortage(request, free_rooms(request, gpu_types, overcommit, holdings, capacity))
    if short is None:
        return ()
    resource, rooms = short
    nearest = _nearest(
        request, resource, rooms, lambda less: find_place(less, gpu_types, overcommit, holdings, capacity)
    )
    advice = nearest if nearest and within_limits else Message(WAIT)
    parts = [_say_short(request, resource, rooms), advice, *_uncounted(request, gpu_types, capacity)]
    return (Reason("no_room", _sentences(parts)),)


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
    for uuid in request.gpu_ids or ():
        gpu, holder = capacity.gpus.get(uuid), holdings.holder_of(uuid)
        if gpu is None:
            yield Reason(
                "no_such_gpu",
                Message.of(
                    N_("There is no GPU {uuid} here. Leave the choice to us, or look at the list of GPUs."),
                    uuid=quote(uuid),
                ),
            )
        elif request.gpu_type is not None and gpu.type != request.gpu_type:
            values = {
                "uuid": quote(uuid),
                "type": format_gpu_type(gpu.type),
                "asked": format_gpu_type(request.gpu_type),
            }
            yield Reason(
                "no_such_gpu",
                Message.of(N_("The GPU {uuid} is of type {type}, not {asked}. Choose another one."), values),
            )
        elif holder is not None:
            yield Reason(
                "gpu_held",
                Message.of(
                    N_("The GPU {uuid} is held by {name}. Choose another one, or wait."),
                    uuid=quote(uuid),
                    name=holder.user,
                ),
            )


def _say_never(request: LaunchRequest, resource: str, rooms: Sequence[Room], capacity: Capacity) -> Message:
    if not rooms or rooms[0].of(resource) == 0:
        if not capacity.gpu_types:
            return Message(N_("There is no GPU here. Choose a profile that needs none."))
        types = quote_all(format_gpu_type(gpu_type) for gpu_type in capacity.gpu_types)
        return Message.of(
            N_("There is no {type} here; there is: {types}."), type=format_gpu_type(request.gpu_type), types=types
        )
    values = {
        "asked": _amount(request, resource, needs_of(request)[resource]),
        "most": _amount(request, resource, rooms[0].of(resource)),
        "node": rooms[0].node.name,
        "gpus": format_gpus(request.gpus, request.gpu_type),
    }
    if resource == GPU or not request.gpus:
        return Message.of(N_("No machine has {asked}: the most is {most}, on {node}. Take {most} or less."), values)
    return Message.of(
        N_("No machine with {gpus} has {asked}: the most is {most}, on {node}. Take {most} or less."), values
    )


def _say_short(request: LaunchRequest, resource: str, rooms: Sequence[Room]) -> Message:
    best: dict[str, int] = {}
    for room in rooms:
        best.setdefault(room.node.name, room.of(resource))
    listed = [f"{name} {format_number(from_micro(amount))}" for name, amount in list(best.items())[:MOST_LISTED]]
    values = {
        "asked": _amount(request, resource, needs_of(request)[resource]),
        "free": ", ".join(listed) + (", …" if len(best) > MOST_LISTED else ""),
        "gpus": format_gpus(request.gpus, request.gpu_type),
    }
    if not rooms:
        return Message(N_("No machine takes new servers at the moment."))
    if resource == GPU or not request.gpus:
        return Message.of(N_("No machine has {asked} free; free are: {free}."), values)
    return Message.of(N_("No machine with {gpus} free has {asked} free as well; free are: {free}."), values)


def _nearest(
    request: LaunchRequest, resource: str, rooms: Sequence[Room], find: Callable[[LaunchRequest], object]
) -> Message | None:
    """Return the largest smaller amount of the short resource that would start now, in words, if there is one."""
    most = rooms[0].of(resource) if rooms else 0
    if most == 0:
        return None
    if resource == GPU:
        smaller = [
            replace(request, gpus=count) for count in range(len(rooms[0].gpus), 0, -1) if request.gpu_ids is None
        ]
    elif resource == CPU:
        smaller = [replace(request, cpu=from_micro(most))]
    else:
        smaller = [replace(request, memory_gib=from_micro(most))]
    found = next((less for less in smaller if find(less) is not None), None)
    if found is None:
        return None
    return Message.of(N_("{amount} would start now."), amount=_amount(request, resource, needs_of(found)[resource]))


def _uncounted(request: LaunchRequest, gpu_types: Sequence[str], capacity: Capacity) -> Iterator[Message]:
    """Name what is there but does not count: nodes that take no servers, GPUs that are not healthy."""
    closed = [node.name for node in capacity.nodes if not node.schedulable]
    if closed:
        yield Message.of(N_("These take no new servers: {nodes}."), nodes=quote_all(closed, MOST_LISTED))
    sick = [
        f"{gpu.uuid} ({node.name})"
        for node in capacity.nodes
        for gpu in node.gpus
        if request.gpus and not gpu.healthy and gpu.type in gpu_types
    ]
    if sick:
        yield Message.of(N_("These GPUs are not healthy: {gpus}."), gpus=quote_all(sick, MOST_LISTED))


def _amount(request: LaunchRequest, resource: str, micro: int) -> Message:
    if resource == GPU and request.gpu_type is not None:
        resource = GPU_PREFIX + request.gpu_type
    return amount_of(resource, from_micro(micro))


def _sentences(parts: Sequence[Message]) -> Message:
    names = [f"s{index}" for index in range(len(parts))]
    return Message.of(" ".join(f"{{{name}}}" for name in names), dict(zip(names, parts, strict=True)))
