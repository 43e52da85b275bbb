"""The gate with everything open: options, typed and saved images, mounts. Whatever comes in, nothing slips through."""

import json
import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mlabhub.core.admission import Placement
from mlabhub.core.gate import KEYS
from mlabhub.core.identity import GroupId, Identity
from mlabhub.core.names import SAVED_PREFIX, is_saved_name
from mlabhub.core.plan import make_plan
from mlabhub.core.profiles import Catalog, LaunchRequest
from mlabhub.core.references import parse_reference
from mlabhub.core.resolve import resolve
from mlabhub.errors import InvalidLaunch, MLabError, NotPermitted
from tests.core.examples import LAUNCH_ID, SMALL

RICH = Catalog.model_validate(
    {
        "images": [
            {"slug": "base", "display_name": "Base", "reference": "localhost/mlabhub/base:latest"},
            {"slug": "nlp", "display_name": "NLP", "reference": "localhost/mlabhub/nlp:1", "groups": ["nlp"]},
            {"slug": "old", "display_name": "Old", "reference": "localhost/mlabhub/old:1", "retired": {}},
        ],
        "profiles": [
            {
                "slug": "all",
                "display_name": "All",
                "images": ["base", "nlp", "old"],
                **SMALL,
                "gpus": {"min": 0, "max": 8},
                "gpu_types": ["a100", "t4"],
                "choose_gpu": True,
                "shm_gib": {"min": 1, "max": 16, "default": 1},
                "own_images": True,
                "typed_images": [
                    {"registry": "master0:5000", "repository": "eflops/*"},
                    {"registry": "r.example.org", "repository": "open/**"},
                ],
                "options": {
                    "workers": {"display_name": "W", "variable": "NUM_WORKERS", "min": 0, "max": 16, "default": 4},
                    "rate": {"display_name": "R", "variable": "RATE", "min": 0, "max": 1, "step": 0.1},
                    "precision": {
                        "display_name": "P",
                        "variable": "PRECISION",
                        "choices": {"fp32": "Full", "bf16": {"display_name": "B", "environment": {"TORCH_X": "{}"}}},
                    },
                },
                "mounts": True,
            },
        ],
        "storage": {
            "mount_prefixes": ["/data"],
            "shares": {"imagenet": {"display_name": "I", "source": "/srv/i", "target": "/mnt/i", "read_only": True}},
        },
    }
)
DIGEST = "sha256:" + "0123456789abcdef" * 4
DEEP: object = "x"
for _ in range(500):
    DEEP = [DEEP]
WIDE = {f"k{number}": number for number in range(10_000)}

