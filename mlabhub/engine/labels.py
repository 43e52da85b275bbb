"""The labels that mark what is ours, and names made from them. Everything else on the engine is left alone."""

from __future__ import annotations

INSTANCE = "mlabhub.instance"
LAUNCH_ID = "mlabhub.launch-id"
USER = "mlabhub.user"
SERVER = "mlabhub.server"
GPUS = "mlabhub.gpus"
IMAGE = "mlabhub.image"
REFERENCE = "mlabhub.reference"
PARENT = "mlabhub.parent"
LAYERS = "mlabhub.layers"
ROOT = "mlabhub.root"
"""On a container: its user may become root. On a saved image: some container it grew from was such."""

NOTHING_KEPT = (LAUNCH_ID, GPUS)
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


def saved_reference(instance: str, slug: str, image_slug: str) -> str:
    """Return the image that keeps what was installed in a server on top of one catalogue image."""
    return f"{saved_repository(instance, slug)}:{image_slug}"
