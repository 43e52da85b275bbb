"""One key wrong at a time: the sentence that says so, at its line."""

import pytest

from tests.catalog.conftest import PROFILES, faults_of

SINGLE = {
    "sudo: yes please": 'sudo: must be true or false; it is "yes please"',
    "tools: [lab, vscode]": None,
    "tools: []": "tools: is empty; list at least one",
    "tools: lab": 'tools: must be a list, such as [a, b]; it is "lab"',
    "tools: [lab, lab]": "tools: lists one of them twice",
    "tools: [code]": "tools[0]: must be one of 'lab', 'vscode', 'terminal', 'desktop' or 'tensorboard'; it is \"code\"",
    "kind: desktop": "kind: must be one of 'workbench' or 'tensorboard'; it is \"desktop\"",
    "kind: workbench": None,
    "kind: tensorboard": None,
    "kind: tensorboard\n    unused_minutes: 0.5": None,
    "kind: tensorboard\n    tools: [tensorboard]": None,
    "kind: tensorboard\n    tools: [lab]": "tools: can only be [tensorboard] with kind: tensorboard; leave it out",
    "kind: tensorboard\n    unused_minutes: 0": "unused_minutes: must be 0.01 or more; it is 0",
    "kind: tensorboard\n    unused_minutes: '5'": 'unused_minutes: must be a number, such as 2 or 0.5; it is "5"',
    "kind: tensorboard\n    unused_minutes: 1e9": "unused_minutes: must be 10080 or less; it is 1000000000.0",
    "unused_minutes: 5": "unused_minutes: is for kind: tensorboard only; leave it out",
    **{
        f"kind: tensorboard\n    {wrong}": f"{wrong.split(':')[0]}: cannot be together with kind: tensorboard, which "
        "only reads log folders; leave it out"
        for wrong in (
            "sudo: true",
            "gpus: 1\n    gpu_types: [any]",
            "own_images: true",
            "mounts: true",
            "typed_images: [{registry: 'master0:5000', repository: 'x'}]",
        )
    },
    "sudo: 1": "sudo: must be true or false; it is 1",
    "pids: 100.5": "pids: must be a whole number; it is 100.5",
    "pids: '100'": 'pids: must be a whole number; it is "100"',
    "pids: 99999999": "pids: must be 4000000 or less; it is 99999999",
    "groups: vision": 'groups: must be a list, such as [a, b]; it is "vision"',
    "groups: []": "groups: is empty; list at least one",
    "groups: [a, a]": "groups: lists one of them twice",
    "groups: ['']": "groups[0]: is empty; write something",
    f"description: {'x' * 3000}": "description: is too long; at most 2000 characters",
    "description: 2026-11-22": None,
    "description: '{0.x} %s'": None,
    "purpose: development": None,
    "gpus: [1, 2]": "gpu_types: is missing: name GPU types such as [a100], or [any]",
    "gpu_types: [a100]": "gpu_types: needs gpus of 1 or more, such as {choices: [1, 2, 4]}",
    "gpu_types: [A100]": 'gpu_types[0]: must be a GPU type in lower case, such as a100, or any; it is "A100"',
    "gpus: 1\n    gpu_types: [any, t4]": "gpu_types: names any beside others; keep either any or the others",
    "gpus: 1\n    gpu_types: [any]": None,
    "shm_gib: {min: 0, max: 4}": "shm_gib.min: must be 0.0625 or more",
    "shm_gib: [1, 2]": None,
    "notice_seconds: 1800": None,
    "notice_seconds: -1": "notice_seconds: must be 0 or more; it is -1",
    "notice_seconds: .nan": "notice_seconds: must be ",
    "longest_hours: 0.5": None,
    "longest_hours: 0": "longest_hours: must be more than 0",
    "longest_hours: 1d": 'longest_hours: must be a number, such as 2 or 0.5; it is "1d"',
    "reclaimable: false": None,
    "reclaimable: 0": "reclaimable: must be true or false; it is 0",
    "after_reclaim: end": None,
    "after_reclaim: restart": "after_reclaim: must be one of 'queue' or 'end'; it is \"restart\"",
    "cpus: 4": "cpus: is not a known key; did you mean cpu?",
    "shm_gib: {max: 4}": "shm_gib.min: is missing; add it",
    "pids: !!binary aGk=": 'pids: has the tag "tag:yaml.org,2002:binary"; remove it',
    "groups: !!python/tuple [vision]": 'groups: has the tag "tag:yaml.org,2002:python/tuple"; remove it',
    "image: base": "image: is not a known key; did you mean images?",
    "environment: {A: b}": "environment: is not a known key; known: display_name, ",
    "own_images: 1": "own_images: must be true or false; it is 1",
    "typed_images: [{registry: 'master0:5000', repository: 'eflops/*'}]": None,
    "typed_images: [{registry: master0, repository: x}]": "typed_images[0].registry: must be a registry's host in "
    'lower case, with a dot or port, such as master0:5000; it is "master0"',
    "typed_images: [{registry: localhost, repository: x}]": "typed_images[0].registry: cannot be localhost without",
    "typed_images: [{registry: r.io}]": "typed_images[0].repository: is missing; add it",
    "typed_images: [{registry: r.io, repository: x, repositories: x}]": "typed_images[0].repositories: is not a known "
    "key; did you mean repository?",
    "typed_images: r.io/x": 'typed_images: must be a list, such as [a, b]; it is "r.io/x"',
    "options: {n: {display_name: N, variable: N, min: 0, max: 4}}": None,
    "options: {n: {display_name: N, variable: N, choices: [1, 2]}}": None,
    "options: {n: {display_name: N, variable: N, choices: {a: A, b: {display_name: B}}}}": None,
    "options: {n: {display_name: N, variable: N, min: 5, max: 4}}": "options.n.max: max 4 is less than min 5",
    "options: {n: {display_name: N, min: 0, max: 4}}": "options.n.variable: is missing; add it",
    "options: {n: {display_name: N, choices: {a: A}}}": "options.n.variable: is missing, so that the choice would",
    "options: {n: {display_name: N, variables: N, choices: {a: A}, variable: M}}": "options.n.variables: is not a "
    "known key; did you mean variable? Known: display_name, description, variable, choices, default",
    "options: {n: {display_name: N, variable: N, choices: {a: A}, default: b}}": "options.n.default: the default b "
    "cannot be chosen; permitted: a",
    "options: {n: {display_name: N, variable: N, choices: {a: {environment: {A: b}}}}}": "options.n.choices.a."
    "display_name: is missing; add it",
    "options: {n: {display_name: N, variable: N, choices: {a: {display_name: A, env: {A: b}}}}}": "options.n.choices.a."
    "env: is not a known key; known: display_name, environment",
    "options: {n: {display_name: N, variable: N, choices: {a: {display_name: A, environment: {A: 1}}}}}": "options.n."
    "choices.a.environment.A: must be text; put it in quotes if it looks like a number; it is 1",
    "options: {n: {display_name: N, variable: N, choices: {A B: x}}}": "options.n.choices.A B: must be a choice's slug",
    "options: {N: {display_name: N, variable: N, min: 0, max: 4}}": "options.N: must be an option's slug",
    "options: {n: {display_name: N, variable: NVIDIA_VISIBLE_DEVICES, min: 0, max: 4}}": "options.n.variable: is a "
    "variable that servers rely on; choose another name",
    "options: {n: {display_name: N, variable: CUDA_VISIBLE_DEVICES, choices: {a: A}}}": "options.n.variable: is a "
    "variable that servers rely on; choose another name",
    "options: {n: text}": 'options.n: must be a mapping of keys to values; it is "text"',
    "options: {n: null}": "options.n: must be a mapping of keys to values; it is null",
    "options: {gpus: {display_name: N, variable: N, min: 0, max: 4}}": "options.gpus: is the name of another launch",
    "options: [n]": 'options: must be a mapping of keys to values; it is ["n"]',
    "pids: 0x1000": None,
    "pids: 1_000": None,
}


