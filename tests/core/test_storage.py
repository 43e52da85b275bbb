"""Which folders a server gets."""

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mlabhub.core.identity import GroupId, Identity
from mlabhub.core.storage import Folder, Mount, Storage, mounts_for
from mlabhub.errors import InvalidConfiguration

ALICE = Identity("alice", 200000, 200000, (GroupId("vision", 200001), GroupId("NLP", 200002)))
STORAGE = Storage().located("/srv/state/nas")


def test_home_and_the_groups_shares():
    home, vision, nlp = mounts_for(STORAGE, ALICE)
    assert home == Mount("/srv/state/nas/user/alice", "/mnt/user/alice", False, Folder(200000, 200000, 0o700))
    assert vision == Mount("/srv/state/nas/share/vision", "/mnt/share/vision", False, Folder(0, 200001, 0o2770))
    assert nlp.source.startswith("/srv/state/nas/share/nlp---")
    assert nlp.target.startswith("/mnt/share/nlp---")


def test_some_groups_only():
    assert [mount.target for mount in mounts_for(STORAGE, ALICE, ["vision", "other"])] == [
        "/mnt/user/alice",
        "/mnt/share/vision",
    ]


def test_own_roots_stay():
    located = Storage(user_root="/nas/home", user_target="/mnt/home").located("/srv/state/nas")
    assert located.user_root == "/nas/home"
    assert located.share_root == "/srv/state/nas/share"
    assert located.home("alice") == "/mnt/home/alice"


def test_roots_must_be_known():
    with pytest.raises(InvalidConfiguration, match="not known"):
        mounts_for(Storage(), ALICE)


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        ({"user_root": "nas/user"}, "absolute path"),
        ({"user_root": "/nas/../etc"}, "absolute path"),
        ({"user_root": "/nas/user/"}, "absolute path"),
        ({"user_root": "//nas/user"}, "absolute path"),
        ({"user_root": "/nas//user"}, "absolute path"),
        ({"user_root": "/"}, "absolute path"),
        ({"user_root": ""}, "absolute path"),
        ({"user_root": "/nas/a:b"}, "absolute path"),
        ({"user_root": "/nas/a\nb"}, "absolute path"),
        ({"user_root": 5}, "string"),
        ({"user_target": "/home"}, "below /mnt"),
        ({"user_target": "/mnt"}, "below /mnt"),
        ({"user_target": "/mnt/../etc"}, "absolute path"),
        ({"share_target": "/mnt/user"}, "lie in one another"),
        ({"share_target": "/mnt/user/share"}, "lie in one another"),
        ({"user_root": "/nas/all/user", "share_root": "/nas/all"}, "lie in one another"),
        ({"share": "/nas"}, "Extra"),
    ],
    ids=str,
)
def test_wrong(values, wrong):
    with pytest.raises(ValidationError, match=wrong):
        Storage.model_validate(values)


@given(st.text(), st.lists(st.text(), unique=True, max_size=5))
def test_every_mount_is_one_folder_below_its_root(user, groups):
    identity = Identity(user, 200000, 200000, tuple(GroupId(name, 200001) for name in groups))
    mounts = mounts_for(STORAGE, identity)
    roots = [("/srv/state/nas/user", "/mnt/user"), *[("/srv/state/nas/share", "/mnt/share")] * len(groups)]
    assert [(posixpath.dirname(mount.source), posixpath.dirname(mount.target)) for mount in mounts] == roots
    assert all(posixpath.normpath(mount.source) == mount.source for mount in mounts)
    assert len({mount.target for mount in mounts}) == len(mounts)
