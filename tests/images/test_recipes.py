"""Which images there are, their order, and when one has changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlabhub.errors import InvalidConfiguration, NotFound
from mlabhub.images import Recipe, build_order, load_recipes
from mlabhub.images.recipes import copy_context, make_version


def write(folder: Path, **parents: str) -> None:
    (folder / "images.yaml").write_text(
        "".join(f"{name}: {{parent: '{parent}'}}\n" for name, parent in parents.items())
    )
    for name in parents:
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "Containerfile").write_text("ARG PARENT\nFROM ${PARENT}\n")


def test_the_shipped_images_can_be_read():
    recipes = load_recipes()
    assert recipes["base"].reference == "localhost/mlabhub/base:latest"
    containerfile = (recipes["base"].folder / "Containerfile").read_text()
    assert f"ARG PARENT={recipes['base'].parent}\n" in containerfile


def test_parents_come_first(recipes_folder: Path):
    write(recipes_folder, vision="torch", torch="base", base="docker.io/library/debian:12", other="base")
    recipes = load_recipes(recipes_folder)
    assert [recipe.name for recipe in build_order(recipes, ["vision"])] == ["base", "torch", "vision"]
    assert [recipe.name for recipe in build_order(recipes, ["other", "torch"])] == ["base", "other", "torch"]


def test_an_unknown_image_is_named_with_those_there_are(recipes_folder: Path):
    write(recipes_folder, base="debian:12")
    with pytest.raises(NotFound, match=r"no image 'bse'.*base"):
        build_order(load_recipes(recipes_folder), ["bse"])


def test_a_circle_is_shown(recipes_folder: Path):
    write(recipes_folder, a="b", b="a")
    with pytest.raises(InvalidConfiguration, match="a grows from b grows from a: a circle"):
        load_recipes(recipes_folder)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("base: {}", "parent", id="no-parent"),
        pytest.param("base: {parent: x, from: y}", "from", id="unknown-key"),
        pytest.param("- base", "dict", id="no-mapping"),
        pytest.param("base: [", "images.yaml cannot be used: line 1: ", id="no-yaml"),
        pytest.param("a:\n\tparent: x", "line 2: found character", id="tab"),
        pytest.param("a: {parent: x}\na: {parent: x}", "line 2: found duplicate key", id="twice"),
        pytest.param("Base Image: {parent: x}", "cannot be an image's name", id="name"),
        pytest.param("absent: {parent: x}", "has no", id="no-folder"),
        pytest.param("base: {parent: x, extensions: [absent]}", "wants absent", id="no-extension"),
    ],
)
def test_a_fault_names_the_file(recipes_folder: Path, text: str, said: str):
    write(recipes_folder, base="debian:12")
    (recipes_folder / "images.yaml").write_text(text)
    with pytest.raises(InvalidConfiguration, match=said) as caught:
        load_recipes(recipes_folder)
    assert "images.yaml" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_what_is_no_text_is_said_in_one_line(recipes_folder: Path):
    (recipes_folder / "images.yaml").write_bytes(b"\xff")
    with pytest.raises(InvalidConfiguration, match=r"images\.yaml cannot be used: 'utf-8' codec") as caught:
        load_recipes(recipes_folder)
    assert len(str(caught.value).splitlines()) == 1


def version(folder: Path, name: str) -> str:
    recipes = load_recipes(folder)
    return make_version(recipes[name], recipes)


def test_a_version_stands_for_the_content(recipes_folder: Path, tmp_path: Path):
    write(recipes_folder, base="debian:12", torch="base")
    before = version(recipes_folder, "base"), version(recipes_folder, "torch")
    (recipes_folder / "base" / "README.md").write_text("words")
    assert (version(recipes_folder, "base"), version(recipes_folder, "torch")) == before
    script = recipes_folder / "base" / "entry"
    script.write_text("#!/bin/sh\n")
    changed = version(recipes_folder, "base"), version(recipes_folder, "torch")
    assert changed[0] != before[0]
    assert changed[1] != before[1]
    script.chmod(0o755)
    assert version(recipes_folder, "base") != changed[0]


def test_a_version_does_not_depend_on_where_the_files_are(tmp_path: Path):
    for place in ("one", "two"):
        (tmp_path / place).mkdir()
        write(tmp_path / place, base="debian:12")
    assert version(tmp_path / "one", "base") == version(tmp_path / "two", "base")


def test_another_parent_is_another_version(tmp_path: Path):
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "Containerfile").write_text("FROM scratch\n")
    assert make_version(Recipe("base", "debian:12", folder), {}) != make_version(
        Recipe("base", "debian:13", folder), {}
    )


def test_an_image_is_built_from_its_files_and_its_extensions(recipes_folder: Path, tmp_path: Path):
    write(recipes_folder, base="debian:12", torch="base")
    (recipes_folder / "images.yaml").write_text("base: {parent: x, extensions: [tools]}\ntorch: {parent: base}\n")
    tools = tmp_path / "extensions" / "tools"
    for name in ("part.py", "README.md", "static/vendor/made.js", "tools.egg-info/PKG-INFO", "__pycache__/part.pyc"):
        (tools / name).parent.mkdir(parents=True, exist_ok=True)
        (tools / name).write_text("1")
    copy_context(load_recipes(recipes_folder)["base"], tmp_path / "context")
    copied = [str(path.relative_to(tmp_path / "context")) for path in (tmp_path / "context").rglob("*.*")]
    assert sorted(copied) == ["extensions/tools/README.md", "extensions/tools/part.py"]
    before = version(recipes_folder, "torch")
    (tools / "static/vendor/made.js").write_text("2")
    assert version(recipes_folder, "torch") == before
    (tools / "labextension").mkdir()
    (tools / "labextension" / "made.js").write_text("1")
    assert version(recipes_folder, "torch") == before
    copy_context(load_recipes(recipes_folder)["base"], tmp_path / "context")
    assert (tmp_path / "context/extensions/tools/labextension/made.js").is_file()
    (tools / "part.py").write_text("2")
    assert version(recipes_folder, "torch") != before


def test_the_hubs_image_has_what_pages_load(tmp_path: Path):
    copy_context(load_recipes()["hub"], tmp_path)
    static = tmp_path / "mlabhub" / "service" / "pages" / "static"
    assert (static / "usage.js").is_file()
    assert (static / "vendor" / "uplot" / "uPlot.iife.min.js").is_file()
    assert not list(tmp_path.rglob("__pycache__"))
