"""Which folders a server gets."""

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mlabhub.core.identity import GroupId, Identity
from mlabhub.core.mounts import MountChoice
from mlabhub.core.storage import Folder, Mount, Storage, mounts_for, places_for
from mlabhub.errors import InvalidConfiguration, NotPermitted

ALICE = Identity("alice", 200000, 200000, (GroupId("vision", 200001), GroupId("NLP", 200002)))
STORAGE = Storage().located("/srv/state/nas")


def test_home_and_the_groups_shares():
    home, vision, nlp = mounts_for(STORAGE, ALICE)
    private = Folder(200000, 200000, 0o700)
    assert home == Mount("/srv/state/nas/user/alice", "/mnt/user/alice", create=private, share="user")
    shared = Folder(0, 200001, 0o2770)
    assert vision == Mount("/srv/state/nas/share/vision", "/mnt/share/vision", create=shared, share="group:vision")
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
        ({"user_root": "/proc/self"}, "is in /proc, a folder of the system"),
        ({"user_target": "/etc/user"}, "is in /etc, which the images need"),
        ({"user_target": "/opt"}, "is in /opt, which the images need"),
        ({"user_target": "/opt/public"}, "is in /opt, which the images need"),
        ({"user_target": "/opt/publicly/x"}, "is in /opt, which the images need"),
        ({"user_target": "/mnt"}, "lie in one another"),
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


def test_the_public_folder_takes_shares():
    airlock = {"display_name": "Airlock", "source": "/srv/airlock", "target": "/opt/public/airlock", "read_only": True}
    storage = Storage.model_validate({"shares": {"airlock": airlock}}).located("/srv/nas")
    (mount,) = (one for one in mounts_for(storage, ALICE) if one.share == "airlock")
    assert (mount.source, mount.target, mount.read_only) == ("/srv/airlock", "/opt/public/airlock", True)


@given(st.text(), st.lists(st.text(), unique=True, max_size=5))
def test_every_mount_is_one_folder_below_its_root(user, groups):
    identity = Identity(user, 200000, 200000, tuple(GroupId(name, 200001) for name in groups))
    mounts = mounts_for(STORAGE, identity)
    roots = [("/srv/state/nas/user", "/mnt/user"), *[("/srv/state/nas/share", "/mnt/share")] * len(groups)]
    assert [(posixpath.dirname(mount.source), posixpath.dirname(mount.target)) for mount in mounts] == roots
    assert all(posixpath.normpath(mount.source) == mount.source for mount in mounts)
    assert len({mount.target for mount in mounts}) == len(mounts)


LAB = Storage.model_validate(
    {
        "user_root": "/nas/user",
        "share_root": "/nas/share",
        "groups": {
            "research": {
                "user_root": "/nas2/user",
                "share_root": "/nas2/share",
                "user_target": "/mnt2/user",
                "share_target": "/mnt2/share",
            },
            "guests": {"share_root": "/nas3/share", "share_target": "/mnt3/share"},
        },
        "shares": {
            "open": {"display_name": "Open", "source": "/nas/data/open", "target": "/data/open", "read_only": True},
            "xray": {
                "display_name": "X-ray",
                "source": "/nas/data/xray",
                "target": "/data/xray",
                "groups": ["vision"],
                "users": ["carol"],
                "read_only": True,
            },
            "fast": {"display_name": "Fast disk", "source": "/ssd", "target": "/mnt/fast", "tier": "scratch"},
        },
        "mount_prefixes": ["/workspace"],
    }
)
OPEN, FAST = ("open", "/data/open", True, "protected"), ("fast", "/mnt/fast", False, "scratch")
XRAY = ("xray", "/data/xray", True, "protected")


@pytest.mark.parametrize(
    ("user", "groups", "expected"),
    [
        ("dave", [], [("user", "/nas/user/dave", "/mnt/user/dave"), "open", "fast"]),
        ("carol", [], [("user", "/nas/user/carol", "/mnt/user/carol"), "open", "xray", "fast"]),
        (
            "alice",
            ["research"],
            [
                ("user", "/nas2/user/alice", "/mnt2/user/alice"),
                ("group:research", "/nas2/share/research", "/mnt2/share/research"),
                *("open", "fast"),
            ],
        ),
        (
            "alice",
            ["research", "vision"],
            [
                ("user", "/nas/user/alice", "/mnt/user/alice"),
                ("user:research", "/nas2/user/alice", "/mnt2/user/alice"),
                ("group:research", "/nas2/share/research", "/mnt2/share/research"),
                ("group:vision", "/nas/share/vision", "/mnt/share/vision"),
                *("open", "xray", "fast"),
            ],
        ),
        (
            "alice",
            ["guests"],
            [
                ("user", "/nas/user/alice", "/mnt/user/alice"),
                ("group:guests", "/nas3/share/guests", "/mnt3/share/guests"),
                *("open", "fast"),
            ],
        ),
    ],
    ids=["nobody's", "a user of a share", "other roots", "several groups", "only the share elsewhere"],
)
def test_places(user, groups, expected):
    places = places_for(LAB, user, groups)
    own = [(place.share, place.source, place.target) for place in places if place.share not in LAB.shares]
    extra = [place.share for place in places if place.share in LAB.shares]
    assert [*own, *extra] == expected
    assert LAB.home(user, groups) == own[0][2]


