"""The configuration folder: every fault at its line, all of them at once."""

import json
import os
import re
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlabhub.catalog import InvalidCatalog, default_directory, load_catalog, load_quotas, read_folder
from mlabhub.catalog.yaml_file import MOST_BYTES, read_document
from tests.catalog.conftest import PROFILES, faults_of


def test_the_shipped_folder_has_no_faults():
    loaded = read_folder(default_directory())
    assert loaded.faults == ()
    assert loaded.notes == ()
    cpu, gpu, board = loaded.catalog.profiles
    assert (cpu.slug, cpu.display_name, cpu.gpus.max) == ("cpu", "CPU workbench", 0)
    assert (gpu.slug, gpu.any_gpu_type, gpu.gpus.default) == ("gpu", True, 1)
    assert (board.kind, board.unused_seconds, board.images) == ("tensorboard", 3600, ("base",))
    references = [image.reference for image in loaded.catalog.images]
    assert references == [f"localhost/mlabhub/{name}:latest" for name in ("base", "desktop", "pytorch", "tensorflow")]
    assert loaded.catalog.storage.located("/srv/nas").home("alice") == "/mnt/user/alice"


COMMENTED = re.compile(
    r"^( *)#( *)(?=(groups|sudo|own_images|typed_images|mounts|options|tools|hidden|retired|gpu_types|group_defaults"
    r"|vision|alice|bob): )",
    re.MULTILINE,
)


def test_the_comments_of_the_shipped_files_are_right(tmp_path):
    """What is commented out in the shipped files is valid once it is not."""
    for file in default_directory().glob("*.yaml"):
        text = file.read_text()
        if file.name == "storage.yaml":
            text = re.sub(r"^# (?=groups:|shares:|mount_prefixes:|  )", "", text, flags=re.MULTILINE)
        text = COMMENTED.sub(lambda found: found[1] + found[2] * (found[2] != " "), text)
        text = text.replace("groups: {}\n", "groups:\n")
        (tmp_path / file.name).write_text(text)
    loaded = read_folder(tmp_path)
    assert loaded.faults == ()
    catalog = loaded.catalog
    cpu, image = catalog.profiles[0], catalog.images_by_slug["tensorflow"]
    assert (cpu.groups, cpu.sudo, cpu.own_images, cpu.mounts) == (("vision",), True, True, True)
    assert cpu.tools == ("lab", "vscode", "terminal")
    assert (str(cpu.typed_images[0]), list(cpu.options)) == ("registry.example.org:5000/lab/*", ["workers"])
    assert (image.groups, image.hidden, image.retired.successor) == (("vision",), True, "pytorch")
    assert catalog.gpu_types["a100"].display_name == "A100 80 GB"
    assert catalog.quotas.group_limit("vision") == {"gpu": 8, "gpu:a100": 6}
    assert catalog.quotas.user_limit("alice")["gpu"] == 16
    assert catalog.storage.home("alice", ["research"]) == "/mnt2/user/alice"
    assert catalog.storage.shares["fast"].tier == "scratch"
    assert catalog.storage.mount_prefixes == ("/data",)


@pytest.mark.parametrize("image", ["pytorch", "tensorflow"])
def test_the_shipped_images_say_what_they_are_built_with(image):
    labels = (default_directory().parent / "images" / image / "Containerfile").read_text()
    spec = load_catalog(default_directory()).images_by_slug[image]
    assert f"org.mlabhub.framework={spec.framework} " in labels
    assert f"org.mlabhub.release={spec.release}." in labels
    assert f"org.mlabhub.tools={','.join(spec.tools)}\n" in labels


def test_profiles_alone_are_enough(folder):
    loaded = read_folder(folder())
    assert loaded.faults == ()
    assert loaded.catalog.images_by_slug["base"].reference == "localhost/mlabhub/base:latest"
    assert loaded.catalog.quotas.user_limit("alice") == {}
    notes = [str(note).replace(f"{folder()}/", "") for note in loaded.notes]
    assert notes == [
        "images.yaml is absent: there is one image, base (localhost/mlabhub/base:latest).",
        "quotas.yaml is absent: nobody is limited.",
        "storage.yaml is absent: home and shared folders are in the state folder.",
    ]


