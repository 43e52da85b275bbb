"""What the scheduler's line means, where no recorded start has it."""

from __future__ import annotations

from mlabhub.spawners.kube.scheduling import read_scheduling

LINE = (
    "0/2 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) unavailable due to "
    "PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by another pod. no new claims to "
    "deallocate, preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
)


def test_a_claim_for_one_pod_that_another_has() -> None:
    found = read_scheduling(LINE, ["home"], "/mnt/user/alice")
    assert "one of its claims is in use by another pod (1 of 2)" in str(found.said.message)
    assert not found.short
