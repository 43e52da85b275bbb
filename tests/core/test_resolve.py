"""The gate: whatever comes in, a request within the catalogue or a sentence comes out."""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mlabhub.core.admission import Capacity
from mlabhub.core.bounds import bounded_by
from mlabhub.core.gate import KEYS
from mlabhub.core.profiles import (
    Catalog,
    LaunchRequest,
    NumberOption,
    default_payer,
    visible_profiles,
)
from mlabhub.core.quotas import Quotas
from mlabhub.core.resolve import resolve
from mlabhub.errors import InvalidLaunch, MLabError, NotPermitted
from tests.core.examples import CATALOG, LAUNCH_ID, SMALL, TORCH, make_node, resolve_for

ALL_GROUPS = ["vision", "research"]


def test_empty_options_are_the_first_profiles_defaults():
    assert resolve_for(["vision"], {}) == LaunchRequest(
        user="alice",
        server_name="",
        profile="cpu",
        image="base",
        image_reference="localhost/mlabhub/base:latest",
        group="vision",
        gpu_type=None,
        gpus=0,
        gpu_ids=None,
        cpu=2.0,
        memory_gib=4.0,
        shm_gib=2.0,
        pids=4096,
        sudo=False,
        options={},
        tools=("lab", "vscode", "terminal"),
    )


def test_null_is_as_good_as_absent():
    nothing = dict.fromkeys(key for key in KEYS if key != "launch_id")
    assert resolve_for(["vision"], nothing) == resolve_for(["vision"], {})


def test_everything_said():
    options = {
        "profile": "gpu",
        "image": "torch",
        "group": "research",
        "gpu_type": "t4",
        "gpus": 2,
        "gpu_ids": ["GPU-1", "GPU-2"],
        "cpu": 16,
        "memory_gib": 64.0,
        "options": {"shm_gib": 16},
        "launch_id": LAUNCH_ID,
    }
    request = resolve(CATALOG, "alice", ALL_GROUPS, options, "train")
    assert request == LaunchRequest(
        user="alice",
        server_name="train",
        profile="gpu",
        image="torch",
        image_reference=TORCH,
        group="research",
        gpu_type="t4",
        gpus=2,
        gpu_ids=("GPU-1", "GPU-2"),
        cpu=16.0,
        memory_gib=64.0,
        shm_gib=16.0,
        pids=4096,
        sudo=False,
        options={"shm_gib": 16.0},
        tools=("lab", "vscode", "terminal"),
    )
    assert resolve(CATALOG, "alice", ALL_GROUPS, json.loads(json.dumps(options)), "train") == request


@pytest.mark.parametrize(
    ("options", "gpu_type", "gpus"),
    [
        ({"profile": "gpu"}, "a100", 1),
        ({"profile": "gpu", "gpu_type": "t4"}, "t4", 1),
        ({"profile": "gpu", "gpu_type": None, "gpus": 4}, "a100", 4),
        ({"profile": "lab"}, None, 0),
        ({"profile": "lab", "gpus": 2}, None, 2),
        ({"profile": "lab", "gpus": 2, "gpu_type": "any"}, None, 2),
        ({"profile": "lab", "gpus": 2.0, "gpu_type": "v100"}, "v100", 2),
        ({"profile": "lab", "gpus": 0, "gpu_type": "v100"}, None, 0),
    ],
    ids=str,
)
def test_gpus(options, gpu_type, gpus):
    request = resolve_for(ALL_GROUPS, options)
    assert (request.gpu_type, request.gpus) == (gpu_type, gpus)
    assert type(request.gpus) is int


@pytest.mark.parametrize(
    ("options", "shm"),
    [
        ({}, 2.0),
        ({"memory_gib": 64}, 32.0),
        ({"profile": "gpu", "memory_gib": 64}, 8.0),
        ({"profile": "gpu", "memory_gib": 4}, 4.0),
        ({"profile": "gpu", "memory_gib": 4, "options": {"shm_gib": 3}}, 3.0),
    ],
    ids=str,
)
def test_shared_memory_stays_within_the_memory(options, shm):
    assert resolve_for(["vision"], options).shm_gib == shm


