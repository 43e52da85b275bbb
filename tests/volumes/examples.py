"""Plans and specifications for the tests of storage on a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mlabhub.core.identity import GroupId, Identity
from mlabhub.core.kubernetes import KubernetesSpec
from mlabhub.core.mounts import MountChoice
from mlabhub.core.plan import LaunchPlan
from mlabhub.core.storage import Storage, mounts_for
from tests.core.test_plan import plan_for

STATE = "/var/lib/mlabhub/nas"
ALICE = Identity("alice", 200000, 200000, (GroupId("vision", 200001),))


def example_of(
    storage: dict[str, Any] | None = None,
    kubernetes: dict[str, Any] | None = None,
    *,
    identity: Identity = ALICE,
    chosen: Sequence[MountChoice] = (),
    node: str = "n1",
) -> tuple[LaunchPlan, KubernetesSpec]:
    """Return a plan with the mounts of one's storage, and the located specification."""
    given = Storage.model_validate(storage or {})
    located = given.located(STATE)
    spec = KubernetesSpec.model_validate(kubernetes or {}).located(
        user_root=None if given.user_root else located.user_root,
        share_root=None if given.share_root else located.share_root,
    )
    mounts = mounts_for(located, identity, chosen=chosen)
    return replace(plan_for(identity.name), identity=identity, mounts=mounts, node=node), spec