@pytest.mark.parametrize(("written", "expected"), SINGLE.items(), ids=[text[:40] for text in SINGLE])
def test_one_key_of_a_profile(folder, written, expected):
    faults = faults_of(folder(f"{PROFILES}    {written}\n"))
    if expected is None:
        assert faults == []
    else:
        (fault,) = faults
        assert f": profiles.cpu.{expected}" in fault


TOP = {
    "gpu_types: {a100: {cost: 10, products: [A100-SXM4]}, t4: {}}": None,
    "gpu_types: {A100: {}}": 'gpu_types.A100: must be a GPU type in lower case, such as a100, or any; it is "A100"',
    "gpu_types: {any: {}}": "gpu_types.any: means every type; choose another name",
    "gpu_types: {a100: {cost: 0}}": "gpu_types.a100.cost: must be more than 0; it is 0",
    "gpu_types: {a100: {price: 1}}": "gpu_types.a100.price: is not a known key; known: display_name, products, cost",
    "gpu_types: {a100: {products: [X]}, t4: {products: [' x']}}": "gpu_types.t4.products[0]: already belongs to a100",
    "group_defaults: {vision: {profile: cpu, image: base}, default: {profile: cpu}}": None,
    "group_defaults: {vision: {image: base}}": "group_defaults.vision.profile: is missing; add it",
    "group_defaults: {vision: {profile: cqu}}": 'group_defaults.vision.profile: there is no profile "cqu"; did '
    "you mean cpu? There are: cpu",
    "group_defaults: {vision: {profile: cpu, image: torch}}": "group_defaults.vision.image: the profile cpu has no "
    'image "torch"; it has: base',
    "group_default: {}": "group_default: is not a known key; did you mean group_defaults?",
}