INVALID = {
    "a list": ([], "object of keys and values, not []"),
    "null": (None, "not null"),
    "text": ("cpu", 'not "cpu"'),
    "a number": (7, "not 7"),
    "unknown profile": ({"profile": "nope"}, 'The profile "nope" cannot be chosen; there is: cpu, gpu.'),
    "profile is a list": ({"profile": ["cpu"]}, 'The profile ["cpu"] cannot'),
    "profile is an object": ({"profile": {"slug": "cpu"}}, "cannot be chosen"),
    "profile is true": ({"profile": True}, "The profile true cannot"),
    "profile is a number": ({"profile": 0}, "The profile 0 cannot"),
    "profile in upper case": ({"profile": "CPU"}, "cannot be chosen"),
    "profile with a newline": ({"profile": "cpu\n"}, "cannot be chosen"),
    "profile look-alike": ({"profile": "ｃpu"}, "cannot be chosen"),
    "profile cyrillic": ({"profile": "сpu"}, "cannot be chosen"),
    "profile as a template": ({"profile": "{0.__class__}"}, '"{0.__class__}" cannot'),
    "profile of 10 MB": ({"profile": "x" * 10_000_000}, "xxx…"),
    "profile by path": ({"profile": "../cpu"}, "cannot be chosen"),
    "unknown image": ({"image": "nope"}, "there is: base, torch."),
    "image by reference": ({"image": "localhost/mlabhub/base:latest"}, "there is: base, torch."),
    "image with a digest": ({"image": "base@sha256:00"}, "there is: base, torch."),
    "image of another profile": ({"profile": "gpu", "image": "base"}, "there is: torch."),
    "image with a newline": ({"image": "base\n"}, "cannot be chosen"),
    "image is an object": ({"image": {"reference": "evil"}}, "cannot be chosen"),
    "group is a number": ({"group": 3}, "name of the group that pays, not 3"),
    "group is a list": ({"group": ["vision"]}, "name of the group"),
    "cpu negative": ({"cpu": -1}, "cpu cannot be -1; permitted: 1 to 16"),
    "cpu zero": ({"cpu": 0}, "cpu cannot be 0"),
    "cpu NaN": ({"cpu": math.nan}, "cpu cannot be nan"),
    "cpu infinite": ({"cpu": math.inf}, "cpu cannot be inf"),
    "cpu 1e309": (json.loads('{"cpu": 1e309}'), "cpu cannot be inf"),
    "cpu huge": ({"cpu": 10**400}, "more than 80 digits"),
    "cpu too large": ({"cpu": 17}, "cpu cannot be 17"),
    "cpu off the step": ({"cpu": 1.5}, "in steps of 1"),
    "cpu as text": ({"cpu": "2"}, 'cpu cannot be "2"'),
    "cpu true": ({"cpu": True}, "cpu cannot be true"),
    "cpu is a list": ({"cpu": [2]}, "cpu cannot be [2]"),
    "cpu is an object": ({"cpu": {"min": 1}}, "cpu cannot be"),
    "memory with a unit": ({"memory_gib": "4 GiB"}, 'memory_gib cannot be "4 GiB"'),
    "memory negative": ({"memory_gib": -4}, "memory_gib cannot be -4"),
    "gpus on a CPU profile": ({"gpus": 1}, "gpus cannot be 1; permitted: 0"),
    "gpus not listed": ({"profile": "gpu", "gpus": 3}, "permitted: 1, 2, 4"),
    "gpus false": ({"profile": "gpu", "gpus": False}, "gpus cannot be false"),
    "gpus a fraction": ({"profile": "gpu", "gpus": 1.5}, "gpus cannot be 1.5"),
    "gpu type on a CPU profile": ({"gpu_type": "a100"}, "The gpu_type"),
    "gpu type not offered": ({"profile": "gpu", "gpu_type": "v100"}, "there is: a100, t4"),
    "gpu type any, not offered": ({"profile": "gpu", "gpu_type": "any"}, "there is: a100, t4"),
    "gpu type is all": ({"profile": "lab", "gpus": 1, "gpu_type": "../all"}, "looks like a100"),
    "gpu type is a list": ({"profile": "lab", "gpus": 1, "gpu_type": ["a100"]}, "looks like a100"),
    "gpu type look-alike": ({"profile": "lab", "gpus": 1, "gpu_type": "а100"}, "looks like a100"),
    "gpu ids where not permitted": ({"profile": "lab", "gpus": 1, "gpu_ids": ["all"]}, "does not let you choose"),
    "gpu ids: too few": ({"profile": "gpu", "gpus": 2, "gpu_ids": ["a"]}, "as many different GPUs"),
    "gpu ids: one twice": ({"profile": "gpu", "gpus": 2, "gpu_ids": ["a", "a"]}, "as many different GPUs"),
    "gpu ids: a thousand": ({"profile": "gpu", "gpus": 1, "gpu_ids": ["a"] * 1000}, "as many different GPUs"),
    "gpu ids: none": ({"profile": "gpu", "gpus": 1, "gpu_ids": []}, "as many different GPUs"),
    "gpu ids: text": ({"profile": "gpu", "gpus": 1, "gpu_ids": "a"}, "as many different GPUs"),
    "gpu ids: numbers": ({"profile": "gpu", "gpus": 1, "gpu_ids": [0]}, "as many different GPUs"),
    "gpu ids: long": ({"profile": "gpu", "gpus": 1, "gpu_ids": ["x" * 1000]}, "as many different GPUs"),
    "options is a list": ({"options": []}, "The options of the profile cpu must be an object"),
    "options unknown": ({"profile": "gpu", "options": {"shm": 1}}, 'cannot have "shm"; known: shm_gib.'),
    "options reach for traits": ({"options": {"environment": {"A": "B"}}}, 'cannot have "environment"'),
    "shm negative": ({"profile": "gpu", "options": {"shm_gib": -1}}, "shm_gib cannot be -1"),
    "shm beyond the memory": ({"profile": "gpu", "options": {"shm_gib": 16}}, "part of the memory, which is 4 GiB"),
    "launch id is a number": ({"launch_id": 7}, "7 is not the id of a launch"),
    "launch id null": ({"launch_id": None}, "null is not the id"),
    "launch id with a newline": ({"launch_id": LAUNCH_ID + "\n"}, "not the id"),
    "launch id as a template": ({"launch_id": "{}"}, '"{}" is not'),
    "unlisted choice": ({"image--unlisted-choice": "evil"}, 'cannot have "image--unlisted-choice"'),
    "empty key": ({"": 1}, 'cannot have ""'),
    "key is a number": ({7: 1}, "cannot have 7"),
    "key is null": ({None: 1}, "cannot have null"),
    "key is a tuple": ({("a",): 1}, 'cannot have ["a"]'),
    "key look-alike": ({"cрu": 1}, "known: profile, image"),
    "key of 1 MB": ({"x" * 1_000_000: 1}, "xxx…"),
    "10,000 keys": ({f"k{number}": 1 for number in range(10_000)}, '"k2", …'),
}
TRAITS = ["cmd", "args", "environment", "volumes", "uid", "user", "sudo", "pids", "image_reference", "image_kind", "ip"]
INVALID |= {f"reach for {key}": ({key: "x"}, f'cannot have "{key}"; known: profile') for key in TRAITS}


