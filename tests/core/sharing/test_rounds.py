"""Rounds over small clusters in which time passes; `loop.Cluster` checks the invariants after each."""

import random

import pytest

from mlabhub.core.quotas import Quotas
from tests.core.sharing.loop import make_jobs, make_machine, replay

QUOTAS = Quotas.model_validate(
    {
        "groups": {
            "vision": {"guaranteed": {"gpu": 10, "gpu:a100": 8}, "limit": {"gpu": 20}},
            "nlp": {"guaranteed": {"gpu": 8}},
            "bio": {},
        },
        "users": {"default": {"gpu": 16}},
    }
)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_busy_week_breaks_nothing(seed):
    machines = [make_machine("n1", "a100", 8, 96, 768), make_machine("n2", "t4", 8, 96, 768)]
    jobs = make_jobs(random.Random(seed), ["vision", "nlp", "bio"], ["a100", "t4"], days=3, load=1.2, gpus_total=16)
    report = replay(machines, QUOTAS, jobs)
    assert report.unserved == 0
    assert report.most_reclaims <= 3
