"""Which image a launch gets: the catalogue's, one's own, a typed one; hidden, retired and restricted ones."""

import pytest

from mlabhub.core.profiles import Catalog, default_choice, opening_image, visible_profiles
from mlabhub.core.resolve import resolve
from mlabhub.errors import InvalidLaunch, NotPermitted
from tests.core.examples import SMALL

DIGEST = "sha256:" + "0123456789abcdef" * 4


def image(slug, **values):
    return {"slug": slug, "display_name": slug.title(), "reference": f"localhost/mlabhub/{slug}:latest", **values}


GPU = {**SMALL, "gpus": [1, 2], "gpu_types": ["t4", "v100", "a100"]}
LAB = Catalog.model_validate(
    {
        "images": [
            image("old", retired={"successor": "torch", "hint": "It has no CUDA 13."}),
            image("older", retired={}),
            image("secret", hidden=True),
            image("vision-only", groups=["vision"]),
            image("vision-secret", groups=["vision"], hidden=True),
            image("torch"),
            image("flow"),
        ],
        "profiles": [
            {
                "slug": "train",
                "display_name": "Train",
                "images": ["old", "secret", "vision-only", "torch"],
                **GPU,
                "purpose": "training",
            },
            {
                "slug": "cpu",
                "display_name": "CPU",
                "images": ["older", "vision-secret", "torch", "flow"],
                **SMALL,
                "own_images": True,
                "typed_images": [
                    {"registry": "master0:5000", "repository": "eflops/*"},
                    {"registry": "r.example.org", "repository": "**"},
                ],
            },
            {"slug": "dev", "display_name": "Dev", "images": ["torch"], **GPU, "purpose": "development"},
            {"slug": "some", "display_name": "Some", "images": ["torch"], **GPU, "groups": ["vision", "nlp"]},
            {"slug": "closed", "display_name": "Closed", "images": ["vision-only"], **SMALL},
        ],
        "gpu_types": {"a100": {"cost": 10}, "t4": {"cost": 2, "display_name": "Tesla T4"}, "v100": {"cost": 1.5}},
        "group_defaults": {
            "vision": {"profile": "train", "image": "vision-only"},
            "nlp": {"profile": "some"},
            "default": {"profile": "cpu", "image": "flow"},
        },
    }
)


def lab(groups=(), present=None, kept_images=(), **options):
    return resolve(LAB, "alice", groups, options, present=present, kept_images=kept_images)


TAKEN = {
    "first that is shown": (["x"], {"profile": "train"}, "torch", "localhost/mlabhub/torch:latest", "catalog"),
    "named": ([], {"profile": "cpu", "image": "torch"}, "torch", "localhost/mlabhub/torch:latest", "catalog"),
    "hidden, named": (
        [],
        {"profile": "train", "image": "secret"},
        "secret",
        "localhost/mlabhub/secret:latest",
        "catalog",
    ),
    "of one's group": (["vision"], {"profile": "train", "image": "vision-only"}, "vision-only", None, "catalog"),
    "group's default": (["vision"], {}, "vision-only", None, "catalog"),
    "group's default, profile named": (["vision"], {"profile": "train"}, "vision-only", None, "catalog"),
    "group's default of another profile": (["vision"], {"profile": "cpu"}, "torch", None, "catalog"),
    "one's own": ([], {"image": "saved/my-env"}, "saved/my-env", "", "saved"),
    "typed": ([], {"image": "master0:5000/eflops/x:1"}, "master0:5000/eflops/x:1", "master0:5000/eflops/x:1", "typed"),
    "typed, without a tag": ([], {"image": "r.example.org/a/b"}, "r.example.org/a/b:latest", None, "typed"),
    "typed, tag and digest": (
        [],
        {"image": f"r.example.org/a:1@{DIGEST}"},
        f"r.example.org/a:1@{DIGEST}",
        f"r.example.org/a@{DIGEST}",
        "typed",
    ),
}


