"""What was installed in a server outlives it: its container's writable layer becomes an image, the container goes.

Guarantees: a container is removed only after what it changed is saved; doing it twice, or again after a crash in the
middle, gives the same; a server's secrets are not in its saved image; the number of layers is bounded. Every launch
gets a new container, so another size, GPU or GPU count never meets an old one's limits.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mlabhub.core.tools import TENSORBOARD
from mlabhub.engine import labels
from mlabhub.engine.api import EngineApi
from mlabhub.engine.containerfile import env_line, label_line
from mlabhub.engine.errors import EngineError
from mlabhub.engine.info import ContainerInfo, ImageInfo
from mlabhub.messages import N_, Message

MOST_LAYERS = 20
"""Saved layers before they are squashed into one; overlayfs stops at a few hundred, and each makes lookups slower."""
MOST_LAYERS_IN_ALL = 120
"""Docker stops at 128, those of the image below included."""

_IGNORED = (
    "/dev",
    "/etc/apt/apt.conf.d/00mlabhub-site",
    "/etc/conda/condarc.d",
    "/etc/group",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/ld.so.preload",
    "/etc/mtab",
    "/etc/passwd",
    "/etc/resolv.conf",
    "/etc/sudoers.d/mlabhub",
    "/etc/xdg/pip",
    "/mnt",
    "/opt/mlabhub",
    "/proc",
    "/run",
    "/sys",
    "/tmp",
    "/var/lib/mlabhub",
    "/var/run",
)
"""What the engine, the mounts and the image's entry touch at every start."""

_OF_THE_ENGINE = frozenset({"HOME", "HOSTNAME", "PATH", "TERM", "container"})
"""Variables that the engine adds by itself, where the image has none."""


@dataclass(frozen=True)
class Saved:
    """A saved image: whose it is, what it grew from."""

    reference: str
    id: str
    user: str
    server_name: str
    image: str
    image_reference: str
    parent: str
    layers: int
    root: bool
    outside: bool = False
    """Whether it lacks what servers need, so that it is added at each start."""
    environment: tuple[str, ...] = ()
    created: float = 0.0


def worth_keeping(changes: Iterable[tuple[int, str]]) -> bool:
    """Return whether anything was installed, changed or deleted beyond what every start touches.

    A folder counts as changed when something in it was; alone that is no reason.
    """
    paths = [path for _, path in changes]
    parents = {posixpath.dirname(path) for path in paths}
    return any(path not in parents and not _is_ignored(path) for path in paths)


def make_changes(
    container: ContainerInfo, image_environment: Sequence[str], new_labels: Mapping[str, str]
) -> list[str]:
    """Return Containerfile lines that take one launch's environment out of the image made from its container."""
    kept = dict(entry.split("=", 1) for entry in image_environment if "=" in entry)
    lines = []
    for name, _, value in (entry.partition("=") for entry in container.environment):
        if value != kept.get(name, "") and (name in kept or name not in _OF_THE_ENGINE):
            lines.append(env_line(name, kept.get(name, "")))
    lines += [label_line(name, value) for name, value in new_labels.items()]
    return lines + [label_line(name, "") for name in labels.NOTHING_KEPT]


