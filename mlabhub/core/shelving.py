"""What a server that gives its GPUs back goes on as: the same one without them, as near as the catalogue has it.

Guarantees: pure; what it goes on as passed the same gate as every launch; image, mounts, payer and network stay the
same, or there is nothing; what of the rest is not the same is said.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlabhub.core.choices import read_option
from mlabhub.core.options import NumberOption
from mlabhub.core.profiles import Catalog, LaunchRequest, Profile, visible_profiles
from mlabhub.core.quote import quote_all
from mlabhub.core.reasons import sentences
from mlabhub.core.resolve import resolve
from mlabhub.core.tools import WORKBENCH
from mlabhub.errors import MLabError
from mlabhub.messages import N_, Message

SAME = N_("It goes on without GPUs in its profile, {profile}.")
OTHER = N_("It goes on without GPUs in the profile {profile}: {own} has no servers without GPUs.")
LESS = N_("It has {cpu} CPU and {memory_gib} GiB there.")
LEFT_OUT = N_("Not kept, as that profile does not have it: {options}.")
NO_PROFILE = N_(
    "No profile that is open to you starts the image {image} without a GPU, so the server stays stopped. Its files are "
    "kept; it can be started again from the launch page."
)
OF_GPUS = ("gpu_type", "gpu_ids", "launch_id")


@dataclass(frozen=True)
class Was:
    """What ran with GPUs: its launch options, and what they had come to."""

    options: Mapping[str, Any]
    profile: str
    image: str
    cpu: float
    memory_gib: float


@dataclass(frozen=True)
class WithoutGpus:
    """Launch options without GPUs, and in words what they are."""

    options: dict[str, Any]
    said: Message


def without_gpus(
    catalog: Catalog,
    user: str,
    groups: Sequence[str],
    was: Was,
    server_name: str = "",
    *,
    present: Collection[str] | None = None,
    kept_images: Collection[str] = (),
) -> WithoutGpus | Message:
    """Return as what a server goes on without its GPUs, or why it cannot.

    Its own profile is taken if that has servers without GPUs. Else, of those open to the person, the one that loses
    the least of the launch's further options, then the nearest in size, then the first of the catalogue.
    ``present`` and ``kept_images`` are as `resolve` takes them.
    """
    own = catalog.profiles_by_slug.get(was.profile)
    found: list[tuple[tuple[object, ...], Profile, dict[str, Any], LaunchRequest, list[str]]] = []
    for place, profile in enumerate(_candidates(catalog, groups, own, present)):
        options, lost = _options_in(profile, was)
        try:
            request = resolve(catalog, user, groups, options, server_name, present=present, kept_images=kept_images)
        except MLabError:
            continue
        if own is not None and request.egress != own.egress:
            continue  # what was kept from a network is not let out by giving a GPU back
        sudo_lost = own is not None and own.sudo and not profile.sudo
        size = abs(request.cpu - was.cpu) + abs(request.memory_gib - was.memory_gib)
        found.append(((len(lost), sudo_lost, size, place), profile, options, request, lost))
        if profile is own:
            break
    if not found:
        return Message.of(NO_PROFILE, image=was.image)
    _, profile, options, request, lost = min(found, key=lambda one: one[0])
    return WithoutGpus(options, _say(own, profile, was, request, lost))


def _candidates(
    catalog: Catalog, groups: Sequence[str], own: Profile | None, present: Collection[str] | None
) -> Iterator[Profile]:
    """Yield the profiles that have servers without GPUs, the own one first."""
    usable = [
        profile
        for profile in visible_profiles(catalog, groups, present)
        if profile.kind == WORKBENCH and profile.gpus.accepts(0)
    ]
    if own in usable:
        yield own
    yield from (profile for profile in usable if profile is not own)


def _options_in(profile: Profile, was: Was) -> tuple[dict[str, Any], list[str]]:
    """Return the launch options in a profile, and what of them it does not have."""
    options = {key: value for key, value in was.options.items() if key not in OF_GPUS}
    options |= {
        "profile": profile.slug,
        "image": was.image,
        "gpus": 0,
        "cpu": _at_most(profile.cpu, was.cpu),
        "memory_gib": _at_most(profile.memory_gib, was.memory_gib),
    }
    lost: list[str] = []
    given = was.options.get("options")
    if isinstance(given, Mapping):
        kept = {}
        for slug, value in given.items():
            try:
                kept[slug] = read_option(slug, profile.further[slug], value)
            except (KeyError, MLabError):
                lost.append(str(slug))
        options["options"] = kept
    return options, lost


def _at_most(option: NumberOption, amount: float) -> float:
    """Return the largest amount that may be chosen and is no more than there was, or the least that may be."""
    if option.accepts(amount):
        return amount
    smaller = option.at_most(amount)
    return smaller.max if smaller.accepts(smaller.max) else smaller.default


def _say(own: Profile | None, profile: Profile, was: Was, request: LaunchRequest, lost: Sequence[str]) -> Message:
    if profile is own:
        parts = [Message.of(SAME, profile=profile.display_name)]
    else:
        name = was.profile if own is None else own.display_name
        parts = [Message.of(OTHER, profile=profile.display_name, own=name)]
    if (request.cpu, request.memory_gib) != (was.cpu, was.memory_gib):
        parts.append(Message.of(LESS, cpu=request.cpu, memory_gib=request.memory_gib))
    if lost:
        parts.append(Message.of(LEFT_OUT, options=quote_all(tuple(lost))))
    return sentences(parts)
