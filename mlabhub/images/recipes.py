"""The folder ``images/``: which images there are, what each grows from, and whether one has changed.

Guarantees: parents come before children; a circle or an unknown parent is said in words; the same files give the same
version on every machine, and any change below an image changes its version too.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from mlabhub.errors import InvalidConfiguration, NotFound

IMAGES_DIR = Path(__file__).resolve().parents[2] / "images"
EXTENSIONS = "extensions"
"""Beside the folder of images, and in a build: the packages of ours that run inside servers."""
PREFIX = "localhost/mlabhub/"
MADE = {"__pycache__"}
MADE_IN_EXTENSIONS = {*MADE, "build", "node_modules", "vendor"}
"""Folders that are made from the other files. An image makes those of extensions itself; what our own pages load in the
browser (``mlabhub/service/pages/static/vendor``) is taken along."""
TAKEN_ALONG = "labextension"
"""A folder that is made before a build, which takes it along: its names depend on where the checkout lies. A build
refuses one that is not made from the other files (``images/base/build/install-extensions``)."""


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    parent: str
    cuda: str = ""
    cpu_index: str = ""
    extensions: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """One image: its folder with the Containerfile, and its parent, one of ours by name or one of a registry.

    ``cuda``: the release of CUDA that it can be built with; empty if it is the same for all machines. ``extensions``:
    which of our packages are installed in it. ``files``: what of the checkout it is built from besides its own folder.
    """

    name: str
    parent: str
    folder: Path
    cuda: str = ""
    cpu_index: str = ""
    extensions: tuple[str, ...] = ()
    files: tuple[str, ...] = ()

    @property
    def reference(self) -> str:
        """What the built image is called in the engine."""
        return f"{PREFIX}{self.name}:latest"


def load_recipes(folder: Path = IMAGES_DIR) -> dict[str, Recipe]:
    """Read ``images.yaml``. Raises `InvalidConfiguration`."""
    file = folder / "images.yaml"
    try:
        entries = TypeAdapter(dict[str, _Entry]).validate_python(YAML(typ="safe").load(file.read_text()))
    except (OSError, YAMLError, ValidationError, UnicodeDecodeError) as error:
        raise InvalidConfiguration(f"{file} cannot be used: {_why(error)}") from error
    recipes = {
        name: Recipe(name, entry.parent, folder / name, entry.cuda, entry.cpu_index, entry.extensions, entry.files)
        for name, entry in entries.items()
    }
    for recipe in recipes.values():
        if not re.fullmatch(r"[a-z0-9]+([._-][a-z0-9]+)*", recipe.name):
            raise InvalidConfiguration(f"{file}: {recipe.name!r} cannot be an image's name: use a-z, 0-9 and -.")
        if not (recipe.folder / "Containerfile").is_file():
            raise InvalidConfiguration(f"{file}: {recipe.name} has no {recipe.folder / 'Containerfile'}.")
        for extension in recipe.extensions:
            if not (folder.parent / EXTENSIONS / extension).is_dir():
                raise InvalidConfiguration(f"{file}: {recipe.name} wants {extension}, which is not in {EXTENSIONS}/.")
        for wanted in recipe.files:
            if ".." in Path(wanted).parts or not (folder.parent / wanted).exists():
                raise InvalidConfiguration(f"{file}: {recipe.name} wants {wanted}, which is not in {folder.parent}.")
    build_order(recipes, recipes)
    return recipes


def _why(error: Exception) -> str:
    """Return what is wrong in one line, the first of it."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(key) for key in first["loc"] if key != "[key]")
        return f"{where}: {first['msg']}." if where else f"{first['msg']}."
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        return f"line {error.problem_mark.line + 1}: {' '.join(str(error.problem).split())}."
    return " ".join(str(error).split())


def build_order(recipes: Mapping[str, Recipe], names: Iterable[str]) -> tuple[Recipe, ...]:
    """Return the images to build for these, parents first. Raises `NotFound`, `InvalidConfiguration`."""
    order: dict[str, Recipe] = {}
    for name in names:
        if name not in recipes:
            raise NotFound(f"There is no image {name!r}. There are: {', '.join(sorted(recipes))}.")
        chain: list[str] = []
        while name in recipes and name not in order:
            if name in chain:
                raise InvalidConfiguration(f"images.yaml: {' grows from '.join([*chain, name])}: a circle.")
            chain.append(name)
            name = recipes[name].parent
        order.update((link, recipes[link]) for link in reversed(chain))
    return tuple(order.values())


def context_files(recipe: Recipe) -> dict[str, Path]:
    """Return the files that an image is built from, by their names in the build: its folder's, and what it asks for."""
    folders = {".": recipe.folder}
    for extension in recipe.extensions:
        folders[f"{EXTENSIONS}/{extension}"] = recipe.folder.parents[1] / EXTENSIONS / extension
    folders.update((name, recipe.folder.parents[1] / name) for name in recipe.files)
    return {
        str(Path(place) / path.relative_to(folder)): path
        for place, folder in folders.items()
        for path in ([folder] if folder.is_file() else sorted(folder.rglob("*")))
        if path.is_file()
        and not _is_made(path.relative_to(folder), MADE_IN_EXTENSIONS if place.startswith(EXTENSIONS) else MADE)
    }


def copy_context(recipe: Recipe, target: Path) -> None:
    """Copy the files that an image is built from into one folder. Their times stay: engines look at them."""
    for name, path in context_files(recipe).items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target / name)


def make_version(recipe: Recipe, recipes: Mapping[str, Recipe], accelerator: str | None = None) -> str:
    """Return what stands for the content of an image: of its folder, of all that it grows from, and what it is for."""
    parent = recipes.get(recipe.parent)
    digest = hashlib.sha256((make_version(parent, recipes) if parent else recipe.parent).encode())
    if accelerator:
        digest.update(f"{accelerator}\n".encode())
    for name, file in context_files(recipe).items():
        if file.name != "README.md" and file.suffix != ".in" and TAKEN_ALONG not in Path(name).parts:
            mode = "x" if file.stat().st_mode & 0o100 else "-"
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            digest.update(f"{name} {mode} {content}\n".encode())
    return digest.hexdigest()[:16]


def _is_made(path: Path, made: set[str]) -> bool:
    return any(part in made or part.endswith(".egg-info") for part in path.parts[:-1])
