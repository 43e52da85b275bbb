"""What `mlabhub check` notes: valid, and probably not meant."""

import pytest

from mlabhub.catalog import read_folder

PROFILES = """\
gpu_types:
  a100: {cost: 10, products: ["A100"]}
  t4: {}
profiles:
  cpu: {display_name: CPU, images: [base], cpu: 1, memory_gib: 4}
  dev:
    display_name: Development
    images: [base, nlp]
    cpu: 1
    memory_gib: 4
    gpus: 1
    gpu_types: [t4, a100]
    purpose: development
"""
IMAGES = """\
images:
  base: {display_name: Base, reference: localhost/base}
  nlp: {display_name: NLP, reference: localhost/nlp, groups: [nlp]}
"""
PUBLIC = "images: [base, nlp]\n    typed_images: [{registry: docker.io, repository: '**'}]"
QUOTAS = 'groups: {nlp: {limit: {"gpu:t4": 2}}}\nusers: {default: {"gpu:a100": 1}, alice: {gpu: 2}}\n'


def notes_on(folder, **changes):
    """Return the notes on a good folder with some texts replaced: ``file={old: new}``."""
    for name, text in {
        "profiles": PROFILES,
        "images": IMAGES,
        "quotas": QUOTAS,
        "storage": "user_root: null\n",
    }.items():
        for old, new in changes.get(name, {}).items():
            assert old in text
            text = text.replace(old, new)
        (folder / f"{name}.yaml").write_text(text)
    loaded = read_folder(folder)
    assert loaded.faults == ()
    return [str(note).replace(f"{folder}/", "") for note in loaded.notes]


def test_a_good_folder_has_none(tmp_path):
    assert notes_on(tmp_path) == []


NOTES = {
    "cheapest type missing": (
        {"profiles": {"[t4, a100]": "[a100]", "[base], cpu": "[base], gpus: [0, 1], gpu_types: [any], cpu"}},
        "profiles.yaml:12: profiles.dev.gpu_types: is for development, but does not offer the cheapest type, t4",
    ),
    "type in no profile": (
        {"profiles": {"[t4, a100]": "[t4]"}},
        "profiles.yaml:2: gpu_types.a100: is in no profile, so nobody can choose it",
    ),
    "unknown type": (
        {"profiles": {"[t4, a100]": "[t4, a100, a10o]"}},
        "profiles.yaml:12: profiles.dev.gpu_types[2]: gpu_types has no a10o; did you mean a100?",
    ),
    "unknown type in a quota": (
        {"quotas": {"gpu:t4": "gpu:v100"}},
        "quotas.yaml:1: groups.nlp.limit.gpu:v100: gpu_types has no v100; did you mean a100?",
    ),
    "unknown type in a cap": (
        {"quotas": {"{gpu: 2}": '{"gpu:h200": 1}'}},
        "quotas.yaml:2: users.alice.gpu:h200: gpu_types has no h200; it has: a100, t4",
    ),
    "soft without a cap": (
        {"quotas": {"{gpu: 2}": "{gpu: 2, soft: [gpu, cpu]}"}},
        "quotas.yaml:2: users.alice.soft[1]: has no cap on cpu, so it cannot be soft",
    ),
    "soft without a cap of each": (
        {"quotas": {'limit: {"gpu:t4": 2}': "each: {cpu: 2, soft: [servers]}"}},
        "quotas.yaml:1: groups.nlp.each.soft[0]: has no cap on servers, so it cannot be soft",
    ),
    "unknown type in a cap of each": (
        {"quotas": {'limit: {"gpu:t4": 2}': 'each: {"gpu:h200": 2}'}},
        "quotas.yaml:1: groups.nlp.each.gpu:h200: gpu_types has no h200; it has: a100, t4",
    ),
    "more by type than in all": (
        {"quotas": {"limit": "guaranteed", '"gpu:t4": 2': '"gpu:t4": 2, "gpu:a100": 1, gpu: 2.5'}},
        "quotas.yaml:1: groups.nlp.guaranteed: guarantees 3 GPUs by type, but only 2.5 in all: what goes beyond that "
        "is borrowed",
    ),
    "image in no profile": (
        {"profiles": {"[base, nlp]": "[base]"}},
        "images.yaml:3: images.nlp: is in no profile, so nobody can choose it",
    ),
    "image for some only": (
        {"profiles": {"[base, nlp]": "[nlp]"}},
        "profiles.yaml:8: profiles.dev.images: none is open to everybody who may use the profile; people without one "
        "do not see it",
    ),
    "registry of everybody": (
        {"profiles": {"images: [base, nlp]": PUBLIC}},
        "profiles.yaml:9: profiles.dev.typed_images[0].repository: anybody can publish at docker.io: name the "
        "repositories that are trusted",
    ),
    "a tool that no image has": (
        {
            "profiles": {"images: [base, nlp]": "images: [base, nlp]\n    tools: [lab, desktop]"},
            "images": {"/base}": "/base, tools: [lab]}", "/nlp,": "/nlp, tools: [lab, vscode],"},
        },
        "profiles.yaml:9: profiles.dev.tools[1]: none of the profile's images has desktop",
    ),
    "mounts without prefixes": (
        {"profiles": {"images: [base, nlp]": "images: [base, nlp]\n    mounts: true"}},
        "profiles.yaml:9: profiles.dev.mounts: lets nobody mount anything: storage.yaml has no mount_prefixes",
    ),
}


@pytest.mark.parametrize(("changes", "note"), NOTES.values(), ids=NOTES.keys())
def test_notes(tmp_path, changes, note):
    assert notes_on(tmp_path, **changes) == [note]


def test_an_image_that_says_nothing_of_its_tools_may_have_any(tmp_path):
    changes = {"images: [base, nlp]": "images: [base, nlp]\n    tools: [lab, desktop]"}
    assert notes_on(tmp_path, profiles=changes, images={"/base}": "/base, tools: [lab]}"}) == []


def test_an_image_for_the_profiles_own_groups_is_fine(tmp_path):
    changes = {"images: [base, nlp]": "images: [nlp]\n    groups: [nlp]"}
    assert notes_on(tmp_path, profiles=changes) == []
