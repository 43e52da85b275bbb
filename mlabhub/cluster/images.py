"""What nodes call an image: ours are in the site's registry, under the names that they have in the engine.

Guarantees: pure; only names of ours are changed; with a registry none of ours is asked for anywhere else.
"""

from __future__ import annotations

from mlabhub.core.references import ImageReference, parse_reference
from mlabhub.errors import InvalidConfiguration
from mlabhub.messages import N_, Message

OURS = "localhost/mlabhub/"
RUNTIME = f"{OURS}runtime:latest"
"""What images from elsewhere lack."""


def for_nodes(reference: str, registry: str | None) -> str:
    """Return what nodes are asked for: ``localhost/mlabhub/NAME:TAG`` is ``REGISTRY/NAME:TAG``; others stay."""
    if registry is None or not reference.startswith(OURS):
        return reference
    return f"{registry.rstrip('/')}/{reference.removeprefix(OURS)}"


def brings_all(reference: str, registry: str | None) -> bool:
    """Whether an image starts by our own entry, so that nothing is added to it.

    Nobody can look into an image before its pod runs. What is in the site's folder of the registry counts as ours or as
    grown from ours.
    """
    return reference.startswith(OURS) or (registry is not None and reference.startswith(f"{registry.rstrip('/')}/"))


def parse_registry(text: str) -> str:
    """Return a registry with the folder that takes our images. Raises `InvalidConfiguration` with an example."""
    probe = parse_reference(f"{text.rstrip('/')}/base:latest")
    if probe is None or probe.registry == "localhost":
        raise InvalidConfiguration(
            Message.of(
                N_("{value} is not a registry; one looks like harbor.lab:5000/mlabhub, in lower case."), value=text
            )
        )
    return text.rstrip("/")


def in_registry(name: str, registry: str, tag: str = "latest") -> ImageReference:
    """Return where an image of ours is pushed to. Raises `InvalidConfiguration`."""
    reference = parse_reference(f"{parse_registry(registry)}/{name}:{tag}")
    if reference is None:
        raise InvalidConfiguration(
            Message.of(N_("{value} is not a tag: letters, digits and ._- make one, at most 128."), value=tag)
        )
    return reference