HOSTILE = {
    "option: NVIDIA_VISIBLE_DEVICES": {"options": {"NVIDIA_VISIBLE_DEVICES": "all"}},
    "option: CUDA_VISIBLE_DEVICES": {"options": {"CUDA_VISIBLE_DEVICES": "0,1"}},
    "option: LD_PRELOAD": {"options": {"LD_PRELOAD": "/x.so"}},
    "option: a variable's name": {"options": {"NUM_WORKERS": 4}},
    "option: environment": {"options": {"environment": {"A": "b"}}},
    "option: look-alike": {"options": {"wоrkers": 4}},
    "option: upper case": {"options": {"Workers": 4}},
    "option: template": {"options": {"{workers}": 4}},
    "option: newline": {"options": {"workers\n": 4}},
    "option: NUL": {"options": {"workers\0": 4}},
    "option: of the gate": {"options": {"gpus": 8}},
    "option: 10,000": {"options": WIDE},
    "option: deep": {"options": {"workers": DEEP}},
    "option: a list": {"options": [["workers", 4]]},
    "number: text": {"options": {"workers": "4"}},
    "number: true": {"options": {"workers": True}},
    "number: NaN": {"options": {"workers": math.nan}},
    "number: 1e309": json.loads('{"options": {"workers": 1e309}}'),
    "number: -0.1": {"options": {"workers": -0.1}},
    "number: off the step": {"options": {"rate": 0.15}},
    "number: 10**400": {"options": {"workers": 10**400}},
    "choice: a number": {"options": {"precision": 32}},
    "choice: its display name": {"options": {"precision": "Full"}},
    "choice: upper case": {"options": {"precision": "FP32"}},
    "choice: full width": {"options": {"precision": "ｆp32"}},
    "choice: newline": {"options": {"precision": "fp32\nLD_PRELOAD=/x"}},
    "choice: NUL": {"options": {"precision": "fp32\0"}},
    "choice: template": {"options": {"precision": "{fp32}"}},
    "choice: a list": {"options": {"precision": ["fp32"]}},
    "choice: an object": {"options": {"precision": {"environment": {"A": "b"}}}},
    "choice: 10 MB": {"options": {"precision": "x" * 10_000_000}},
    "image: other port": {"image": "master0:5001/eflops/x:1"},
    "image: no port": {"image": "master0/eflops/x:1"},
    "image: other registry": {"image": "evil.org/eflops/x:1"},
    "image: a registry that begins so": {"image": "master0:5000.evil.org/eflops/x:1"},
    "image: a registry that ends so": {"image": "evil-r.example.org/open/x"},
    "image: an account": {"image": "evil@master0:5000/eflops/x"},
    "image: allowed as account": {"image": "master0:5000@evil.org/eflops/x"},
    "image: allowed as path": {"image": "evil.org/master0:5000/eflops/x"},
    "image: deeper": {"image": "master0:5000/eflops/x/y"},
    "image: traversal": {"image": "master0:5000/eflops/../secret"},
    "image: encoded traversal": {"image": "master0:5000/eflops/%2e%2e/secret"},
    "image: scheme": {"image": "docker://master0:5000/eflops/x"},
    "image: archive": {"image": "oci-archive:/etc/shadow"},
    "image: digest alone": {"image": DIGEST},
    "image: id": {"image": "0123456789ab"},
    "image: digest too short": {"image": "master0:5000/eflops/x@sha256:0123"},
    "image: digest of another kind": {"image": "master0:5000/eflops/x@md5:" + "0" * 64},
    "image: two digests": {"image": f"master0:5000/eflops/x@{DIGEST}@{DIGEST}"},
    "image: upper case": {"image": "master0:5000/eflops/X"},
    "image: upper-case host": {"image": "MASTER0:5000/eflops/x"},
    "image: trailing newline": {"image": "master0:5000/eflops/x:1\n"},
    "image: trailing space": {"image": "master0:5000/eflops/x:1 "},
    "image: two words": {"image": "master0:5000/eflops/x:1 --privileged"},
    "image: option": {"image": "--privileged"},
    "image: cyrillic": {"image": "master0:5000/eflорs/x"},
    "image: RTL mark": {"image": "master0:5000/eflops/x\u200f"},
    "image: template": {"image": "master0:5000/eflops/{username}"},
    "image: shell": {"image": "master0:5000/eflops/x;id"},
    "image: on this machine": {"image": "localhost/mlabhub/base:latest"},
    "image: saved layers of others": {"image": "localhost/mlabhub-saved/cafe0123/bob:base"},
    "image: slug look-alike": {"image": "bаse"},
    "image: slug in upper case": {"image": "Base"},
    "image: slug with a tag": {"image": "base:latest"},
    "image: slug as a template": {"image": "{base}"},
    "image: retired": {"image": "old"},
    "image: another group's": {"image": "nlp"},
    "saved: of another": {"image": "saved/bob/env"},
    "saved: traversal": {"image": "saved/../../etc"},
    "saved: upper case": {"image": "saved/Env"},
    "saved: newline": {"image": "saved/env\n"},
    "saved: tag": {"image": "saved/env:1"},
    "saved: nothing": {"image": "saved/"},
    "saved: look-alike": {"image": "sаved/env"},
    "mounts: another's folder": {"mounts": [{"share": "user:bob", "target": "/data/x"}]},
    "mounts: another group's": {"mounts": [{"share": "group:nlp", "target": "/data/x"}]},
    "mounts: a path": {"mounts": [{"share": "/etc", "target": "/data/x"}]},
    "mounts: traversal": {"mounts": [{"share": "user", "subfolder": "../bob", "target": "/data/x"}]},
    "mounts: absolute subfolder": {"mounts": [{"share": "user", "subfolder": "/etc", "target": "/data/x"}]},
    "mounts: over the system": {"mounts": [{"share": "user", "target": "/etc"}]},
    "mounts: out of the prefix": {"mounts": [{"share": "user", "target": "/data/../etc"}]},
    "mounts: beside the prefix": {"mounts": [{"share": "user", "target": "/database"}]},
    "mounts: writable where it is not": {"mounts": [{"share": "imagenet", "target": "/data/i", "read_only": 0}]},
    "mounts: source": {"mounts": [{"share": "user", "target": "/data/x", "source": "/"}]},
    "mounts: newline": {"mounts": [{"share": "user", "target": "/data/x\n/etc"}]},
    "mounts: template": {"mounts": [{"share": "{username}", "target": "/data/x"}]},
    "mounts: deep": {"mounts": DEEP},
    "mounts: thousands": {"mounts": [{"share": "user", "target": f"/data/{number}"} for number in range(5000)]},
    "key: image_kind": {"image_kind": "catalog", "image": "evil.org/x"},
    "key: image_reference": {"image_reference": "evil.org/x"},
    "key: environment": {"environment": {"LD_PRELOAD": "/x"}},
    "key: kept_images": {"kept_images": ["old"], "image": "old"},
    "key: NVIDIA_VISIBLE_DEVICES": {"NVIDIA_VISIBLE_DEVICES": "all"},
    "key: template": {"{}": 1},
    "deep": {"profile": DEEP},
    "wide": WIDE,
}


