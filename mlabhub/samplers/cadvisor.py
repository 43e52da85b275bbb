"""From cAdvisor's counters of CPU time, as Prometheus has them, to a server's reading.

Guarantees: pure. A pod's cores are the sum over its containers; if one of those is not known, neither is the sum. Of a
container that several jobs scraped, or that was started again, one whole series suffices, and it counts once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise

from mlabhub.core.readings import Reading, Watched
from mlabhub.messages import N_, Message
from mlabhub.samplers.series import NONE, ONE, Series, Terms, pod_of, whole

CPU = "container_cpu_usage_seconds_total"
PAUSE = "POD"
"""What cAdvisor calls the container that only keeps a pod's namespaces."""

WENT_BACK = N_("The count of {server}'s CPU time went back, so its use of CPU in between is not known.")


class Cadvisor:
    """The counters of all pods."""

    def __init__(self, told: Iterable[Series]):
        self._of_pod: dict[tuple[str, str], list[Series]] = defaultdict(list)
        for series in told:
            self._of_pod[pod_of(series)].append(series)

    def knows(self, watched: Iterable[Watched]) -> bool:
        """Return whether any of these servers' pods is there."""
        return any((one.pod, one.namespace) in self._of_pod for one in watched)

    def reading(self, one: Watched, terms: Terms, now: float) -> Reading:
        """Return the cores of a server's pod."""
        told = self._cores(one, terms, now)
        if isinstance(told, Message):
            return Reading(one.server, one.launch_id, now, span_s=terms.window_s, reasons=(told,))
        return Reading(one.server, one.launch_id, now, cpu_cores=told, span_s=terms.window_s)

    def _cores(self, one: Watched, terms: Terms, now: float) -> float | Message:
        """Sum over the containers; where a cluster tells of pods as a whole only, take those."""
        by_name: dict[str, list[Series]] = defaultdict(list)
        for series in self._of_pod.get((one.pod, one.namespace), ()):
            by_name[series.labels.get("container", "")].append(series)
        named = [group for name, group in by_name.items() if name not in ("", PAUSE)]
        groups = named or [group for name, group in by_name.items() if name == ""]
        if not groups:
            return Message.of(NONE, what=f"{CPU} ({one.server})")
        return _sum(_of_container(one, group, terms, now) for group in groups)


def _sum(each: Iterable[float | Message]) -> float | Message:
    total = 0.0
    for value in each:
        if isinstance(value, Message):
            return value
        total += value
    return total


def _of_container(one: Watched, group: Sequence[Series], terms: Terms, now: float) -> float | Message:
    """Return a container's cores; a source may count each CPU by itself."""
    by_source: dict[tuple[tuple[str, str], ...], list[Series]] = defaultdict(list)
    for series in group:
        source = tuple(sorted((name, value) for name, value in series.labels.items() if name != "cpu"))
        by_source[source].append(series)
    sums = [_sum(_rate(one, series, terms, now) for series in parts) for parts in by_source.values()]
    fit = [value for value in sums if not isinstance(value, Message)]
    return max(fit) if fit else sums[0]


def _rate(one: Watched, series: Series, terms: Terms, now: float) -> float | Message:
    """Return the mean cores of one counter over the window."""
    what = f"{CPU} ({one.server})"
    points = whole(series.points, terms, now, started=one.started, what=what)
    if isinstance(points, Message):
        return points
    if any(later < earlier for (_, earlier), (_, later) in pairwise(points)):
        return Message.of(WENT_BACK, server=one.server)
    (first, least), (last, most) = points[0], points[-1]
    return (most - least) / (last - first) if last > first else Message.of(ONE, what=what)