@pytest.mark.parametrize(("written", "expected"), TOP.items(), ids=[text[:40] for text in TOP])
def test_one_key_beside_the_profiles(folder, written, expected):
    faults = faults_of(folder(f"{PROFILES}{written}\n"))
    if expected is None:
        assert faults == []
    else:
        (fault,) = faults
        assert f"profiles.yaml:7: {expected}" in fault


def test_a_malformed_list_of_groups_is_one_fault(folder):
    text = PROFILES.replace("    images:", "    groups: vision\n    images:", 1)
    (fault,) = faults_of(folder(f"{text}group_defaults: {{vision: {{profile: cpu}}}}\n"))
    assert 'profiles.cpu.groups: must be a list, such as [a, b]; it is "vision"' in fault


IMAGE = {
    f"reference: r.io/o@sha256:{'0' * 64}": None,
    "reference: Base": "reference: must be registry, repository and tag or digest, such as",
    "reference: 'r.io/o:'": "reference: must be registry, repository and tag or digest, such as",
    "reference: https://r.io/o": "reference: must be registry, repository and tag or digest, such as",
    "reference: r.io/o@sha256:0": "reference: must be registry, repository and tag or digest, such as",
    f"reference: r.io:5000/o:1@sha256:{'0' * 64}": "reference: has both a tag and a digest, which Podman refuses",
    f"reference: r.io:5000/o@sha256:{'0' * 64}": None,
    "framework: PyTorch": None,
    "framework: 2": "framework: must be text; put it in quotes if it looks like a number; it is 2",
    "release: 2.9": "release: must be text; put it in quotes if it looks like a number; it is 2.9",
    "release: '2.9'": None,
    "tools: [lab, vscode]": None,
    "tools: [lab, emacs]": "tools[1]: must be one of 'lab', 'terminal', 'vscode', 'desktop', 'tensorboard' or 'ssh'; "
    'it is "emacs"',
    "groups: []": "groups: is empty; list at least one",
    "hidden: 1": "hidden: must be true or false; it is 1",
    "retired: {}": None,
    "retired: true": "retired: must be a mapping of keys to values; it is true",
    "retired: {successor: base, hint: Newer.}": None,
    "retired: {successor: bas}": 'retired.successor: there is no image "bas"; did you mean base? There are: base, old',
    "retired: {successor: old}": "retired.successor: old is retired itself; name the one that takes its place",
    "retired: {because: x}": "retired.because: is not a known key; known: successor, hint",
}


