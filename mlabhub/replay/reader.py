"""Read a workload from its lines, one at a time.

Guarantees: what is accepted is exactly what is documented (INTERFACES, "Workloads"): no unknown key, no absent one but
``profile`` and ``priority``, no amount that is negative, not finite, or not a number. A fault is one sentence with the
line's number, the offending value and what would be right. Lines out of order are sorted by time, with a note. Memory
grows with the requests, not with the length of what is written about them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn

from mlabhub.core.quote import quote, quote_all
from mlabhub.core.units import is_amount, is_gpu_type
from mlabhub.errors import InvalidConfiguration
from mlabhub.replay.model import Node, Request, Workload

MOST_LINE_BYTES = 16 << 20
MOST_TEXT = 200
MOST_GPUS = 1_000_000
MOST_PRIORITY = 1_000_000
FIRST_LINE = (
    'the first line says what there is: {"cluster": {"nodes": '
    '[{"name": "n1", "gpu_type": "a100", "gpus": 8, "cpu": 96, "memory_gib": 768}]}}'
)
NODE_KEYS = ("name", "gpu_type", "gpus", "cpu", "memory_gib")
REQUEST_KEYS = ("t", "id", "user", "group", "gpu_type", "gpus", "cpu", "memory_gib", "duration_s", "interactive")
OPTIONAL_KEYS = ("profile", "priority")

Json = dict[str, Any]


class InvalidWorkload(InvalidConfiguration):
    """A workload, or a list of events, is not what it should be; the sentence names the line."""

    code = "invalid_workload"


def read_workload(lines: Iterable[bytes]) -> Workload:
    """Return the workload that ``lines`` say. Raises `InvalidWorkload`."""
    numbered = _filled(lines)
    first = next(numbered, None)
    if first is None:
        raise InvalidWorkload(f"line 1: the workload is empty; {FIRST_LINE}.")
    nodes = _cluster(*first)
    requests: list[Request] = []
    line_of: dict[str, int] = {}
    late: list[int] = []
    for number, raw in numbered:
        request = _request(number, _parse(number, raw))
        if request.id in line_of:
            _blame(number, "id", request.id, f"is on line {line_of[request.id]} already; each request has its own id")
        line_of[request.id] = number
        if requests and request.t < requests[-1].t:
            late.append(number)
        requests.append(request)
    if late:
        requests.sort(key=lambda request: request.t)
    return Workload(nodes, tuple(requests), _late_notes(late))


def _late_notes(late: list[int]) -> tuple[str, ...]:
    if not late:
        return ()
    count = f"{len(late)} lines are" if len(late) > 1 else "1 line is"
    return (f"{count} earlier than the line before (the first is line {late[0]}); all were sorted by time.",)


def _filled(lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Number the lines, and leave out the empty ones."""
    for number, raw in enumerate(lines, 1):
        if len(raw) > MOST_LINE_BYTES:
            raise InvalidWorkload(
                f"line {number}: it is longer than {MOST_LINE_BYTES >> 20} MiB; one request is one line."
            )
        if number == 1:
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        if raw.strip():
            yield number, raw