@pytest.mark.parametrize(("options", "sentence"), INVALID.values(), ids=INVALID.keys())
def test_invalid(options, sentence):
    with pytest.raises(InvalidLaunch) as caught:
        resolve_for(["vision", "research"] if "lab" in str(options)[:30] else ["vision"], options)
    assert sentence in str(caught.value)
    assert_is_a_sentence(caught.value)
    assert caught.value.status == 422


NOT_PERMITTED = {
    "another group's profile": (["vision"], {"profile": "lab"}, "for other groups; yours: cpu, gpu."),
    "no group, another's profile": ([], {"profile": "lab"}, "for other groups"),
    "payer of others": (["vision"], {"group": "research"}, "you are not in it. Your groups: vision."),
    "payer without a group": ([], {"group": "vision"}, "you are in no group"),
    "payer look-alike": (["vision"], {"group": "visiоn"}, "not in it"),
    "payer empty": (["vision"], {"group": ""}, "not in it"),
    "payer with a newline": (["vision"], {"group": "vision\n"}, "not in it"),
}


@pytest.mark.parametrize(("groups", "options", "sentence"), NOT_PERMITTED.values(), ids=NOT_PERMITTED.keys())
def test_not_permitted(groups, options, sentence):
    with pytest.raises(NotPermitted) as caught:
        resolve_for(groups, options)
    assert sentence in str(caught.value)
    assert_is_a_sentence(caught.value)
    assert caught.value.status == 403