@pytest.mark.parametrize(("written", "expected"), IMAGE.items(), ids=[text[:40] for text in IMAGE])
def test_one_key_of_an_image(folder, written, expected):
    base, old = "  base: {display_name: B, reference: b}\n", "  old:\n    display_name: O\n"
    reference = "" if written.startswith("reference") else "    reference: o\n"
    images = f"images:\n{base}{old}    {written}\n{reference}"
    faults = faults_of(folder(images=images))
    if expected is None:
        assert faults == []
    else:
        assert [fault for fault in faults if f"images.yaml:5: images.old.{expected}" in fault]


WINDOW = {"nodes": "[n1]", "from": "2026-12-01T18:00+01:00", "until": "2026-12-02 06:00:00Z", "reason": "New disks"}


def window(**changes: str) -> str:
    """Return a maintenance whose keys stand on lines 2 to 5; an empty change leaves a key out."""
    keys = [f"{key}: {value}" for key, value in {**WINDOW, **changes}.items() if value]
    return "maintenance:\n  - " + "\n    ".join(keys)


NO_MOMENT = "must be a day, a time and a zone, such as 2026-12-01T18:00+01:00; it is"
QUOTAS = {
    "claim_minutes: 5": None,
    "claim_minutes: 0": "1: claim_minutes: must be 0.01 or more; it is 0",
    "claim_minutes: .inf": "1: claim_minutes: must be ",
    "half_life_days: 14": None,
    "half_life_days: 0": "1: half_life_days: must be 0.01 or more; it is 0",
    "half_life_days: '7'": '1: half_life_days: must be a number, such as 2 or 0.5; it is "7"',
    "max_reclaims: 0": None,
    "max_reclaims: -1": "1: max_reclaims: must be 0 or more; it is -1",
    "max_reclaims: 2.5": "1: max_reclaims: must be a whole number; it is 2.5",
    "max_reclaims: true": "1: max_reclaims: must be a whole number; it is true",
    "groups: {vision: {each: {gpu: 4, soft: [gpu]}}}": None,
    "groups: {vision: {each: {gpus: 4}}}": "1: groups.vision.each.gpus: is not a resource",
    "groups: {vision: {each: {gpu: -4}}}": "1: groups.vision.each.gpu: must be 0 or more; it is -4",
    'groups: {v: {guaranteed: {"gpu:a100": 5, "gpu:t4": 5}, limit: {gpu: 10}}}': None,
    'groups:\n  v:\n    guaranteed:\n      "gpu:a100": 5\n      "gpu:t4": 5\n    limit: {gpu: 9}': "5: groups.v."
    "guaranteed.gpu:t4: brings what is guaranteed by type to 10, more than the limit of 9 gpu; lower one or raise the "
    "other",
    "maintenance: []": None,
    window(): None,
    window(nodes='["*"]'): None,
    window(nodes="[]"): "2: maintenance[0].nodes: is empty; list at least one",
    window(nodes="n1"): '2: maintenance[0].nodes: must be a list, such as [a, b]; it is "n1"',
    window(reason=""): "2: maintenance[0].reason: is missing; add it",
    window(until=""): "2: maintenance[0].until: is missing; add it",
    window(until="2026-12-01T17:00Z"): "4: maintenance[0].until: must be later than from, 2026-12-01T17:00:00Z",
    window(until="2026-12-01"): f'4: maintenance[0].until: {NO_MOMENT} "2026-12-01"',
    window(until="2026-13-01T18:00Z"): f'4: maintenance[0].until: {NO_MOMENT} "2026-13-01T18:00Z"',
    window(until="1764612000"): f"4: maintenance[0].until: {NO_MOMENT} 1764612000",
    window(**{"from": "2026-12-01T18:00"}): "3: maintenance[0].from: says no zone, so that nobody knows when it is: "
    "write 2026-12-01T18:00+01:00, say, or 2026-12-01T18:00Z for UTC",
    window(**{"from": "", "start": "2026-12-01T18:00Z"}): "5: maintenance[0].start: is not a known key; known: nodes, "
    "from, until, reason",
}


@pytest.mark.parametrize(("written", "expected"), QUOTAS.items(), ids=[text[:60] for text in QUOTAS])
def test_one_key_of_the_quotas(folder, written, expected):
    faults = faults_of(folder(quotas=f"{written}\n"))
    if expected is None:
        assert faults == []
    else:
        assert [fault for fault in faults if f"quotas.yaml:{expected}" in fault], faults