def _parse(number: int, raw: bytes) -> Json:
    """Return the object of a line."""
    try:
        data = json.loads(raw.decode(), object_pairs_hook=_once, parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise InvalidWorkload(f"line {number}: it is not text in UTF-8.") from None
    except _DoubledKeyError as error:
        raise InvalidWorkload(f"line {number}: the key {quote(str(error))} is there twice; leave one.") from None
    except _ConstantError as error:
        raise InvalidWorkload(f"line {number}: {error} is not a number; write one that is finite.") from None
    except RecursionError:
        raise InvalidWorkload(f"line {number}: it is nested too deeply; a request is one flat object.") from None
    except ValueError as error:
        shown = quote(raw.decode(errors="replace").strip())
        raise InvalidWorkload(f"line {number}: {shown} is not JSON ({error}); each line is one object.") from None
    if not isinstance(data, dict):
        raise InvalidWorkload(f"line {number}: {quote(data)} is not an object; each line is one object of JSON.")
    return data


class _DoubledKeyError(Exception):
    pass


class _ConstantError(Exception):
    pass


def _once(pairs: list[tuple[str, Any]]) -> Json:
    data = dict(pairs)
    if len(data) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _DoubledKeyError(key)
            seen.add(key)
    return data


def _no_constant(name: str) -> NoReturn:
    raise _ConstantError(name)


def _cluster(number: int, raw: bytes) -> tuple[Node, ...]:
    data = _parse(number, raw)
    if "cluster" not in data:
        raise InvalidWorkload(f"line {number}: there is no cluster in {quote(data)}; {FIRST_LINE}.")
    _keys(number, "", data, ("cluster",), ())
    cluster = data["cluster"]
    if not isinstance(cluster, dict):
        _blame(number, "cluster", cluster, 'is not an object; it would be {"nodes": [...]}')
    _keys(number, "cluster.", cluster, ("nodes",), ())
    nodes = cluster["nodes"]
    if not isinstance(nodes, list) or not nodes:
        _blame(number, "cluster.nodes", nodes, "is not a list of nodes, one or more")
    found: dict[str, Node] = {}
    for index, one in enumerate(nodes):
        node = _node(number, f"cluster.nodes[{index}]", one)
        if node.name in found:
            _blame(number, f"cluster.nodes[{index}].name", node.name, "is there twice; each node has its own name")
        found[node.name] = node
    return tuple(found.values())


def _node(number: int, at: str, one: object) -> Node:
    if not isinstance(one, dict):
        _blame(number, at, one, "is not an object; a node has name, gpu_type, gpus, cpu and memory_gib")
    take = _taker(number, f"{at}.", one, NODE_KEYS, ())
    node = Node(
        name=take("name", _text, TEXT),
        gpu_type=take("gpu_type", _gpu_type, GPU_TYPE),
        gpus=take("gpus", _count, COUNT),
        cpu=take("cpu", _amount, AMOUNT),
        memory_gib=take("memory_gib", _amount, AMOUNT),
    )
    if node.gpus and node.gpu_type is None:
        _blame(number, f"{at}.gpu_type", None, f"does not say of which type its {node.gpus} GPUs are, such as a100")
    return node


def _request(number: int, data: Json) -> Request:
    take = _taker(number, "", data, REQUEST_KEYS, OPTIONAL_KEYS)
    return Request(
        t=take("t", _amount, "a time in seconds, 0 or more, such as 3600.0"),
        id=take("id", _text, TEXT),
        user=take("user", _text, TEXT),
        group=take("group", _text_or_none, f"{TEXT}, or null where no group pays"),
        gpu_type=take("gpu_type", _gpu_type, GPU_TYPE),
        gpus=take("gpus", _count, COUNT),
        cpu=take("cpu", _amount, AMOUNT),
        memory_gib=take("memory_gib", _amount, AMOUNT),
        duration_s=take("duration_s", _amount, "a number of seconds, 0 or more, such as 7200.0"),
        interactive=take("interactive", _flag, "true or false"),
        profile=take("profile", _text, TEXT) if "profile" in data else "",
        priority=take("priority", _whole, "a whole number such as 0") if "priority" in data else 0,
    )


TEXT = f'a text of 1 to {MOST_TEXT} characters, such as "r17"'
GPU_TYPE = 'a type such as "a100", in small letters and digits with hyphens between, or null for any'
COUNT = "a whole number, 0 or more, such as 2"
AMOUNT = "a finite number, 0 or more, such as 16"
_WRONG = object()


def _text(value: object) -> object:
    return value if isinstance(value, str) and 1 <= len(value) <= MOST_TEXT else _WRONG


def _text_or_none(value: object) -> object:
    return None if value is None else _text(value)


def _gpu_type(value: object) -> object:
    return value if value is None or is_gpu_type(value) else _WRONG


def _count(value: object) -> object:
    whole = _whole(value)
    return whole if isinstance(whole, int) and 0 <= whole <= MOST_GPUS else _WRONG


def _whole(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value or abs(value) > MOST_PRIORITY:
        return _WRONG
    return int(value) if value == int(value) else _WRONG


def _amount(value: object) -> object:
    return float(value) if is_amount(value) else _WRONG  # type: ignore[arg-type]  # an amount is a number


def _flag(value: object) -> object:
    return value if isinstance(value, bool) else _WRONG


def _taker(
    number: int, at: str, data: Json, needed: tuple[str, ...], optional: tuple[str, ...]
) -> Callable[[str, Callable[[object], object], str], Any]:
    """Check an object's keys; return what takes one value of it."""
    _keys(number, at, data, needed, optional)

    def take(key: str, read: Callable[[object], object], right: str) -> Any:
        value = read(data[key])
        if value is _WRONG:
            _blame(number, at + key, data[key], f"is not {right}")
        return value

    return take


def _keys(number: int, at: str, data: Json, needed: tuple[str, ...], optional: tuple[str, ...]) -> None:
    for key in needed:
        if key not in data:
            raise InvalidWorkload(f"line {number}: {at}{key} is missing; there must be {quote_all(needed)}.")
    if len(data) > len(needed):
        known = (*needed, *optional)
        for key in data:
            if key not in known:
                raise InvalidWorkload(f"line {number}: {at}{quote(key)} is not known; there are {quote_all(known)}.")


def _blame(number: int, at: str, value: object, what: str) -> NoReturn:
    raise InvalidWorkload(f"line {number}: {at}: {quote(value)} {what}.")