def test_extra_shares_are_mounted_as_they_are_said_to_be():
    identity = Identity("alice", 200000, 200000, (GroupId("vision", 200001),))
    mounts = [mount for mount in mounts_for(LAB, identity) if mount.share in LAB.shares]
    assert [(mount.share, mount.target, mount.read_only, mount.tier) for mount in mounts] == [OPEN, XRAY, FAST]
    assert all(mount.optional and mount.create is None for mount in mounts)


def test_what_was_chosen_is_mounted_too_and_never_with_more_rights():
    choices = [
        MountChoice("xray", "/workspace/x", "train/small"),
        MountChoice("group:research", "/workspace/r", read_only=True),
    ]
    identity = Identity("alice", 200000, 200000, (GroupId("vision", 200001), GroupId("research", 200002)))
    xray, research = mounts_for(LAB, identity, chosen=choices)[-2:]
    assert (xray.source, xray.subfolder, xray.target) == ("/nas/data/xray", "train/small", "/workspace/x")
    assert xray.read_only
    assert xray.chosen
    assert not xray.optional
    assert (research.source, research.read_only) == ("/nas2/share/research", True)
    with pytest.raises(NotPermitted, match="not yours"):
        mounts_for(LAB, ALICE, ["NLP"], chosen=choices)


def test_the_workspace_is_as_large_as_it_must_be():
    assert Storage().workspace == "/mnt"
    assert Storage(mount_prefixes=("/mnt/more",)).workspace == "/mnt"
    assert LAB.workspace == "/"
    assert Storage.model_validate({"groups": {"research": LAB.groups["research"]}}).workspace == "/"


def _share(source="/nas/data/x", target="/data/x", **values):
    return {"display_name": "X", "source": source, "target": target, **values}


@pytest.mark.parametrize(
    ("values", "at", "says"),
    [
        ({"groups": {"r": {"user_root": "/nas2"}}}, ("groups", "r", "user_root"), "needs user_target"),
        ({"groups": {"r": {"share_target": "/mnt2"}}}, ("groups", "r", "share_target"), "needs share_root"),
        (
            {"groups": {"r": {"user_root": "/nas/user/all", "user_target": "/mnt2"}}},
            ("groups", "r", "user_root"),
            "lie in",
        ),
        (
            {"groups": {"r": {"user_root": "/nas2", "user_target": "/mnt/user"}}},
            ("groups", "r", "user_target"),
            "lie in",
        ),
        (
            {
                "groups": {
                    "r": {"user_root": "/nas2", "user_target": "/mnt2"},
                    "s": {"share_root": "/nas2/x", "share_target": "/mnt3"},
                }
            },
            ("groups", "s", "share_root"),
            "lie in",
        ),
        ({"shares": {"x": _share("/nas/user/alice")}}, ("shares", "x", "source"), "lie in one another"),
        ({"shares": {"x": _share("/nas")}}, ("shares", "x", "source"), "lie in one another"),
        ({"shares": {"x": _share(target="/mnt/user/alice")}}, ("shares", "x", "target"), "lie in one another"),
        (
            {"shares": {"x": _share("/d/one", "/data/one"), "y": _share("/d/one/y")}},
            ("shares", "y", "source"),
            "lie in one",
        ),
        ({"shares": {"x": _share(), "y": _share("/d/y", "/data/x/y")}}, ("shares", "y", "target"), "lie in one"),
        ({"shares": {"user": _share()}}, ("shares", "user"), "a reserved name"),
        ({"shares": {"x": _share(groups=["a", "a"])}}, ("shares", "x", "groups"), "twice"),
        ({"mount_prefixes": ["/data", "/data"]}, ("mount_prefixes", 1), "twice"),
        ({"mount_prefixes": ["/mnt"]}, ("mount_prefixes", 0), "lie in one another"),
    ],
    ids=lambda value: "" if isinstance(value, str | dict) else ".".join(map(str, value)),
)
def test_contradictions_are_at_their_key(values, at, says):
    with pytest.raises(ValidationError) as caught:
        Storage.model_validate({"user_root": "/nas/user", "share_root": "/nas/share", **values})
    (error,) = caught.value.errors()
    (fault,) = error["ctx"]["faults"]
    assert fault.at == at
    assert says in str(fault.message)


@pytest.mark.parametrize(
    "prefix", ["/", "/etc", "/etc/x", "/opt", "/usr/local", "/tmp", "data", "/data/../etc", "/data/"]
)
def test_prefixes_of_the_system(prefix):
    with pytest.raises(ValidationError, match=r"absolute path|is in /"):
        Storage(mount_prefixes=(prefix,))


@pytest.mark.parametrize("values", [{"tier": "fast"}, {"groups": []}, {"read_only": "yes"}, {"source": None}], ids=str)
def test_wrong_shares(values):
    with pytest.raises(ValidationError):
        Storage.model_validate({"shares": {"x": {**_share(), **values}}})


def test_roots_that_are_found_later_are_compared_too():
    storage = Storage.model_validate({"shares": {"x": _share("/srv/state/nas/user/alice")}})
    with pytest.raises(InvalidConfiguration, match=r"shares\.x\.source"):
        storage.located("/srv/state/nas")
