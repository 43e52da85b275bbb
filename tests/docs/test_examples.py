"""The worked examples are valid as they stand, and what the how-to shows of them is theirs."""

from __future__ import annotations

import shutil
import textwrap
from pathlib import Path

import pytest

from mlabhub.catalog import default_directory, load_catalog, read_folder
from mlabhub.core.profiles import default_choice, visible_profiles
from mlabhub.core.resolve import resolve
from mlabhub.site import read_site_file
from tests.docs.pages import DOCS, blocks

TWO_GROUPS = DOCS / "examples" / "two-groups"
SHOWN = [one for one in blocks(DOCS / "how-to" / "lab-with-two-groups.md") if one.language == "yaml"]


FOLDERS = [file.parent for file in sorted(DOCS.glob("examples/*/profiles.yaml"))]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_an_example_has_neither_faults_nor_notes(folder: Path) -> None:
    loaded = read_folder(folder)
    assert (loaded.faults, loaded.notes) == ((), ())
    assert read_site_file(folder / "site.conf").faults == ()


@pytest.mark.parametrize("shown", [one.text for one in SHOWN], ids=[one.text.split()[0] for one in SHOWN])
def test_what_the_page_shows_is_in_the_example(shown: str) -> None:
    files = "".join(file.read_text() for file in sorted(TWO_GROUPS.glob("*.yaml")))
    assert shown in files, textwrap.shorten(shown, 80)


def test_the_two_groups_get_what_the_page_says() -> None:
    catalog = load_catalog(TWO_GROUPS)
    for group, image in (("vision", "base"), ("nlp", "pytorch")):
        assert [one.slug for one in visible_profiles(catalog, [group])] == ["cpu", "develop", "train"]
        default = default_choice(catalog, [group], visible_profiles(catalog, [group]))
        assert default is not None
        assert (default.profile.slug, resolve(catalog, "x", [group], {}).image) == ("cpu", image)
    launch = {"profile": "train", "image": "registry.lab:5000/models/x:1", "options": {"workers": 4}}
    launch["mounts"] = [{"share": "imagenet", "target": "/data/imagenet"}]
    request = resolve(catalog, "alice", ["vision"], launch)
    assert (request.gpu_type, request.image_kind, len(request.mounts)) == ("a100", "typed", 1)
    assert request.environment["NUM_WORKERS"] == "4"
    assert request.environment["PRECISION"] == "bf16"
    assert resolve(catalog, "alice", ["vision"], {"profile": "develop"}).gpu_type == "t4"


def test_the_desktops_options_choose_language_and_time_zone(tmp_path: Path) -> None:
    [options] = [one.text for one in blocks(DOCS / "how-to" / "desktop.md") if one.language == "yaml"]
    config = tmp_path / "config"
    shutil.copytree(default_directory(), config)
    profiles = config / "profiles.yaml"
    line = "    images: [base,"
    profiles.write_text(profiles.read_text().replace(line, textwrap.indent(options, "    ") + "\n" + line, 1))
    request = resolve(load_catalog(config), "alice", [], {"profile": "cpu", "options": {"language": "zh"}})
    assert (request.environment["LANG"], request.environment["TZ"]) == ("zh_CN.UTF-8", "Asia/Shanghai")
