"""The projection after a restart is what it was before."""

from __future__ import annotations

from mlabhub.ledger import MemoryLedger, StoredAnswer
from mlabhub.service.projection import Projection
from tests.ledger.test_contract import reservation


def rebuilt(ledger: MemoryLedger) -> Projection:
    return Projection(ledger.load(0.0))


def test_what_was_released_stays_spent_across_a_restart_until_it_is_old() -> None:
    ledger = MemoryLedger()
    ledger.commit([reservation("L1", state="released", released=100.0), reservation("L2", server="x")])
    projection = rebuilt(ledger)
    projection.forget(before=50.0)
    assert projection.is_spent("L1")
    assert not projection.is_spent("L2")
    projection.forget(before=150.0)
    assert not projection.is_spent("L1")


def test_a_launch_that_is_released_gives_everything_back() -> None:
    projection = rebuilt(MemoryLedger())
    held = reservation("L1", gpus=("GPU-1",))
    projection.apply(held)
    assert projection.of_server("alice", "") == projection.launch("L1") == held
    assert projection.of_user("alice") == (held,)
    assert not projection.holdings.is_free("GPU-1")
    projection.apply(reservation("L1", gpus=("GPU-1",), state="released", released=5.0))
    assert projection.of_server("alice", "") is None
    assert projection.of_user("alice") == ()
    assert projection.holdings.is_free("GPU-1")
    assert projection.is_spent("L1")
    assert len(projection) == 0


def test_the_release_of_an_old_launch_leaves_the_new_one_alone() -> None:
    projection = rebuilt(MemoryLedger())
    projection.apply(reservation("L1", gpus=("GPU-1",)))
    projection.apply(reservation("L1", gpus=("GPU-1",), state="released", released=5.0))
    projection.apply(reservation("L2", gpus=("GPU-1",)))
    projection.apply(reservation("L1", gpus=("GPU-1",), state="released", released=5.0))
    assert [one.launch_id for one in projection] == ["L2"]
    assert not projection.holdings.is_free("GPU-1")


def test_old_answers_are_forgotten() -> None:
    ledger = MemoryLedger()
    ledger.commit([StoredAnswer("alice", "k", "f", 201, {}, 100.0)])
    projection = rebuilt(ledger)
    projection.forget(before=50.0)
    assert projection.answer("alice", "k") is not None
    projection.forget(before=150.0)
    assert projection.answer("alice", "k") is None