@pytest.mark.parametrize("options", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_options_are_refused_in_a_sentence(options):
    with pytest.raises((InvalidLaunch, NotPermitted)) as caught:
        resolve(RICH, "alice", ["vision"], options)
    assert_is_a_sentence(caught.value)


def assert_is_a_sentence(error: MLabError) -> None:
    assert str(error).isprintable()
    assert str(error).endswith(".")
    assert 20 < len(str(error)) < 500
    assert 400 <= error.status < 500


WELCOME = {
    "typed": ({"image": "master0:5000/eflops/x"}, "typed", "master0:5000/eflops/x:latest"),
    "typed with a digest": ({"image": f"r.example.org/open/a/b@{DIGEST}"}, "typed", f"r.example.org/open/a/b@{DIGEST}"),
    "saved": ({"image": "saved/env"}, "saved", "saved/env"),
    "listed": ({"image": "base"}, "catalog", "base"),
}


@pytest.mark.parametrize(("options", "kind", "name"), WELCOME.values(), ids=WELCOME.keys())
def test_what_is_allowed_passes(options, kind, name):
    request = resolve(RICH, "alice", ["vision"], options)
    assert (request.image_kind, request.image) == (kind, name)


leaves = (
    st.none()
    | st.booleans()
    | st.integers(-2, 20)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(
        ["base", "old", "nlp", "saved/x", "master0:5000/eflops/x", "r.example.org/open/y:1", "fp32", "bf16"]
    )
    | st.from_regex(r"(master0:5000|r\.example\.org|localhost)/(eflops|open|mlabhub)/[a-zA-Z0-9./:@_-]{0,12}")
)
slugs = st.sampled_from(["workers", "rate", "precision", "shm_gib", "NVIDIA_VISIBLE_DEVICES", ""]) | st.text(max_size=4)
anything = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(slugs, inner, max_size=4))
launches = st.fixed_dictionaries(
    {},
    optional={key: leaves | anything for key in KEYS if key != "options"}
    | {"options": st.dictionaries(slugs, leaves, max_size=4) | anything},
)


@settings(max_examples=400)
@given(launches | anything, st.lists(st.sampled_from(["vision", "nlp"]), unique=True))
@example({"options": {"precision": "bf16", "rate": 0.3}, "image": "saved/x"}, [])
def test_any_options_give_a_request_within_the_catalogue_or_a_sentence(options, groups):
    try:
        request = resolve(RICH, "alice", groups, options)
    except MLabError as error:
        assert_is_a_sentence(error)
        return
    assert_image_is_allowed(request, groups)
    profile = RICH.profiles_by_slug[request.profile]
    assert set(request.options) <= set(profile.further)
    permitted = {"NUM_WORKERS", "RATE", "PRECISION", "TORCH_X"}
    assert {"NUM_WORKERS", "RATE", "PRECISION"} <= set(request.environment) <= permitted
    assert request.environment["PRECISION"] in ("fp32", "bf16")
    assert 0 <= float(request.environment["RATE"]) <= 1
    assert request.environment["NUM_WORKERS"] in [str(number) for number in range(17)]
    assert all(mount.target.startswith("/data/") for mount in request.mounts)


def assert_image_is_allowed(request: LaunchRequest, groups: list[str]) -> None:
    if request.image_kind == "catalog":
        image = RICH.images_by_slug[request.image]
        assert image.retired is None
        assert image.open_to(groups)
        assert request.image_reference == image.reference
    elif request.image_kind == "saved":
        assert is_saved_name(request.image.removeprefix(SAVED_PREFIX))
        assert request.image_reference == ""
    else:
        reference = parse_reference(request.image)
        assert reference is not None
        assert str(reference) == request.image
        assert request.image_reference == reference.exact
        assert request.image.startswith(("master0:5000/eflops/", "r.example.org/open/"))


def test_a_plan_has_the_options_variables_and_ours_win():
    request = resolve(RICH, "alice", ["vision"], {"options": {"precision": "bf16", "workers": 8}})
    stolen = {**request.environment, "MLABHUB_USER": "root"}
    plan = make_plan(
        LaunchRequest(**{**vars(request), "environment": stolen}),
        launch_id=LAUNCH_ID,
        identity=Identity("alice", 200000, 200000, (GroupId("vision", 200001),)),
        placement=Placement("n1"),
        storage=RICH.storage.located("/srv/nas"),
    )
    assert plan.environment["PRECISION"] == "bf16"
    assert plan.environment["TORCH_X"] == "{}"
    assert plan.environment["NUM_WORKERS"] == "8"
    assert plan.environment["MLABHUB_USER"] == "alice"