def test_profiles_must_be_there(folder):
    assert faults_of(folder(None)) == [
        "profiles.yaml:1: is missing; copy the one that comes with mlabhub and change it"
    ]


def test_all_faults_of_all_files_at_once(folder):
    profiles = """\
profiles:
  cpu:
    display_name: 7
    images: [base, nope]
    cpu: {min: 4, max: 2}
    memory_gib: {min: 1, max: 8, default: 9}
    sud: true
  Bad Slug:
    images: []
    cpu: many
    memory_gib: .nan
    pids: 1
    purpose: fun
    gpus: [1, x]
  gpu:
    display_name: GPU
    images: [base]
    cpu: 0
    memory_gib: 1
    gpus: 1.5
  gpu:
    display_name: again
"""
    images = "images:\n  base: {display_name: Base, reference: 'a b'}\n"
    quotas = """\
groups:
  vision: {guaranteed: {gpu: 4}, limit: {gpu: 2, gpus: 1}}
  nlp: {guaranteed: {"gpu:a100": 4}, limit: {gpu: 2}}
users:
  default: {gpu: -1}
notice_second: 5
"""
    storage = "user_root: nas\nshare_target: /etc/share\n"
    assert faults_of(folder(profiles, images=images, quotas=quotas, storage=storage)) == [
        "profiles.yaml:3: profiles.cpu.display_name: must be text; put it in quotes if it looks like a number; it is 7",
        'profiles.yaml:4: profiles.cpu.images[1]: there is no image "nope"; there are: base',
        "profiles.yaml:5: profiles.cpu.cpu.max: max 2 is less than min 4; make it 4 or more",
        "profiles.yaml:6: profiles.cpu.memory_gib.default: "
        "the default 9 cannot be chosen; permitted: 1 to 8 in steps of 1",
        "profiles.yaml:7: profiles.cpu.sud: is not a known key; did you mean sudo? Known: display_name, description, "
        "groups, images, cpu, memory_gib, kind, tools, unused_minutes, gpus, gpu_types, choose_gpu, shm_gib, egress, "
        "pids, sudo, purpose, own_images, typed_images, options, …",
        "profiles.yaml:8: profiles.Bad Slug: must be lower-case letters, digits and single hyphens, such as cpu or "
        'a100-train; it is "Bad Slug"',
        "profiles.yaml:8: profiles.Bad Slug.display_name: is missing; add it",
        "profiles.yaml:9: profiles.Bad Slug.images: is empty; list at least one",
        "profiles.yaml:10: profiles.Bad Slug.cpu: "
        'must be a number, a list of numbers, or {min: 1, max: 8}; it is "many"',
        "profiles.yaml:11: profiles.Bad Slug.memory_gib: "
        "must be a number, a list of numbers, or {min: 1, max: 8}; it is nan",
        "profiles.yaml:12: profiles.Bad Slug.pids: must be 64 or more; it is 1",
        "profiles.yaml:13: profiles.Bad Slug.purpose: must be one of 'development' or 'training'; it is \"fun\"",
        'profiles.yaml:14: profiles.Bad Slug.gpus.choices[1]: must be a number, such as 2 or 0.5; it is "x"',
        "profiles.yaml:15: profiles.gpu.gpu_types: is missing: name GPU types such as [a100], or [any]",
        "profiles.yaml:18: profiles.gpu.cpu: must be 0.1 or more",
        "profiles.yaml:20: profiles.gpu.gpus: must be whole numbers",
        "profiles.yaml:21: profiles.gpu: stands here a second time (first on line 15); keep one",
        "images.yaml:2: images.base.reference: "
        'must be registry, repository and tag or digest, such as localhost/mlabhub/base:latest; it is "a b"',
        "quotas.yaml:2: groups.vision.limit.gpus: is not a resource; there are cpu, memory_gib, servers, gpu, and "
        "gpu:TYPE such as gpu:a100",
        "quotas.yaml:2: groups.vision.guaranteed.gpu: "
        "guarantees 4, more than the limit of 2 gpu; lower one or raise the other",
        "quotas.yaml:3: groups.nlp.guaranteed.gpu:a100: "
        "guarantees 4, more than the limit of 2 gpu; lower one or raise the other",
        "quotas.yaml:5: users.default.gpu: must be 0 or more; it is -1",
        "quotas.yaml:6: notice_second: is not a known key; did you mean notice_seconds? "
        "Known: groups, users, privacy, notice_seconds, claim_minutes, half_life_days, max_reclaims, "
        "owner_wait_hours, maintenance, cpu_overcommit",
        "storage.yaml:1: user_root: must be an absolute path without .. or a slash at the end, such as /srv/nas/user",
        "storage.yaml:2: share_target: "
        "is in /etc, which the images need themselves; take one such as /mnt/user or /data",
    ]