def test_no_profile_at_all():
    only_research = CATALOG.model_copy(update={"profiles": CATALOG.profiles[2:]})
    with pytest.raises(NotPermitted, match="No profile is open to you"):
        resolve(only_research, "alice", ["vision"], {})


@pytest.mark.parametrize(
    ("groups", "gpu_types", "slugs"),
    [
        ([], None, "cpu gpu"),
        (["research"], None, "cpu gpu lab"),
        (["research"], [], "cpu lab"),
        (["research"], ["t4"], "cpu gpu lab"),
        ([], ["v100"], "cpu"),
    ],
    ids=str,
)
def test_visible_profiles(groups, gpu_types, slugs):
    assert [profile.slug for profile in visible_profiles(CATALOG, groups, gpu_types)] == slugs.split()


def test_offered_gpu_types():
    cpu, gpu, lab = CATALOG.profiles
    assert cpu.offered_gpu_types(["t4", "v100"]) == ()
    assert gpu.offered_gpu_types(["t4", "v100"]) == ("t4",)
    assert lab.offered_gpu_types(["t4", "v100"]) == ("t4", "v100")


def test_pages_offer_what_the_largest_machine_has():
    cpu, gpu, lab = CATALOG.profiles
    capacity = Capacity((make_node("n1", 2, cpu=4, memory_gib=7.8), make_node("n2", 3, "t4", cpu=2, memory_gib=9)))
    bounded = bounded_by(gpu, capacity)
    assert bounded.cpu == NumberOption(min=1, max=4, default=2)
    assert bounded.memory_gib == NumberOption(min=1, max=9, default=4)
    assert bounded.gpus.choices == (1, 2)
    assert bounded.shm_gib == NumberOption(min=1, max=9, default=8)
    assert bounded_by(lab, capacity).gpus.max == 3
    assert bounded_by(cpu, capacity).shm_gib is None
    assert bounded_by(cpu, Capacity((make_node("n1", cpu=64, memory_gib=512),))) == cpu
    assert bounded_by(gpu, Capacity()) == gpu


@pytest.mark.parametrize(
    ("groups", "payer"), [([], None), (["a"], "a"), (["a", "vision"], "vision"), (["b", "a"], "b")], ids=str
)
def test_default_payer(groups, payer):
    quotas = Quotas.model_validate({"groups": {"vision": {}}})
    assert default_payer(quotas, groups) == payer


keys = st.sampled_from([*KEYS, "cmd", "environment", ""]) | st.text(max_size=5)
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-1, max_value=20)
    | st.floats()
    | st.text()
    | st.sampled_from(["cpu", "gpu", "lab", "base", "torch", "vision", "a100", "any", LAUNCH_ID, "shm_gib"])
)
json_values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=6), max_leaves=12
)
plausible = st.fixed_dictionaries(
    {},
    optional={
        "profile": st.sampled_from(["cpu", "gpu", "lab"]) | leaves,
        "image": st.sampled_from(["base", "torch"]) | leaves,
        "group": st.sampled_from(ALL_GROUPS) | leaves,
        "gpu_type": st.sampled_from(["a100", "t4", "any"]) | leaves,
        "gpus": st.integers(min_value=0, max_value=8) | leaves,
        "gpu_ids": st.lists(st.text(max_size=3), max_size=4) | leaves,
        "cpu": st.integers(min_value=1, max_value=16) | leaves,
        "memory_gib": st.integers(min_value=1, max_value=64) | leaves,
        "options": st.dictionaries(st.sampled_from(["shm_gib", "x"]), leaves) | leaves,
        "mounts": st.lists(st.dictionaries(st.sampled_from(["share", "target"]), leaves), max_size=2) | leaves,
        "launch_id": st.just(LAUNCH_ID) | leaves,
    },
)