@pytest.mark.parametrize(("groups", "options", "name", "reference", "kind"), TAKEN.values(), ids=TAKEN.keys())
def test_image_that_is_taken(groups, options, name, reference, kind):
    request = lab(groups, **options)
    assert (request.image, request.image_kind) == (name, kind)
    assert reference is None or request.image_reference == reference
    assert lab(groups, **{**options, "profile": request.profile, "image": name}) == request


REFUSED = {
    "unknown": ({"image": "nope"}, 'The image "nope" cannot be chosen; there is: torch, flow.'),
    "unknown says what could be": ({"image": "nope"}, "You may type in: master0:5000/eflops/*, r.example.org/**."),
    "retired": (
        {"profile": "train", "image": "old"},
        'The image "old" is retired. Take "torch" in its place. It has no CUDA 13.',
    ),
    "retired without successor": ({"image": "older"}, 'The image "older" is retired. Choose one of: torch, flow.'),
    "hidden and another group's": ({"image": "vision-secret"}, 'The image "vision-secret" cannot be chosen'),
    "own where not permitted": ({"profile": "dev", "image": "saved/x"}, 'The image "saved/x" cannot be chosen; there'),
    "typed where not permitted": ({"profile": "dev", "image": "r.example.org/x"}, "cannot be chosen; there is: torch."),
    "typed, not allowed": ({"image": "evil.org/x"}, 'The image "evil.org/x:latest" may not be typed in here.'),
    "typed, other port": ({"image": "master0:5001/eflops/x"}, "This profile allows: master0:5000/eflops/*"),
    "typed, deeper": ({"image": "master0:5000/eflops/a/b"}, "may not be typed in here"),
    "typed, digest short": ({"image": "r.example.org/x@sha256:0"}, "not an image's full name"),
    "typed, upper case": ({"image": "r.example.org/X"}, "not an image's full name"),
    "typed, newline": ({"image": "r.example.org/x\n"}, "not an image's full name"),
    "typed, unicode": ({"image": "r.example.org/х"}, "not an image's full name"),
    "typed, no host": ({"image": "library/python"}, "registry, repository and tag or digest"),
    "typed, other people's saved": ({"image": "localhost/mlabhub/saved/bob:base"}, "may not be typed in here"),
    "saved, of nobody": ({"image": "saved/"}, "not the name of a saved image; one looks like saved/my-image"),
    "saved, traversal": ({"image": "saved/../bob/x"}, "not the name of a saved image"),
    "saved, upper case": ({"image": "saved/X"}, "not the name of a saved image"),
    "saved, newline": ({"image": "saved/x\n"}, "not the name of a saved image"),
    "saved, with a tag": ({"image": "saved/x:1"}, "not the name of a saved image"),
    "saved, template": ({"image": "saved/{username}"}, "not the name of a saved image"),
    "saved, long": ({"image": "saved/" + "x" * 41}, "not the name of a saved image"),
    "Saved": ({"image": "Saved/x"}, "not an image's full name"),
    "empty": ({"image": ""}, 'The image "" cannot be chosen'),
    "10 MB": ({"image": "r.example.org/" + "x" * 10_000_000}, "not an image's full name"),
}


