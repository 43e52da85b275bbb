"""From DCGM's metrics, as Prometheus has them, to a server's reading.

Guarantees: pure. A GPU is a server's if its series names the server's pod, or else no pod and the GPU's UUID. Where
several jobs scraped the same, one that is whole suffices. What DCGM calls blank is no number.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from mlabhub.core.readings import Reading, Value, Watched
from mlabhub.messages import N_, Message
from mlabhub.samplers.series import NONE, Series, Terms, pod_of, whole

ENGINE = "DCGM_FI_PROF_GR_ENGINE_ACTIVE"
UTIL = "DCGM_FI_DEV_GPU_UTIL"
MEMORY = "DCGM_FI_DEV_FB_USED"
SELECTOR = f'{{__name__=~"{ENGINE}|{UTIL}|{MEMORY}"}}'

_UNITS = {ENGINE: 100.0, UTIL: 1.0, MEMORY: float(2**20)}
"""What makes percents of a share, and bytes of MiB."""
_MOST = {ENGINE: 1.01, UTIL: 100.0, MEMORY: float(2**24)}
"""DCGM says "blank" by numbers that are larger than any of these; an average of shares may be a little over one."""

OTHER_COUNT = N_("Prometheus tells of {found} GPUs of {server}, which holds {held}.")

_Metrics = Mapping[str, Sequence[Series]]
"""The series of one GPU by what they measure."""


class Dcgm:
    """The series of all GPUs, by whose they are."""

    def __init__(self, told: Iterable[Series]):
        self._of_pod: dict[tuple[str, str], list[Series]] = defaultdict(list)
        self._loose: dict[str, list[Series]] = defaultdict(list)
        for series in told:
            pod = pod_of(series)
            if pod[0]:
                self._of_pod[pod].append(series)
            elif not series.labels.get("GPU_I_ID"):
                self._loose[_uuid(series)].append(series)

    def reading(self, one: Watched, terms: Terms, now: float) -> Reading:
        """Return what is told of a server's GPUs: in the order of those that it holds, if their UUIDs are known."""
        places, reason = self._places(one)
        reasons = [] if reason is None else [reason]
        util: list[Value] = []
        memory: list[Value] = []
        for metrics in places:
            busy = _highest(metrics, ENGINE, one, terms, now) if ENGINE in metrics else None
            if busy is None or isinstance(busy, Message):
                busy = _highest(metrics, UTIL, one, terms, now) if busy is None or UTIL in metrics else busy
            used = _highest(metrics, MEMORY, one, terms, now)
            util.append(None if isinstance(busy, Message) else min(busy, 100.0))
            memory.append(None if isinstance(used, Message) else used)
            reasons += [value for value in (busy, used) if isinstance(value, Message)]
        return Reading(
            one.server,
            one.launch_id,
            now,
            tuple(util),
            tuple(memory),
            span_s=terms.window_s,
            reasons=tuple(dict.fromkeys(reasons)),
        )

    def _places(self, one: Watched) -> tuple[list[_Metrics], Message | None]:
        """Return what is told of each GPU that a server holds."""
        mine: dict[tuple[str, str], list[Series]] = defaultdict(list)
        for series in self._of_pod.get((one.pod, one.namespace), ()) if one.pod else ():
            mine[_uuid(series), series.labels.get("GPU_I_ID", "")].append(series)
        named = [mine.get((gpu, "")) or self._loose.get(gpu) for gpu in one.gpus]
        if all(named):
            return [_by_name(series or ()) for series in named], None
        found = [_by_name(mine[key]) for key in sorted(mine)]
        held = len(one.gpus)
        if len(found) == held:
            return found, None
        reason = Message.of(OTHER_COUNT, server=one.server, found=len(found), held=held)
        kept = found if len(found) < held else []
        return [*kept, *[{}] * (held - len(kept))], reason


def _uuid(series: Series) -> str:
    return series.labels.get("UUID") or series.labels.get("uuid", "")


def _by_name(told: Iterable[Series]) -> _Metrics:
    found: dict[str, list[Series]] = defaultdict(list)
    for series in told:
        found[series.labels.get("__name__", "")].append(series)
    return found


def _highest(metrics: _Metrics, name: str, one: Watched, terms: Terms, now: float) -> float | Message:
    """Return the highest of a measure in the window, or why that is not known."""
    what = f"{name} ({one.server})"
    fit: list[float] = []
    reason = Message.of(NONE, what=what)
    for series in metrics.get(name, ()):
        points = whole(series.points, terms, now, started=one.started, what=what, most=_MOST[name])
        if isinstance(points, Message):
            reason = points
        else:
            fit.append(max(value for _, value in points) * _UNITS[name])
    return max(fit) if fit else reason