BROKEN = {
    "unclosed bracket": ("profiles: [1,\n", "profiles.yaml:2: is not YAML: "),
    "tab": ("profiles:\n\tcpu: 1\n", "profiles.yaml:2: is not YAML: a tab; indent with spaces"),
    "colon": ("profiles: a: b\n", "profiles.yaml:1: is not YAML: a colon where none can be"),
    "bad indentation": ("profiles:\n  cpu: 1\n   gpu: 2\n", "profiles.yaml:3: is not YAML: a colon where none can be"),
    "unclosed quote": ("profiles:\n  cpu: 'x\n", "profiles.yaml:"),
    "two documents": ("profiles: {}\n---\na: 1\n", "profiles.yaml:2: has more than one document"),
    "unknown alias": ("profiles: *all\n", "profiles.yaml:1: has an alias (*)"),
    "control character": ("profiles: \x01\n", "profiles.yaml:1: is not YAML: "),
    "empty": ("", "profiles.yaml:1: profiles: is missing; add it"),
    "comments only": ("# nothing\n", "profiles.yaml:1: profiles: is missing; add it"),
    "a list": ("- cpu\n", 'profiles.yaml:1: must be a mapping of keys to values; it is ["cpu"]'),
    "a word": ("profiles\n", 'profiles.yaml:1: must be a mapping of keys to values; it is "profiles"'),
    "profiles is empty": ("profiles: {}\n", "profiles.yaml:1: profiles: is empty; list at least one"),
    "profiles is a list": ("profiles: [cpu]\n", "profiles.yaml:1: profiles: must be a mapping of keys to values"),
    "profiles is null": ("profiles:\n", "profiles.yaml:1: profiles: must be a mapping of keys to values; it is null"),
    "profile is null": ("profiles:\n  cpu:\n", "profiles.yaml:2: profiles.cpu: must be a mapping of keys to values"),
    "alias": ("a: &x {b: 1}\nprofiles: *x\n", "profiles.yaml:2: profiles: is an alias (*); write the value out"),
    "refers to itself": ("profiles: &x\n  cpu: *x\n", "profiles.yaml:2: profiles.cpu: is an alias (*)"),
    "merge key": ("profiles:\n  cpu:\n    <<: {a: 1}\n", "profiles.yaml:3: profiles.cpu: has a merge key (<<)"),
    "foreign tag": ("profiles: !!python/name:os.system x\n", 'profiles: has the tag "tag:yaml.org,2002:python/name'),
    "key is a list": ("profiles:\n  ? [a]\n  : 1\n", "profiles.yaml:2: profiles: has a key that is a list"),
    "huge number": ("profiles: " + "9" * 5000 + "\n", "profiles.yaml:1: profiles: cannot be read as a number"),
    "deep": ("profiles: " + "[" * 5000 + "\n", "profiles.yaml:1: is nested too deeply; write it flat"),
    "half a character": ('profiles: "\\ud83d"\n', "profiles.yaml:1: profiles: has a broken character"),
}