@pytest.mark.parametrize(("options", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_image_that_is_refused(options, sentence):
    with pytest.raises(InvalidLaunch) as caught:
        lab([], **options)
    assert sentence in str(caught.value)
    assert str(caught.value).isprintable()
    assert str(caught.value).endswith(".")
    assert len(str(caught.value)) < 400
    assert caught.value.data["key"] == "image"


def test_another_groups_image_is_not_permitted():
    with pytest.raises(NotPermitted, match=r'The image "vision-only" is for other groups; yours: torch\.'):
        lab([], profile="train", image="vision-only")


def test_a_server_may_keep_its_retired_image():
    assert lab([], profile="train", image="old", kept_images=["old"]).image == "old"
    with pytest.raises(InvalidLaunch, match="retired"):
        lab([], profile="train", image="old", kept_images=["older"])


def test_a_profile_is_visible_with_an_image_that_is_shown():
    assert "closed" not in [profile.slug for profile in visible_profiles(LAB, ["nlp"])]
    assert "closed" in [profile.slug for profile in visible_profiles(LAB, ["vision"])]


OPENS = {
    "nobody's group": ([], None, "cpu", "flow"),
    "first group with an entry": (["x", "nlp", "vision"], None, "some", "torch"),
    "image too": (["vision", "nlp"], None, "train", "vision-only"),
    "no GPU there": (["vision"], [], "cpu", "flow"),
    "GPU there": (["vision"], ["t4"], "train", "vision-only"),
}


@pytest.mark.parametrize(("groups", "present", "profile", "image_slug"), OPENS.values(), ids=OPENS.keys())
def test_what_a_form_opens_on_is_what_a_launch_without_a_choice_takes(groups, present, profile, image_slug):
    default = default_choice(LAB, groups, visible_profiles(LAB, groups, present))
    assert default.profile.slug == profile
    assert opening_image(LAB, groups, default.profile, default) == image_slug
    request = lab(groups, present)
    assert (request.profile, request.image) == (profile, image_slug)


def test_without_defaults_a_form_opens_on_the_first_profile_that_takes_no_gpu():
    plain = LAB.model_copy(update={"group_defaults": {}})
    assert resolve(plain, "alice", ["vision"], {}).profile == "cpu"
    gpu_only = plain.model_copy(update={"profiles": LAB.profiles[2:4]})
    assert resolve(gpu_only, "alice", ["vision"], {}).profile == "dev"
    assert default_choice(plain, [], ()) is None


@pytest.mark.parametrize(
    ("profile", "present", "gpu_type"),
    [
        ("train", None, "a100"),
        ("train", ["t4", "v100"], "t4"),
        ("train", ["h100"], "a100"),
        ("dev", None, "v100"),
        ("dev", ["a100", "t4"], "t4"),
        ("some", None, "t4"),
        ("some", ["a100", "v100"], "v100"),
    ],
    ids=str,
)
def test_gpu_type_by_purpose_and_cost(profile, present, gpu_type):
    assert lab(["nlp"], present, profile=profile).gpu_type == gpu_type


CROSS = {
    "successor is not there": ({"images": [image("a", retired={"successor": "b"}), image("c")]}, 'no image "b"'),
    "successor is retired": (
        {"images": [image("a", retired={"successor": "b"}), image("b", retired={}), image("c")]},
        "b is retired itself",
    ),
    "successor of itself": ({"images": [image("a", retired={"successor": "a"}), image("c")]}, "a is retired itself"),
    "nothing shown": ({"images": [image("c", hidden=True)]}, "are all hidden or retired"),
    "default's profile": ({"group_defaults": {"g": {"profile": "q"}}}, 'there is no profile "q"; there are: p'),
    "default's image": ({"group_defaults": {"g": {"profile": "p", "image": "d"}}}, 'has no image "d"; it has: c'),
    "profile of others": (
        {"group_defaults": {"g": {"profile": "p"}}, "profile": {"groups": ["h"]}},
        'p is not for the group "g"',
    ),
    "profile not for everybody": (
        {"group_defaults": {"default": {"profile": "p"}}, "profile": {"groups": ["default"]}},
        "p is not for everybody",
    ),
    "image of others": (
        {"images": [image("c", groups=["h"])], "group_defaults": {"g": {"profile": "p", "image": "c"}}},
        'c is not for the group "g"',
    ),
    "image is retired": (
        {
            "images": [image("c"), image("d", retired={})],
            "profile": {"images": ["c", "d"]},
            "group_defaults": {"g": {"profile": "p", "image": "d"}},
        },
        "d is retired",
    ),
}


@pytest.mark.parametrize(("written", "wrong"), CROSS.values(), ids=CROSS.keys())
def test_references_that_lead_nowhere(written, wrong):
    profile = {"slug": "p", "display_name": "P", "images": ["c"], **SMALL, **written.pop("profile", {})}
    with pytest.raises(ValueError, match=wrong):
        Catalog.model_validate({"images": [image("c")], "profiles": [profile], **written})
