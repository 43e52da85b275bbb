"""What is said of servers that may be taken back, are kept for somebody, or are wanted."""

from __future__ import annotations

from typing import Any

import pytest

from mlabhub.core.profiles import Catalog
from mlabhub.core.quotas import Quotas
from mlabhub.ledger import Nudge, QueueEntry, Reservation
from mlabhub.ledger.records import Contents
from mlabhub.service.lent import with_sharing
from mlabhub.service.projection import Projection
from mlabhub.service.views import ServerView
from tests.pages.launcher import CATALOG

VISION = {"vision": {"guaranteed": {"gpu": 2}}}
OWED = {**VISION, "nlp": {"guaranteed": {"gpu": 2}}}


def reservation(launch_id: str = "a", gpus: int = 2, group: str | None = "vision", **more: Any) -> Reservation:
    ids = tuple(f"{launch_id}{number}" for number in range(gpus))
    values: dict[str, Any] = {
        "launch_id": launch_id, "user": "alice", "server": launch_id, "state": "held", "created": 1.0, "changed": 1.0,
        "deadline": None, "group": group, "profile": "gpu", "gpu_type": "a100", "gpus": ids, "node": "n1", "cpu": 1.0,
        "memory_gib": 1.0, **more,
    }  # fmt: skip
    return Reservation(**values)


def entry(launch_id: str, state: str, claim_by: float | None = None) -> QueueEntry:
    return QueueEntry(
        launch_id=launch_id, user="bob", server="b", state=state, since=1, created=1, changed=1, claim_by=claim_by
    )  # type: ignore[arg-type]


def look(*records: Any, groups: dict[str, Any] = OWED, **profile: Any) -> ServerView:
    projection = Projection(Contents((), {}, (), ()))
    for record in records:
        projection.apply(record)
    profiles = tuple(one.model_copy(update=profile) if one.slug == "gpu" else one for one in CATALOG.profiles)
    quotas = Quotas.model_validate({"groups": groups})
    catalog = Catalog(profiles=profiles, images=CATALOG.images, quotas=quotas)
    (view,) = with_sharing([ServerView("alice", "a", "", "running", launch_id="a")], projection, catalog)
    return view


@pytest.mark.parametrize(
    ("records", "groups", "borrowed"),
    [
        pytest.param([reservation()], OWED, False, id="within the guarantee"),
        pytest.param([reservation(gpus=3)], OWED, True, id="beyond it"),
        pytest.param([reservation(), reservation("b", 1)], OWED, True, id="beyond it with others"),
        pytest.param([reservation(gpus=3)], VISION, False, id="nobody else is owed anything"),
        pytest.param([reservation(group=None)], OWED, True, id="no group pays"),
        pytest.param([reservation(group="other")], OWED, True, id="a group without a guarantee"),
        pytest.param([reservation(gpus=0, gpu_type=None)], OWED, False, id="no GPU"),
        pytest.param([reservation(gpus=3, state="stopping")], OWED, False, id="it ends already"),
    ],
)
def test_what_is_borrowed(records: list[Reservation], groups: dict[str, Any], borrowed: bool) -> None:
    view = look(*records, groups=groups)
    assert view.borrowed == borrowed
    assert view.notice_s == (600 if borrowed else None)


def test_a_profile_has_its_own_notice_or_is_never_taken_back() -> None:
    assert look(reservation(gpus=3), notice_seconds=60.0).notice_s == 60
    assert not look(reservation(gpus=3), reclaimable=False).borrowed


def test_until_when_it_is_kept() -> None:
    assert look(reservation(), entry("a", "started", claim_by=9.0)).claim_by == 9.0
    assert look(reservation(), entry("a", "claimed", claim_by=9.0)).claim_by is None


def test_somebody_wants_it_as_long_as_they_wait() -> None:
    nudge = Nudge("a", 5.0, "w")
    assert look(reservation(), entry("w", "waiting"), nudge).wanted == 5.0
    assert look(reservation(), entry("w", "left"), nudge).wanted is None
    assert look(reservation(), nudge).wanted is None
