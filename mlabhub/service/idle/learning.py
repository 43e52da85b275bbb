"""What is known of servers' use, in memory: the last day of each, and what was learned of idle gaps.

Guarantees: what is learned of a gap is learned once for each policy's usual wait; a server that ended while it was
warned, or while its GPUs were asked back, teaches nothing of servers that end by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from mlabhub.core.day_of_use import DayOfUse
from mlabhub.core.idle import samples as columns
from mlabhub.core.idle.fold import Fold, Thresholds, fold_of
from mlabhub.core.idle.gaps import Gaps
from mlabhub.core.idle.policy import LEAST_WINDOW_S, Policy
from mlabhub.core.idle.samples import Samples
from mlabhub.core.readings import Sample

_Key = tuple[float, Thresholds, Thresholds]
"""The usual wait, and what counts as use with GPUs and without."""


def row_of(sample: Sample) -> columns.Sample:
    """Return a sample as verdicts read it."""
    more = sample.more
    return columns.Sample(
        t=sample.t,
        gpus=sample.gpus,
        gpu_util=sample.gpu_util,
        gpu_mem_used=sample.gpu_mem_used,
        cpu_cores=sample.cpu_cores,
        last_activity=more.get("last_activity"),
        input_age=more.get("input_age"),
        kernels_busy=_count(more.get("kernels_busy")),
        terminals_busy=_count(more.get("terminals_busy")),
    )


def _count(value: float | None) -> int | None:
    return None if value is None else int(value)


class Learned:
    """The gaps of all policies that were asked for; those of a new one begin empty."""

    def __init__(self, policies: Iterable[Policy] = ()):
        self._gaps: dict[_Key, Gaps] = {}
        for policy in policies:
            self.gaps(policy)

    def knows(self, policy: Policy) -> bool:
        """Whether a policy's gaps are being learned."""
        return _key(policy) in self._gaps

    def gaps(self, policy: Policy) -> Gaps:
        """Return what was learned for a policy."""
        key = _key(policy)
        return self._gaps.setdefault(key, Gaps(key[0]))

    def adopt(self, other: Learned, policies: Iterable[Policy]) -> None:
        """Take over what another has learned for these policies."""
        for key in map(_key, policies):
            if key in other._gaps:
                self._gaps[key] = other._gaps[key]

    def harvest(self, samples: Samples, server: str, *, ended: bool) -> None:
        """Learn from what is new of a launch; ``ended``: by itself, and these are its last samples."""
        held = samples.gpus
        folds: dict[Thresholds, list[Gaps]] = {}
        for (_, with_gpu, without_gpu), gaps in self._gaps.items():
            folds.setdefault(with_gpu if held else without_gpu, []).append(gaps)
        for thresholds, learning in folds.items():
            _learn(fold_of(samples, thresholds), learning, server, held, ended)


def _key(policy: Policy) -> _Key:
    usual_s = (policy.with_gpu.window_s or LEAST_WINDOW_S) + policy.grace_s
    return usual_s, policy.with_gpu.thresholds, policy.without_gpu.thresholds


def _learn(fold: Fold, learning: Iterable[Gaps], server: str, gpus: int, ended: bool) -> None:
    for gaps in learning:
        for length in fold.gaps:
            gaps.add(server, length, gpus, returned=True)
        if ended and fold.clean and fold.t > fold.busy_t:
            gaps.add(server, fold.t - fold.busy_t, gpus, returned=False)
    del fold.gaps[:]


class Known:
    """The samples of the launches that run, what was learned from all, and how busy GPUs were in the last day."""

    def __init__(self, learned: Learned | None = None):
        self.learned = learned or Learned()
        self.of: dict[str, Samples] = {}
        self.use = DayOfUse()

    def add(self, samples: Iterable[Sample]) -> None:
        """Take samples in, those of each launch by time."""
        for one in samples:
            known = self.of.get(one.launch_id)
            if known is None:
                known = self.of[one.launch_id] = Samples(one.launch_id)
            known.add(row_of(one))
            self.use.add(one)

    def take(self, samples: Iterable[Sample]) -> None:
        """Take samples in, and learn from them."""
        for one in samples:
            self.add((one,))
            self.learned.harvest(self.of[one.launch_id], one.server, ended="end" in one.more)

    def forget(self, but: Collection[str]) -> None:
        """Forget all launches but these."""
        self.of = {launch: one for launch, one in self.of.items() if launch in but}


def remember(
    pieces: Iterator[Sequence[Sample]], policies: Iterable[Policy], running: Collection[str], go_on: Callable[[], bool]
) -> Known:
    """Return what stored samples, a piece after the other, say of the launches that run, and what they teach.

    What ended is forgotten once an hour has passed without it. ``go_on`` is asked often whether the answer is wanted.
    """
    known, spoken, hour = Known(Learned(policies)), set[str](), 0.0
    for piece in pieces:
        if not go_on():
            break
        if piece and piece[0].t // 3600 != hour:
            known.forget({*running, *spoken})
            known.use.forget(piece[0].t)
            hour, spoken = piece[0].t // 3600, set()
        spoken.update(one.launch_id for one in piece)
        known.add(piece)
        for launch, (server, ended) in {one.launch_id: (one.server, "end" in one.more) for one in piece}.items():
            known.learned.harvest(known.of[launch], server, ended=ended)
    known.forget(running)
    return known
