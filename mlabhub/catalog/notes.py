"""What is valid in the configuration folder and probably not meant: told by `mlabhub check`, never a fault.

Guarantees: pure; a folder that is as it should be has no notes.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from mlabhub.catalog.cluster_notes import notes_on_cluster
from mlabhub.catalog.faults import KeyPath
from mlabhub.core.gpu_types import default_gpu_type
from mlabhub.core.profiles import Catalog, Profile
from mlabhub.core.quotas import DEFAULT_USER, Quotas, UserCap
from mlabhub.core.quote import quote_all
from mlabhub.core.units import GPU, GPU_PREFIX, format_number, from_micro, to_micro
from mlabhub.messages import N_, Message

PUBLIC = frozenset({"docker.io", "ghcr.io", "index.docker.io", "quay.io", "registry-1.docker.io"})
"""Registries where anybody can publish under a name of their own."""


@dataclass(frozen=True)
class Note:
    """Something to look at, with the key that it is about."""

    file: str
    path: KeyPath
    message: Message


def notes_on(catalog: Catalog) -> Iterator[Note]:
    """Return what an administrator may want to look at."""
    for profile in catalog.profiles:
        at = ("profiles", profile.slug)
        for key, message in _on_profile(catalog, profile):
            yield Note("profiles.yaml", (*at, *key), message)
    used = {slug for profile in catalog.profiles for slug in profile.images}
    for image in catalog.images:
        if image.slug not in used:
            yield Note("images.yaml", ("images", image.slug), Message(N_("is in no profile, so nobody can choose it")))
    yield from _on_gpu_types(catalog)
    yield from _on_quotas(catalog)
    yield from _on_soft_caps(catalog.quotas)
    yield from _on_guarantees(catalog.quotas)
    for key, message in notes_on_cluster(catalog):
        yield Note("kubernetes.yaml", key, message)


def _on_profile(catalog: Catalog, profile: Profile) -> Iterator[tuple[KeyPath, Message]]:
    shown = (image for image in catalog.images_of(profile) if image.shown)
    if not any(image.groups is None or _covers(image.groups, profile.groups) for image in shown):
        message = Message(N_("none is open to everybody who may use the profile; people without one do not see it"))
        yield ("images",), message
    if catalog.gpu_types and not profile.any_gpu_type:
        yield from _on_types_of(catalog, profile)
    for index, allowed in enumerate(profile.typed_images):
        if allowed.registry in PUBLIC and allowed.repository.startswith("*"):
            message = Message.of(
                N_("anybody can publish at {registry}: name the repositories that are trusted"),
                registry=allowed.registry,
            )
            yield ("typed_images", index, "repository"), message
    yield from _on_tools(catalog, profile)
    if profile.mounts and not catalog.storage.mount_prefixes:
        yield ("mounts",), Message(N_("lets nobody mount anything: storage.yaml has no mount_prefixes"))


def _on_tools(catalog: Catalog, profile: Profile) -> Iterator[tuple[KeyPath, Message]]:
    """Find tools that no image of a profile has; one that says nothing of its tools may have any."""
    images = catalog.images_of(profile)
    if not all(image.tools for image in images):
        return
    for index, tool in enumerate(profile.tools or ()):
        if not any(tool in image.tools for image in images):
            yield ("tools", index), Message.of(N_("none of the profile's images has {tool}"), tool=tool)


def _on_types_of(catalog: Catalog, profile: Profile) -> Iterator[tuple[KeyPath, Message]]:
    known = catalog.gpu_types
    for index, gpu_type in enumerate(profile.gpu_types):
        if gpu_type not in known:
            yield ("gpu_types", index), _unknown_type(gpu_type, catalog)
    own = profile.default_gpu_type(known)
    cheapest = default_gpu_type(tuple(known), "development", known)
    if profile.purpose == "development" and own in known and cheapest and known[cheapest].cost < known[own].cost:
        message = Message.of(
            N_("is for development, but does not offer the cheapest type, {gpu_type}"), gpu_type=cheapest
        )
        yield ("gpu_types",), message


def _on_gpu_types(catalog: Catalog) -> Iterator[Note]:
    offered = {gpu_type for profile in catalog.profiles for gpu_type in profile.gpu_types}
    if any(profile.any_gpu_type for profile in catalog.profiles):
        return
    for gpu_type in catalog.gpu_types:
        if gpu_type not in offered:
            message = Message(N_("is in no profile, so nobody can choose it"))
            yield Note("profiles.yaml", ("gpu_types", gpu_type), message)


def _on_quotas(catalog: Catalog) -> Iterator[Note]:
    """Find types that quotas limit and nothing else knows: a slip of the pen there limits nobody."""
    if not catalog.gpu_types:
        return
    limits: list[tuple[KeyPath, Iterable[str]]] = []
    for group, quota in catalog.quotas.groups.items():
        limits += [(("groups", group, "limit"), quota.limit), (("groups", group, "guaranteed"), quota.guaranteed)]
        if quota.each is not None:
            limits.append((("groups", group, "each"), quota.each.limit))
    general = catalog.quotas.user_limit(DEFAULT_USER)
    for user in catalog.quotas.users:
        own = catalog.quotas.user_limit(user)
        limits.append((("users", user), [one for one in own if user == DEFAULT_USER or one not in general]))
    for path, resources in limits:
        for resource in resources:
            gpu_type = resource.removeprefix(GPU_PREFIX)
            if resource.startswith(GPU_PREFIX) and gpu_type not in catalog.gpu_types:
                yield Note("quotas.yaml", (*path, resource), _unknown_type(gpu_type, catalog))


def _on_soft_caps(quotas: Quotas) -> Iterator[Note]:
    """Find caps that are called soft and are not there."""
    caps: list[tuple[KeyPath, UserCap, Mapping[str, float]]] = [
        (("users", user), cap, quotas.user_limit(user)) for user, cap in quotas.users.items()
    ]
    caps += [
        (("groups", group, "each"), quota.each, quotas.user_limit(DEFAULT_USER, group))
        for group, quota in quotas.groups.items()
        if quota.each is not None
    ]
    for path, cap, limit in caps:
        for index, resource in enumerate(cap.soft if isinstance(cap.soft, tuple) else ()):
            if resource not in limit:
                message = Message.of(N_("has no cap on {resource}, so it cannot be soft"), resource=resource)
                yield Note("quotas.yaml", (*path, "soft", index), message)


def _on_guarantees(quotas: Quotas) -> Iterator[Note]:
    """Find guarantees by type that the one on all GPUs holds down: beyond it, a type is borrowed."""
    for group, quota in quotas.groups.items():
        typed = [one for one in quota.guaranteed if one.startswith(GPU_PREFIX)]
        together = from_micro(sum(to_micro(quota.guaranteed[one]) for one in typed))
        if typed and GPU in quota.guaranteed and together > quota.guaranteed[GPU]:
            message = Message.of(
                N_("guarantees {amount} GPUs by type, but only {total} in all: what goes beyond that is borrowed"),
                amount=format_number(together),
                total=format_number(quota.guaranteed[GPU]),
            )
            yield Note("quotas.yaml", ("groups", group, "guaranteed"), message)


def _unknown_type(gpu_type: str, catalog: Catalog) -> Message:
    close = difflib.get_close_matches(gpu_type, catalog.gpu_types, 1)
    if close:
        return Message.of(N_("gpu_types has no {gpu_type}; did you mean {close}?"), gpu_type=gpu_type, close=close[0])
    return Message.of(
        N_("gpu_types has no {gpu_type}; it has: {known}"), gpu_type=gpu_type, known=quote_all(catalog.gpu_types)
    )


def _covers(groups: Iterable[str], wanted: Iterable[str] | None) -> bool:
    return wanted is not None and frozenset(wanted) <= frozenset(groups)
