"""Replay: a workload run through the rules of sharing on a virtual cluster, with a virtual clock.

Guarantees: pure, as the rules are: no I/O, no clock, no chance but that of made workloads' seeds. The rules are those
that decide live, not a model of them.

To try a variant of the rules on all made workloads, beside the live ones::

    from mlabhub.replay.compare import compare, table
    from functools import partial
    print(table(compare({"live": live_rules, "mine": partial(live_rules, policy=Policy(reserve_s=0.0))})))

or on one: ``report(made.workload, made.quotas, run(made.workload, made.quotas, my_rules))``, where ``my_rules(workload,
quotas)`` returns `Rules`. ``.venv/bin/python -m mlabhub.replay.compare [WORKLOAD ...]`` prints the live rules and the
baselines on made workloads.
"""

from mlabhub.replay.engine import MakeRules, Rules, live_rules, run
from mlabhub.replay.model import Event, Node, Outcome, Request, Terms, Workload
from mlabhub.replay.reader import InvalidWorkload, read_workload
from mlabhub.replay.report import Report, report

__all__ = [
    "Event",
    "InvalidWorkload",
    "MakeRules",
    "Node",
    "Outcome",
    "Report",
    "Request",
    "Rules",
    "Terms",
    "Workload",
    "live_rules",
    "read_workload",
    "report",
    "run",
]
