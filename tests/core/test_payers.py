"""Who pays by default."""

import pytest

from mlabhub.core.holdings import Holding, Holdings
from mlabhub.core.payers import freest_payer
from tests.core.test_quotas import quotas

QUOTAS = quotas(
    groups={
        "vision": {"guaranteed": {"gpu": 8}, "limit": {"gpu": 16}},
        "nlp": {"guaranteed": {"gpu:a100": 2, "gpu:t4": 4}, "limit": {"gpu": 16}},
        "guests": {"limit": {"gpu": 4}},
        "open": {},
    }
)


def holding(group, gpus):
    uuids = tuple(f"GPU-{group}-{number}" for number in range(gpus))
    return Holding("alice", group, group, group, 1, 1, "a100", uuids, "n1", "held")


@pytest.mark.parametrize(
    ("groups", "used", "payer"),
    [
        ((), {}, None),
        (("others",), {}, "others"),
        (("others", "guests"), {}, "guests"),
        (("nlp", "vision"), {}, "vision"),
        (("nlp", "vision"), {"vision": 2}, "nlp"),
        (("nlp", "vision"), {"vision": 3}, "nlp"),
        (("vision", "nlp"), {"vision": 2}, "nlp"),
        (("vision", "nlp"), {"vision": 9, "nlp": 9}, "vision"),
        (("nlp", "vision"), {"vision": 9, "nlp": 9}, "nlp"),
        (("nlp", "vision"), {"vision": 9, "nlp": 6}, "nlp"),
        (("nlp", "vision"), {"vision": 8, "nlp": 12}, "vision"),
        (("nlp", "guests"), {"nlp": 6}, "nlp"),
        (("nlp", "guests"), {"nlp": 16}, "guests"),
        (("guests", "open"), {}, "open"),
        (("others", "guests", "vision"), {"vision": 7}, "vision"),
    ],
)
def test_the_freest_share_pays(groups, used, payer):
    holdings = Holdings(holding(group, gpus) for group, gpus in used.items())
    assert freest_payer(QUOTAS, groups, holdings) == payer
