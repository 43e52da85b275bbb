"""The launch option ``mounts``."""

import posixpath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlabhub.core.mounts import MOST_MOUNTS, MountChoice, read_mounts
from mlabhub.core.storage import Place
from mlabhub.errors import InvalidLaunch, MLabError, NotPermitted

PLACES = (
    Place("user", "/nas/user/alice", "/mnt/user/alice"),
    Place("group:vision", "/nas/share/vision", "/mnt/share/vision"),
    Place("imagenet", "/nas/data/imagenet", "/data/imagenet", "ImageNet", read_only=True),
)
PREFIXES = ("/data", "/workspace")


def read(value, *, permitted=True, prefixes=PREFIXES):
    return read_mounts(value, PLACES, prefixes, permitted=permitted)


def one(**values):
    return [{"share": "imagenet", "target": "/data/x", **values}]


@pytest.mark.parametrize("value", [None, [], ()], ids=str)
def test_nothing(value):
    assert read(value, permitted=False, prefixes=()) == ()


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"share": "user", "target": "/workspace/me"}, MountChoice("user", "/workspace/me")),
        (
            {"share": "group:vision", "target": "/data/a/b", "subfolder": "runs/7", "read_only": True},
            MountChoice("group:vision", "/data/a/b", "runs/7", True),
        ),
        ({"share": "imagenet", "target": "/data/x", "read_only": None}, MountChoice("imagenet", "/data/x", "", True)),
        (
            {"share": "imagenet", "target": "/data/图", "subfolder": "..train/a b"},
            MountChoice("imagenet", "/data/图", "..train/a b", True),
        ),
    ],
    ids=["private", "tightened", "as the share is", "names of any letters"],
)
def test_accepted(entry, expected):
    assert read([entry]) == (expected,)


@pytest.mark.parametrize(
    ("value", "kind", "says"),
    [
        ("x", InvalidLaunch, "must be a list"),
        ({"share": "user"}, InvalidLaunch, "must be a list"),
        ([1], InvalidLaunch, "A mount must be an object"),
        (one(source="/etc"), InvalidLaunch, 'cannot have "source"'),
        (one(share="secret"), NotPermitted, 'no share "secret"'),
        (one(share="group:nlp"), NotPermitted, "that you may mount"),
        (one(share="user/../bob"), NotPermitted, "that you may mount"),
        (one(share=7), InvalidLaunch, "that you may mount"),
        (one(share=None), InvalidLaunch, "that you may mount"),
        (one(read_only=False), NotPermitted, "can only be read"),
        (one(read_only="no"), InvalidLaunch, "true or false"),
        (one(read_only=0), InvalidLaunch, "true or false"),
        *[
            (one(target=target), InvalidLaunch, "Nothing can be mounted at")
            for target in (
                *(None, 5, "", "/", "/etc", "data/x", "/data", "/data/", "/data//x", "/data/../etc", "/data/./x"),
                *("/dataset/x", "/data/x\n", "/data/\0", "/data/x:y", "/data/" + "x" * 200, "/opt/x", "//data/x"),
                *("/data/\ud800", "/mnt/user/bob"),
            )
        ],
        *[
            (one(target=target), InvalidLaunch, "is mounted already")
            for target in ("/data/imagenet", "/data/imagenet/train")
        ],
        ([*one(), *one()], InvalidLaunch, "/data/x is mounted already"),
        ([*one(), *one(target="/data/x/y")], InvalidLaunch, "/data/x is mounted already"),
        ([*one(target="/data/x/y"), *one()], InvalidLaunch, "/data/x/y is mounted already"),
        *[
            (one(subfolder=subfolder), InvalidLaunch, "The subfolder")
            for subfolder in (
                *("..", "a/..", "../bob", "a/../../b", ".", "./a", "/etc", "a//b", "a/", "a\0b", "a\nb", "\ud800"),
                *("x" * 256, "é" * 128, "a/" * 500 + "b", 7, [], True),
            )
        ],
        ([{"share": "user", "target": f"/data/{n}"} for n in range(MOST_MOUNTS + 1)], InvalidLaunch, "at most 16"),
    ],
    ids=lambda value: None if isinstance(value, type) else str(value).encode("ascii", "replace").decode()[:60],
)
def test_refused(value, kind, says):
    with pytest.raises(kind) as caught:
        read(value)
    assert says in str(caught.value)
    assert str(caught.value).isprintable()


def test_only_where_profile_and_storage_allow_it():
    with pytest.raises(NotPermitted, match="This profile"):
        read(one(), permitted=False)
    with pytest.raises(NotPermitted, match="names no mount_prefixes"):
        read(one(), prefixes=())


def assert_is_a_sentence(error):
    assert error.status < 500
    assert len(str(error)) < 450


names = st.text() | st.sampled_from(["..", ".", "", "a", "train", "user", "imagenet", "group:vision", "\0", "/"])
paths = st.lists(names, max_size=5).map("/".join) | st.lists(names, max_size=4).map(lambda p: "/data/" + "/".join(p))
leaves = st.none() | st.booleans() | st.floats() | names | paths
entries = st.dictionaries(st.sampled_from(["share", "subfolder", "target", "read_only", "x"]), leaves) | leaves
sound = st.fixed_dictionaries(
    {"share": st.sampled_from([place.share for place in PLACES]), "target": paths},
    optional={"subfolder": paths, "read_only": st.booleans()},
)


@settings(max_examples=300)
@given(st.lists(entries | sound, max_size=4) | leaves)
def test_total_and_never_out_of_bounds(value):
    try:
        choices = read(value)
    except MLabError as error:
        assert_is_a_sentence(error)
        return
    shares = {place.share: place for place in PLACES}
    targets = [place.target for place in PLACES]
    for choice in choices:
        assert shares[choice.share].read_only <= choice.read_only
        inside = posixpath.normpath(f"/share/{choice.subfolder}")
        assert inside == f"/share/{choice.subfolder}".rstrip("/")
        assert any(choice.target.startswith(f"{prefix}/") for prefix in PREFIXES)
        assert not any(f"{choice.target}/".startswith(f"{other}/") for other in targets)
        assert not any(f"{other}/".startswith(f"{choice.target}/") for other in targets)
        targets.append(choice.target)