class SavedLayers:
    """Keeps what was installed in the servers of one installation."""

    def __init__(self, api: EngineApi, instance: str, *, most_layers: int = MOST_LAYERS):
        self._api = api
        self._instance = instance
        self._most_layers = most_layers

    async def carry_over(self, container: ContainerInfo, slug: str) -> bool:
        """Save what a stopped container changed, then remove it. Return whether there was anything to save.

        In a TensorBoard alone nobody installs anything, so nothing of it is kept.
        Hub and reconciler may do so at once: what the other removed first, it saved before.
        """
        try:
            used = container.state != "created" and container.labels.get(labels.KIND) != TENSORBOARD
            saved = used and worth_keeping(await self._api.changes(container.id))
            if saved:
                await self._save(container, slug)
            await self._api.remove(container.id)
        except EngineError:
            if await self._api.container(container.id) is not None:
                raise
            return False
        return saved

    async def of_user(self, user: str) -> tuple[Saved, ...]:
        """Return the saved images of a user's servers."""
        mine = {labels.INSTANCE: self._instance, labels.USER: user, labels.PARENT: ""}
        # Labels alone prove nothing: an image from elsewhere may have any. These names cannot come from a registry.
        return tuple(_saved(image) for image in await self._api.images(mine) if self._is_ours(image))

    async def find(self, slug: str, image: str) -> Saved | None:
        """Return what was saved in a server on top of a catalogue image."""
        found = await self._api.image(labels.saved_reference(self._instance, slug, image))
        return None if found is None else _saved(found)

    async def latest(self, user: str, server_name: str) -> Saved | None:
        """Return what was saved last in a server, on top of whichever image."""
        mine = [saved for saved in await self.of_user(user) if saved.server_name == server_name]
        return max(mine, key=lambda saved: saved.created, default=None)

    async def reset(self, user: str, server_name: str) -> None:
        """Forget what was installed in a server, on top of whichever image."""
        for saved in await self.of_user(user):
            if saved.server_name == server_name:
                await self._api.remove_image(saved.reference)

    def _is_ours(self, image: ImageInfo, *, nameless: bool = False) -> bool:
        """Whether an image was saved here, by its names; ``nameless``: one that a newer took the name of, too."""
        repository = labels.saved_repository(self._instance, "")
        if not image.references:
            return (
                nameless
                and image.labels.get(labels.INSTANCE) == self._instance
                and bool(image.labels.get(labels.PARENT))
            )
        return all(name.startswith(repository) for name in image.references)

    async def _save(self, container: ContainerInfo, slug: str) -> None:
        tag = labels.saved_tag(container.labels[labels.IMAGE])
        repository = labels.saved_repository(self._instance, slug)
        grew_from = await self._api.image(container.image_id)
        replaced = await self._api.image(f"{repository}:{tag}")
        layers = int(container.labels.get(labels.LAYERS) or 0) + 1
        squash = layers > self._most_layers or (grew_from is not None and grew_from.layers >= MOST_LAYERS_IN_ALL)
        environment = () if grew_from is None else grew_from.environment
        lines = make_changes(container, environment, {labels.LAYERS: str(1 if squash else layers)})
        save = self._api.squash if squash else self._api.commit
        new = await save(container.id, repository, tag, lines)
        await self._api.remove(container.id)
        # Only what was saved here goes, and no image of the catalogue. Layers stay as long as the new image needs them.
        older = {
            image.id for image in (grew_from, replaced) if image is not None and self._is_ours(image, nameless=True)
        }
        for image_id in older - {new}:
            await self._api.remove_image(f"sha256:{image_id}")


def _saved(image: ImageInfo) -> Saved:
    try:
        return Saved(
            reference=next(iter(image.references), image.id),
            id=image.id,
            user=image.labels[labels.USER],
            server_name=image.labels[labels.SERVER],
            image=image.labels[labels.IMAGE],
            image_reference=image.labels.get(labels.REFERENCE, ""),
            parent=image.labels[labels.PARENT],
            layers=int(image.labels.get(labels.LAYERS) or 1),
            root=image.labels.get(labels.ROOT) == "1",
            outside=bool(image.labels.get(labels.OUTSIDE)),
            environment=image.environment,
            created=image.created or 0.0,
        )
    except (KeyError, ValueError) as error:
        raise EngineError(
            Message.of(
                N_("The saved image {image} has lost its labels. Reset the server to start anew."), image=image.id[:12]
            )
        ) from error


def _is_ignored(path: str) -> bool:
    if "/__pycache__" in path:
        return True
    return any(path == ignored or path.startswith(f"{ignored}/") for ignored in _IGNORED)
