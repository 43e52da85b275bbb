"""The labels that mark what is ours, and names made from them. Everything else on the engine is left alone."""

from __future__ import annotations

import hashlib
import re

MOST_TAG = 60
INSTANCE = "mlabhub.instance"
LAUNCH_ID = "mlabhub.launch-id"
USER = "mlabhub.user"
SERVER = "mlabhub.server"
GPUS = "mlabhub.gpus"
IMAGE = "mlabhub.image"
REFERENCE = "mlabhub.reference"
PARENT = "mlabhub.parent"
LAYERS = "mlabhub.layers"
OUTSIDE = "mlabhub.outside"
"""The version of what was added to an image that does not bring it; empty for images that do."""
OWN = "mlabhub.own"
"""On an image that a person saved by name; `OF_IMAGE`: what its server was started from."""
OF_IMAGE = "mlabhub.of-image"
OWN_PREFIX = "localhost/mlabhub-own/"
DESCRIPTION = "mlabhub.description"
KIND = "mlabhub.kind"
"""On a container: a workbench, in which what was installed is kept, or a TensorBoard alone."""
ROOT = "mlabhub.root"
"""On a container: its user may become root. On a saved image: some container it grew from was such."""

NOTHING_KEPT = (LAUNCH_ID, GPUS, KIND)
"""Labels of one launch, blanked in the image that is saved from its container."""


def container_name(instance: str, slug: str) -> str:
    """Return the name of a server's container."""
    return f"mlabhub-{instance}-{slug}"


def network_name(instance: str, user_slug: str) -> str:
    """Return the name of a user's network."""
    return f"mlabhub-{instance}-{user_slug}"


def saved_repository(instance: str, slug: str) -> str:
    """Return the repository that keeps what was installed in a server."""
    return f"localhost/mlabhub-saved/{instance}/{slug}"


def saved_tag(image: str) -> str:
    """Return the tag that stands for an image as launches name it: a slug as it is, anything else by its digest.

    No slug has three dashes in a row, so that no two names share a tag.
    """
    if re.fullmatch(r"[a-z0-9]+(?:-[a-z0-9]+)*", image) and len(image) <= MOST_TAG:
        return image
    readable = re.sub(r"[^a-z0-9]+", "-", image.lower()).strip("-")[:40].strip("-") or "image"
    return f"{readable}---{hashlib.sha256(image.encode()).hexdigest()[:32]}"


def saved_reference(instance: str, slug: str, image: str) -> str:
    """Return the image that keeps what was installed in a server on top of one image, as launches name it."""
    return f"{saved_repository(instance, slug)}:{saved_tag(image)}"


def own_repository(instance: str, user_slug: str) -> str:
    """Return the repository of the images that a user saved by name."""
    return f"{OWN_PREFIX}{instance}/{user_slug}"
