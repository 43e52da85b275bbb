"""Decisions of a replay held against what was promised, by nothing but the lines and the decisions themselves."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from mlabhub.core.idle.policy import Policy
from mlabhub.core.idle.presets import DEFAULT, PRESETS
from tests.replay.idle.traces import MINUTE, START, Line, replayed

part = st.tuples(
    st.sampled_from(["alice/", "bob/", "bob/two"]),
    st.integers(1, 90),
    st.sampled_from([[0.0], [0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [2.0], [6.0], [0.0, 88.0], [None], [0.0, None], None]),
    st.sampled_from([None, 0.1, 1.0]),
    st.sampled_from([None, None, 3.0]),
    st.sampled_from([0.0, 0.0, 0.0, 120.0, 400.0, 3600.0, 40_000.0, -400.0, -3600.0]),
    st.sampled_from(["", "", "", "doubled", "swapped", "thinned", "end"]),
)


def lines(parts) -> list[Line]:
    """Return the lines of some stretches, each of one server, in the order in which they come."""
    clock: dict[str, float] = {}
    found: list[Line] = []
    for server, count, util, cpu, touched, step, how in parts:
        t = clock.get(server, START) + step
        made = []
        for number in range(count):
            t += MINUTE
            line = {"t": t, "server": server, "gpu_util": util, "cpu_cores": cpu, "input_age": touched}
            line["gpus"] = len(util) if util else 1
            made += [line] * (0 if how == "thinned" and number % 4 == 1 else 2 if how == "doubled" else 1)
        if how == "swapped":
            made[::7], made[-1::-7] = made[-1::-7], made[::7]
        if how == "end" and made:
            made[-1] = {**made[-1], "end": True}
        clock[server] = t
        found += made
    return found


def is_busy(line: Line) -> bool:
    """Whether a line says by itself that a GPU is at work."""
    cpu = line["cpu_cores"]
    return any(use and (use >= 10 or (use >= 3 and (cpu is None or cpu >= 0.4))) for use in line["gpu_util"] or ())


def is_idle(line: Line) -> bool:
    """Whether all GPUs were read, and none is at work."""
    return bool(line["gpu_util"]) and None not in line["gpu_util"] and not is_busy(line)


@given(
    st.lists(part, min_size=1, max_size=14),
    st.sampled_from([DEFAULT, DEFAULT.at(1.0), *map(PRESETS.get, ("princeton", "gpu-pruner"))]),
)
@settings(max_examples=150, deadline=None)
def test_nobody_is_stopped_busy_unknown_or_unwarned(parts, policy: Policy):
    recorded = lines(parts)
    decisions = replayed(recorded, policy).decisions
    assert [one.t for one in decisions] == sorted(one.t for one in decisions)
    set_back = {server for server, *_, step, _ in parts if step < 0}
    for at, one in enumerate(decisions):
        if one.action != "stop":
            continue
        own = [line for line in recorded if line["server"] == one.server]
        # A clock that was set back says the same time twice: one of the lines of that time is meant.
        meant = [number for number, line in enumerate(own) if line["t"] == one.t and is_idle(line)]
        assert any(stands_idle(own[: number + 1]) for number in meant)
        before = [other for other in decisions[:at] if other.server == one.server]
        if one.server in set_back:  # decisions are in the order of their times, not in that in which they were made
            assert any(other.action == "warn" and one.t - other.t >= policy.grace_s for other in before)
            continue
        assert before
        assert before[-1].action == "warn"
        told = next(i for i in range(len(before) - 1, -1, -1) if i == 0 or before[i - 1].action != "warn")
        assert one.t - before[told].t >= policy.grace_s


def stands_idle(own: list[Line]) -> bool:
    """Whether a server's lines up to one say that it has been idle for ten minutes, with no hole among them."""
    t = own[-1]["t"]
    ends = [number for number, line in enumerate(own[:-1]) if line.get("end")]
    late = [line for line in own[ends[-1] + 1 if ends else 0 :] if t - 600 <= line["t"] <= t]
    known = sorted(line["t"] for line in late if is_idle(line))
    whole = all(later - earlier <= 660 for earlier, later in zip([t - 600, *known], known, strict=False))
    return whole and not any(is_busy(line) for line in late if line["t"] > t - 600)