@pytest.mark.parametrize(("text", "expected"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_files(folder, text, expected):
    faults = faults_of(folder(text))
    assert any(expected in fault for fault in faults)
    assert all(fault.isprintable() for fault in faults)


def test_a_bomb_does_not_go_off(folder):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    assert "is an alias (*); write the value out" in faults_of(folder("\n".join(lines)))[0]


def test_a_broken_file_does_not_hide_the_others(folder):
    faults = faults_of(folder("profiles: [", quotas="users: []\n"))
    assert [fault.split(":")[0] for fault in faults] == ["profiles.yaml", "quotas.yaml"]


def test_not_utf8(folder):
    path = folder()
    (path / "images.yaml").write_bytes(b"images:\n  base: {display_name: \xe9}\n")
    assert faults_of(path) == ["images.yaml:2: is not UTF-8 text; save it as UTF-8"]


def test_a_byte_order_mark_is_harmless(folder):
    path = folder()
    (path / "profiles.yaml").write_bytes(b"\xef\xbb\xbf" + PROFILES.encode())
    assert faults_of(path) == []


def test_things_that_are_not_files(folder):
    path = folder()
    (path / "images.yaml").mkdir()
    os.mkfifo(path / "quotas.yaml")
    (path / "storage.yaml").symlink_to(path / "gone")
    assert faults_of(path) == [
        "images.yaml:1: is not a file; put a YAML file in its place",
        "quotas.yaml:1: is not a file; put a YAML file in its place",
        "storage.yaml:1: cannot be read: No such file or directory; check the file and its permissions",
    ]


TOOLS = """\
images:
  base: {display_name: Base, reference: r.io/base, tools: [lab, terminal]}
  bare: {display_name: Bare, reference: r.io/bare}
"""


def test_tools_and_images_that_do_not_go_together(folder):
    sizes = "cpu: 1, memory_gib: 1"
    profiles = f"""\
profiles:
  one: {{display_name: One, images: [base, bare], tools: [vscode, desktop], {sizes}}}
  two: {{display_name: Two, images: [base, bare], kind: tensorboard, {sizes}}}
  three: {{display_name: Three, images: [bare], tools: [desktop], {sizes}}}
group_defaults:
  vision: {{profile: two}}
"""
    assert faults_of(folder(profiles, images=TOOLS)) == [
        "profiles.yaml:2: profiles.one.tools: leaves nothing that could be opened in the image base, which has: lab, "
        "terminal",
        "profiles.yaml:3: profiles.two.images[0]: base does not have tensorboard among its tools in images.yaml, which "
        "this kind needs",
        "profiles.yaml:3: profiles.two.images[1]: bare does not have tensorboard among its tools in images.yaml, which "
        "this kind needs",
        "profiles.yaml:6: group_defaults.vision.profile: two is started from the home page, not here; name another one",
    ]


def test_a_tensorboard_needs_no_images_yaml(folder):
    profile = "profiles: {b: {display_name: B, images: [base], kind: tensorboard, cpu: 1, memory_gib: 1}}"
    assert faults_of(folder(profile)) == []


def test_an_enormous_file(folder):
    assert faults_of(folder("#" * (MOST_BYTES + 1))) == [
        "profiles.yaml:1: is larger than 1048576 bytes; this cannot be a configuration"
    ]


@pytest.mark.parametrize("name", ["idles.yaml", "profiles.yml", "quota.yaml", "quotas.json", "Images.YAML"])
def test_files_that_would_be_ignored(folder, name):
    path = folder()
    (path / name).write_text("a: 1\n")
    (path / "profiles.md").write_text("harmless")
    (path / "schema.json").write_text("harmless")
    (path / ".hidden.yaml").write_text("harmless")
    assert faults_of(path) == [
        f"{name}:1: is not read by this version; remove or rename it. "
        "It reads: profiles.yaml, images.yaml, quotas.yaml, storage.yaml, kubernetes.yaml, idle.yaml, "
        "notifications.yaml"
    ]


def test_no_folder(tmp_path):
    for path in (tmp_path / "gone", tmp_path / "file"):
        (tmp_path / "file").touch()
        (fault,) = read_folder(path).faults
        assert str(fault) == f"{path}:1: is not a folder that can be read; name the one that has profiles.yaml"


def test_loading_raises_all_of_it(folder):
    path = folder("profiles:\n  cpu: {}\n", quotas="x: 1\n")
    with pytest.raises(InvalidCatalog) as caught:
        load_catalog(path)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"The configuration in {path} cannot be used; faults: {len(caught.value.faults)}."
    assert lines[1:] == [str(fault) for fault in caught.value.faults]
    assert caught.value.data["faults"][0] == {
        "file": f"{path}/profiles.yaml",
        "line": 2,
        "path": "profiles.cpu.display_name",
        "message": "is missing; add it",
    }


def test_quotas_as_yaml_or_json(tmp_path):
    content = {"groups": {"vision": {"limit": {"gpu:a100": 6}}}, "users": {"默认😀": {"gpu": 8}}, "notice_seconds": 60}
    file = tmp_path / "quotas-2027.json"
    for text in (json.dumps(content), json.dumps(content, indent="\t"), json.dumps(content, ensure_ascii=False)):
        file.write_text(text)
        quotas = load_quotas(file)
        assert quotas.group_limit("vision") == {"gpu:a100": 6}
        assert quotas.user_limit("默认😀") == {"gpu": 8}
        assert quotas.notice_seconds == 60
    file.write_text('{"groups": {\n"v": {"limit": {"gpu": -1}}}}')
    with pytest.raises(InvalidCatalog, match=r"quotas-2027.json:2: groups.v.limit.gpu: must be 0 or more; it is -1"):
        load_quotas(file)
    with pytest.raises(InvalidCatalog, match=r"gone.yaml:1: cannot be read"):
        load_quotas(tmp_path / "gone.yaml")


def test_a_large_catalogue(folder):
    profile = PROFILES.split("\n", 2)[2]
    text = "profiles:\n" + "".join(f"  p{number}:\n{profile}" for number in range(500))
    loaded = read_folder(folder(text))
    assert loaded.faults == ()
    assert len(loaded.catalog.profiles) == 500


SHIPPED = {file.name: file.read_text() for file in default_directory().glob("*.yaml")}


@given(st.sampled_from(sorted(SHIPPED)), st.data())
def test_any_damage_gives_faults_with_lines(tmp_path_factory, name, data):
    """Cut, double or replace something in a shipped file: it loads, or every fault is one line that points into it."""
    path = tmp_path_factory.mktemp("folder")
    for file, text in SHIPPED.items():
        (path / file).write_text(text)
    text = SHIPPED[name]
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 40)))
    middle = data.draw(
        st.text(max_size=5) | st.sampled_from(["null", "-1", "[]", "{}", ".inf", "*x", "&x", "<<", text])
    )
    (path / name).write_bytes((text[:start] + middle + text[end:]).encode())
    loaded = read_folder(path)
    shutil.rmtree(path)
    assert (loaded.catalog is None) == bool(loaded.faults)
    for fault in loaded.faults:
        assert str(fault).isprintable()
        assert fault.file.name in SHIPPED
        assert 0 <= fault.line <= len(text) * 2


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_blamed(tmp_path_factory, content):
    file = tmp_path_factory.mktemp("bytes") / "profiles.yaml"
    file.write_bytes(content)
    document = read_document(file)
    shutil.rmtree(file.parent)
    assert all(str(fault).isprintable() for fault in document.faults)


def test_names_that_hide_a_line_break_stay_on_one_line(folder):
    """What is no slug is named by the sentences about references, too."""
    profiles = (
        'profiles:\n  "d\\nk": {display_name: D, images: ["b\\ne"], groups: [a], cpu: 1, memory_gib: 1}\n'
        'group_defaults: {b: {profile: "d\\nk", image: "b\\ne"}, c: {profile: dk}, a: {profile: "d\\nk", image: no}}\n'
    )
    images = (
        'images:\n  "b\\ne": {display_name: B, reference: r.io/b, retired: {successor: "b\\ne"}}\n'
        '  x: {display_name: X, reference: r.io/x, retired: {successor: "b\\ne"}}\n'
    )
    path = folder(profiles, images=images)
    (path / "a\nb.yaml").touch()
    faults = faults_of(path)
    assert len(faults) > 7
    assert all(fault.isprintable() for fault in faults)
