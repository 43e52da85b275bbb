"""Push what was built into the lab's registry, from where a cluster's nodes have it.

Guarantees: a password is in no argument and no log, and in a file only while the engine's program runs, readable by its
owner alone; what is not there is said before anything is pushed; each image's digest is what the registry confirmed.
"""

from __future__ import annotations

import base64
import json
import re
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mlabhub.cluster.images import in_registry
from mlabhub.core.references import ImageReference
from mlabhub.errors import NotFound
from mlabhub.images.program import ImageError, Program, Report, find_program
from mlabhub.images.recipes import IMAGES_DIR, Recipe, load_recipes

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Registry:
    """Where to: ``place`` is a host with a folder; without ``user`` the engine's own credentials are used."""

    place: str
    tls_verify: bool = True
    user: str = ""
    password: str = ""


@dataclass(frozen=True)
class Pushed:
    """An image as the registry has it now."""

    name: str
    reference: str
    digest: str
    seconds: float

    @property
    def exact(self) -> str:
        """The reference that never means another image."""
        return f"{self.reference.rpartition(':')[0]}@{self.digest}"


def push_images(
    names: Iterable[str], registry: Registry, *, tag: str = "latest", report: Report, folder: Path = IMAGES_DIR
) -> list[Pushed]:
    """Push these images of ``images/``, or all that are built.

    Raises `ImageError`, `EngineUnavailable`, `NotFound`, `InvalidConfiguration`.
    """
    recipes = load_recipes(folder)
    with tempfile.TemporaryDirectory(prefix="mlabhub-push-") as work_dir:
        program = find_program(Path(work_dir))
        chosen = _choose(program, list(names), recipes)
        targets = [(recipe, in_registry(recipe.name, registry.place, tag)) for recipe in chosen]
        pushing = _with_credentials(program, registry, targets[0][1].registry, Path(work_dir))
        return [_push(pushing, recipe, target, registry, report) for recipe, target in targets]


def _choose(program: Program, names: Sequence[str], recipes: dict[str, Recipe]) -> list[Recipe]:
    unknown = [name for name in names if name not in recipes]
    if unknown:
        raise NotFound(f"There is no image {unknown[0]!r}. There are: {', '.join(sorted(recipes))}.")
    built = {name for name, recipe in recipes.items() if program.inspect(recipe.reference) is not None}
    missing = [name for name in names if name not in built]
    if missing:
        raise ImageError(f"Not built yet: {', '.join(missing)}. Build first: mlabhub image build {' '.join(missing)}.")
    if not built:
        raise ImageError("Nothing is built yet. Build first: mlabhub image build base.")
    return [recipes[name] for name in names] if names else [recipe for name, recipe in recipes.items() if name in built]


def _with_credentials(program: Program, registry: Registry, host: str, folder: Path) -> Program:
    """Return the program with credentials in a file of this push's own, where some were given."""
    if not registry.user:
        return program
    secret = base64.b64encode(f"{registry.user}:{registry.password}".encode()).decode()
    file = folder / "config.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps({"auths": {host: {"auth": secret}}}))
    more = {"REGISTRY_AUTH_FILE": str(file)} if program.engine.kind == "podman" else {"DOCKER_CONFIG": str(folder)}
    return replace(program, environment={**program.environment, **more})


def _push(program: Program, recipe: Recipe, target: ImageReference, registry: Registry, report: Report) -> Pushed:
    started = time.monotonic()
    report(f"Pushing {recipe.name} to {target}")
    push = _push_by_podman if program.engine.kind == "podman" else _push_by_docker
    try:
        digest = push(program, recipe.reference, target, registry, report)
    except ImageError as error:
        raise ImageError(explain_push(target, error.log_text) or str(error), log_text=error.log_text) from error
    return Pushed(recipe.name, str(target), digest, time.monotonic() - started)


def _push_by_podman(
    program: Program, reference: str, target: ImageReference, registry: Registry, report: Report
) -> str:
    with tempfile.NamedTemporaryFile(prefix="mlabhub-digest-") as file:
        options = [f"--tls-verify={str(registry.tls_verify).lower()}", f"--digestfile={file.name}"]
        program.run("push", *options, reference, f"docker://{target}", report=report)
        return Path(file.name).read_text().strip()


def _push_by_docker(
    program: Program, reference: str, target: ImageReference, registry: Registry, report: Report
) -> str:
    if not registry.tls_verify:
        raise ImageError(
            f"Docker's daemon decides whom it trusts: add {target.registry} to insecure-registries in "
            "/etc/docker/daemon.json, restart it, and push again without --no-tls-verify."
        )
    program.run("tag", reference, str(target))
    said = program.run("push", str(target), report=report)
    found: list[str] = _DIGEST.findall(said)
    if not found:
        raise ImageError(f"{target} was pushed, but Docker names no digest.", log_text=said)
    return found[-1]


def explain_push(target: ImageReference, said: str) -> str:
    """Return what the registry's answer means and what mends it; empty if that is not known."""
    host = target.registry
    if re.search(r"unauthorized|authentication required|denied|forbidden|\b40[13]\b", said, re.IGNORECASE):
        return (
            f"The registry {host} does not take {target.repository} from this account: log in with "
            f"`podman login {host}` (or `docker login`), or give --username and --password-stdin; with Harbor the "
            "project must be there and the account may need the role of a developer."
        )
    if re.search(r"server gave HTTP response to HTTPS client|first record does not look like a TLS", said):
        return f"The registry {host} speaks plain HTTP. If that is meant, push with --no-tls-verify."
    if re.search(r"x509|certificate", said, re.IGNORECASE):
        return (
            f"The certificate of {host} is not trusted here: name its authority as CA_FILE in site.conf, or push with "
            "--no-tls-verify."
        )
    return ""
