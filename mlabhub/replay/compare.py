"""Several policies on the same workloads, side by side.

Guarantees: pure but for what ``python -m mlabhub.replay.compare [WORKLOAD ...]`` prints.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace

from mlabhub.replay.baselines import BASELINES
from mlabhub.replay.check import check
from mlabhub.replay.engine import MakeRules, live_rules, run
from mlabhub.replay.report import Report, report
from mlabhub.replay.shapes import SHAPES
from mlabhub.replay.workloads import ALL, Made

MADE = {**ALL, **SHAPES}

POLICIES: Mapping[str, MakeRules] = {"mlabhub": live_rules, **BASELINES}

HEADINGS = (
    "policy",
    "goodput",
    "use",
    "wait",
    "p50",
    "p95",
    "debt",
    "lost",
    "reclaims",
    "most",
    "starved",
    "frag",
    "refused",
    "unfinished",
    "broken",
)


def row(name: str, one: Report) -> tuple[str, ...]:
    """Return a line of figures: shares in percent, waits in minutes, debt and loss in GPU-hours, unusable GPUs."""
    return (
        name,
        f"{one.span.goodput:.1%}",
        f"{one.span.utilisation:.1%}",
        f"{one.waits.mean / 60:.0f}",
        f"{one.waits.p50 / 60:.0f}",
        f"{one.waits.p95 / 60:.0f}",
        f"{one.debt_gpu_hours:.0f}",
        f"{one.lost_gpu_hours:.0f}",
        str(one.reclaims),
        str(one.most_reclaims),
        str(one.starved),
        f"{one.unusable_gpus:.1f}",
        str(one.refused),
        str(one.unfinished),
        str(len(one.notes)),
    )


def compare(
    policies: Mapping[str, MakeRules] | None = None, workloads: Sequence[str] = tuple(MADE), seed: int | None = None
) -> dict[str, dict[str, Report]]:
    """Replay made workloads under each policy; return reports by workload and policy."""
    found: dict[str, dict[str, Report]] = {}
    for name in workloads:
        made = MADE[name]() if seed is None else MADE[name](seed)
        found[name] = {
            policy: _report(made, rules, policy not in BASELINES) for policy, rules in (policies or POLICIES).items()
        }
    return found


def _report(made: Made, rules: MakeRules, notices: bool) -> Report:
    """Replay one policy; what it broke is counted among the notes."""
    outcome = run(made.workload, made.quotas, rules)
    broken = check(made.workload, made.quotas, outcome.events, notices=notices)
    return replace(report(made.workload, made.quotas, outcome), notes=broken)


def table(found: Mapping[str, Mapping[str, Report]]) -> str:
    """Return reports as text, in columns."""
    lines = []
    for name, by_policy in found.items():
        rows = [HEADINGS, *(row(policy, one) for policy, one in by_policy.items())]
        widths = [max(len(line[column]) for line in rows) for column in range(len(HEADINGS))]
        lines.append(name)
        for line in rows:
            cells = [
                line[0].ljust(widths[0]),
                *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)),
            ]
            lines.append("  " + "  ".join(cells))
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(compare(workloads=sys.argv[1:] or tuple(MADE))))
