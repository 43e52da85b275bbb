"""Build what is not there yet, parents first.

Guarantees: an image that is up to date costs one question to the engine; two builds at once wait for each other; the
archive with the site's settings exists only while the engine runs, readable by its owner alone.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from mlabhub.core.names import SAVED_PREFIX
from mlabhub.engine import labels
from mlabhub.images import site
from mlabhub.images.accelerator import Accelerator, choose_accelerator
from mlabhub.images.parents import find_parent
from mlabhub.images.program import ImageError, Program, Report, find_program
from mlabhub.images.recipes import IMAGES_DIR, Recipe, build_order, copy_context, load_recipes, make_version

WORK_DIR = IMAGES_DIR.parent / ".cache" / "images"
SECRET, CONTEXT = "site.tar.gz", "context"
VERSION_LABEL = "mlabhub.version"
CUDA_LABEL = "org.mlabhub.cuda"
"""The release of CUDA whose libraries an image has; empty for the CPU."""


@dataclass(frozen=True)
class Built:
    """An image of ours in the engine. ``seconds`` is 0 where nothing had to be done; ``size`` is in bytes."""

    name: str
    reference: str
    version: str
    up_to_date: bool
    id: str | None = None
    size: int | None = None
    created: str | None = None
    seconds: float = 0.0
    cuda: str = ""


def build_images(
    names: Iterable[str],
    *,
    no_cache: bool,
    report: Report,
    folder: Path = IMAGES_DIR,
    accelerator: Accelerator | None = None,
) -> list[Built]:
    """Build these images, or all, and what they grow from, for an ``accelerator`` or for what the machine has.

    Raises `ImageError`, `EngineUnavailable`, `NotFound`.
    """
    recipes = load_recipes(folder)
    order = build_order(recipes, list(names) or recipes)
    with _work_dir() as work_dir:
        program = find_program(work_dir)
        return [
            _build(program, recipe, recipes, choose_accelerator(recipe, accelerator), no_cache=no_cache, report=report)
            for recipe in order
        ]


def list_images(folder: Path = IMAGES_DIR) -> list[Built]:
    """Return every image of ``images/`` and whether the engine has it."""
    recipes = load_recipes(folder)
    with _work_dir() as work_dir:
        program = find_program(work_dir)
        return [_look(program, recipe, *_versions(recipe, recipes)) for recipe in recipes.values()]


def list_saved() -> list[Built]:
    """Return the images that people saved, of all installations of this engine; the name says whose it is."""
    with _work_dir() as work_dir:
        program = find_program(work_dir)
        listed = program.ask("images", "--filter", f"label={labels.OWN}", "--format", "{{.Repository}}:{{.Tag}}") or ""
        names = [name for name in listed.split() if name.startswith(labels.OWN_PREFIX)]
        known = ((name, program.inspect(name)) for name in names)
        return [_saved(name, image) for name, image in known if image is not None]


def _saved(reference: str, image: Mapping[str, Any]) -> Built:
    told = (image.get("Config") or {}).get("Labels") or {}
    return Built(
        f"{SAVED_PREFIX}{reference.rpartition(':')[2]} of {told.get(labels.USER, '?')}",
        reference,
        "",
        up_to_date=True,
        id=str(image["Id"]),
        size=image.get("Size"),
        created=image.get("Created"),
        cuda=told.get(CUDA_LABEL, ""),
    )


def make_build_command(
    program: Program,
    recipe: Recipe,
    parent: str,
    folder: Path,
    version: str,
    accelerator: Accelerator | None = None,
) -> list[str]:
    """Return the arguments of the engine's program. ``folder`` has the site's archive, and the image's files."""
    arguments = ["build", "--network=host", f"--secret=id={site.SECRET_ID},src={folder / SECRET}"]
    arguments += [f"--build-arg=PARENT={parent}", f"--label={VERSION_LABEL}={version}"]
    if accelerator:
        cuda = recipe.cuda if accelerator == "cuda" else ""
        arguments += [f"--build-arg=ACCELERATOR={accelerator}", f"--label={CUDA_LABEL}={cuda}"]
    if recipe.cpu_index:
        arguments.append(f"--build-arg=CPU_INDEX={recipe.cpu_index}")
    arguments += [f"--tag={recipe.reference}", f"--file={folder / CONTEXT / 'Containerfile'}"]
    if program.engine.kind == "podman":
        arguments += ["--layers", "--force-rm", "--pull=never", "--http-proxy=false"]
    else:
        arguments += ["--progress=plain"]
    return [*arguments, str(folder / CONTEXT)]


def _versions(recipe: Recipe, recipes: Mapping[str, Recipe]) -> list[str]:
    """Return the versions that count as up to date, whatever the machine is."""
    return [make_version(recipe, recipes, one) for one in (("cpu", "cuda") if recipe.cuda else (None,))]


def _build(
    program: Program,
    recipe: Recipe,
    recipes: Mapping[str, Recipe],
    accelerator: Accelerator | None,
    *,
    no_cache: bool,
    report: Report,
) -> Built:
    started = time.monotonic()
    version = make_version(recipe, recipes, accelerator)
    before = _look(program, recipe, version)
    if before.up_to_date and not no_cache:
        return before
    with _lock(report), tempfile.TemporaryDirectory(prefix="mlabhub-build-") as temporary:
        before = _look(program, recipe, version)  # somebody else may just have built it
        if before.up_to_date and not no_cache:
            return before
        parent = recipes.get(recipe.parent)
        reference = parent.reference if parent else find_parent(program, recipe.parent, report)
        folder = Path(temporary)
        (folder / SECRET).touch(mode=0o600)
        (folder / SECRET).write_bytes(site.make_archive(site.read_site()))
        copy_context(recipe, folder / CONTEXT)
        command = make_build_command(program, recipe, reference, folder, version, accelerator)
        program.run(*command, *(["--no-cache"] if no_cache else []), report=report)
    after = _look(program, recipe, version)
    if not after.up_to_date:
        raise ImageError(f"{recipe.reference} was built, but the engine does not show it. Run the build again.")
    # Earlier versions go, but for those that something still runs in or grows from.
    program.ask("image", "prune", "--force", "--filter", f"label={VERSION_LABEL}")
    return Built(**{**vars(after), "seconds": time.monotonic() - started})


def _look(program: Program, recipe: Recipe, *versions: str) -> Built:
    known: dict[str, Any] | None = program.inspect(recipe.reference)
    if known is None:
        return Built(recipe.name, recipe.reference, versions[0], up_to_date=False)
    told = (known.get("Config") or {}).get("Labels") or {}
    found = told.get(VERSION_LABEL)
    return Built(
        recipe.name,
        recipe.reference,
        found if found in versions else versions[0],
        up_to_date=found in versions,
        id=str(known["Id"]),
        size=known.get("Size"),
        created=known.get("Created"),
        cuda=told.get(CUDA_LABEL, ""),
    )


@contextlib.contextmanager
def _work_dir() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mlabhub-engine-") as folder:
        yield Path(folder)


@contextlib.contextmanager
def _lock(report: Report) -> Iterator[None]:
    WORK_DIR.mkdir(parents=True, exist_ok=True)
    lock = FileLock(WORK_DIR / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        report("Another build is running here; waiting for its end")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
