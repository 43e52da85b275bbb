"""Which volume a folder is on."""

from __future__ import annotations

import pytest

from mlabhub.core.kubernetes import DefaultVolume, KubernetesSpec
from mlabhub.core.profiles import Catalog
from mlabhub.core.storage import Storage

STATE = "/var/lib/mlabhub/nas"


def located(storage: dict[str, object], kubernetes: dict[str, object]) -> KubernetesSpec:
    catalog = Catalog.model_construct(
        storage=Storage.model_validate(storage), kubernetes=KubernetesSpec.model_validate(kubernetes)
    )
    return catalog.located(STATE).kubernetes


def test_roots_that_are_ours_get_claims() -> None:
    spec = located({}, {})
    assert [(one.folder, one.known_as) for one in spec.volumes] == [(f"{STATE}/user", "user")]
    spec = located({}, {"group_claim": {"size_gib": 5, "access_mode": "ReadWriteMany"}})
    assert [(one.folder, one.known_as) for one in spec.volumes] == [
        (f"{STATE}/user", "user"),
        (f"{STATE}/share", "share"),
    ]
    assert all(isinstance(one, DefaultVolume) for one in spec.volumes)


def test_roots_of_the_site_get_none() -> None:
    given = {"user_root": "/srv/nas/user", "share_root": "/srv/nas/share"}
    assert located(given, {"group_claim": {"size_gib": 5}}).volumes == ()


def test_a_root_of_ours_may_be_put_on_a_volume_all_the_same() -> None:
    spec = located({}, {"volumes": [{"folder": STATE, "claim": "nas"}]})
    assert [one.claim for one in spec.volumes] == ["nas"]


@pytest.mark.parametrize(
    ("folder", "claim"), [("/srv/nas", "nas"), ("/srv/nas/user/alice", "nas"), ("/srv/nas2", "nas2"), ("/srv", None)]
)
def test_the_volume_of_a_folder(folder: str, claim: str | None) -> None:
    spec = located(
        {"user_root": "/a", "share_root": "/b"},
        {"volumes": [{"folder": "/srv/nas", "claim": "nas"}, {"folder": "/srv/nas2", "claim": "nas2"}]},
    )
    found = spec.volume_of(folder)
    assert (found.claim if found else None) == claim