@settings(max_examples=500)
@given(plausible | json_values, st.lists(st.sampled_from([*ALL_GROUPS, "other"]), unique=True))
@example({"cpu": math.nan}, [])
def test_any_json_value_gives_a_request_or_a_sentence(options, groups):
    try:
        request = resolve_for(groups, options)
    except MLabError as error:
        assert_is_a_sentence(error)
        return
    assert_lies_within(CATALOG, groups, request)


@given(plausible)
def test_a_request_is_stable(options):
    """What was resolved, said again as options, is the same request."""
    try:
        request = resolve_for(ALL_GROUPS, options)
    except MLabError:
        return
    said = {key: getattr(request, key) for key in KEYS if key not in ("launch_id", "options")}
    again = resolve_for(ALL_GROUPS, {**said, "options": dict(request.options)})
    assert replace(again, gpu_type=request.gpu_type) == request


def assert_is_a_sentence(error: MLabError) -> None:
    text = str(error)
    assert text.isprintable()
    assert text.endswith(".")
    assert len(text) < 450
    assert 400 <= error.status < 500


def assert_lies_within(catalog: Catalog, groups: list[str], request: LaunchRequest) -> None:
    profile = catalog.profiles_by_slug[request.profile]
    assert profile in visible_profiles(catalog, groups)
    assert request.image in profile.images
    assert request.image_reference == catalog.images_by_slug[request.image].reference
    assert request.group in groups if groups else request.group is None
    assert profile.cpu.accepts(request.cpu)
    assert profile.memory_gib.accepts(request.memory_gib)
    assert profile.gpus.accepts(request.gpus)
    assert request.gpu_type is None or request.gpus > 0
    assert request.gpus == 0 or request.gpu_type or profile.any_gpu_type
    assert 0 < request.shm_gib <= request.memory_gib
    assert (request.pids, request.sudo) == (profile.pids, profile.sudo)
    assert set(request.options) <= set(profile.further)
    assert request.gpu_ids is None or len(set(request.gpu_ids)) == request.gpus


def test_500_profiles_resolve_at_once():
    profiles = [
        {"slug": f"p{number}", "display_name": "P", "images": ["base"], "groups": [f"g{number}"], **SMALL}
        for number in range(500)
    ]
    images = [{"slug": "base", "display_name": "Base", "reference": "base"}]
    catalog = Catalog.model_validate({"profiles": profiles, "images": images})
    assert resolve(catalog, "alice", ["g499"], {}).profile == "p499"


@pytest.mark.parametrize("egress", ["open", "lab", "closed"])
@pytest.mark.parametrize("enforced", [True, False])
def test_a_closed_profile_is_never_open_in_silence(egress, enforced):
    profile = {"slug": "safe", "display_name": "Safe", "images": ["base"], "egress": egress, **SMALL}
    images = [{"slug": "base", "display_name": "Base", "reference": "base"}]
    catalog = Catalog.model_validate({"profiles": [profile], "images": images})
    catalog = catalog if enforced else catalog.without_egress()
    if enforced or egress != "closed":
        assert resolve(catalog, "alice", [], {}).egress == egress
        return
    for options in ({}, {"profile": "safe"}):
        with pytest.raises(NotPermitted) as caught:
            resolve(catalog, "alice", [], options)
        assert_is_a_sentence(caught.value)
        assert str(caught.value) == (
            'The profile "safe" is closed to every network, which only Kubernetes can keep: here its servers would '
            "reach whatever this machine does. Take another profile."
        )
