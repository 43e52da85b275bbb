"""Profiles, images, the catalogue, and `resolve`: the one gate that every launch's options pass.

Guarantees: `resolve` is total (any JSON value gives a `LaunchRequest` or an `MLabError` with a sentence); what it
returns lies within the profile; nothing of the options reaches a request but slugs that the catalogue has and numbers
that the profile permits. The image's reference comes from the catalogue, never from the options.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from mlabhub.core.capacity import Capacity
from mlabhub.core.gate import KEYS, check_launch_id, read_choice, read_gpu_ids, read_keys, read_number
from mlabhub.core.mounts import MountChoice, read_mounts
from mlabhub.core.options import NumberOption
from mlabhub.core.quotas import Quotas
from mlabhub.core.quote import quote, quote_all
from mlabhub.core.schema import GpuType, KeyFault, Model, Paragraph, Slug, Text, key_faults
from mlabhub.core.storage import Storage, places_for
from mlabhub.core.units import ANY_GPU, is_gpu_type
from mlabhub.errors import InvalidLaunch, NotPermitted
from mlabhub.messages import N_, Message

__all__ = [
    "Catalog",
    "ImageChoice",
    "LaunchRequest",
    "NumberOption",
    "Profile",
    "Quotas",
    "Storage",
    "bounded_by",
    "default_payer",
    "resolve",
    "visible_profiles",
]

LEAST_CPU = 0.1
LEAST_MEMORY_GIB = 0.0625
NO_GPUS = NumberOption(min=0, max=0, default=0)
Reference = Annotated[str, Field(strict=True, pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._:/@-]*$", max_length=255)]


class ImageSpec(Model):
    """An image as ``images.yaml`` describes it."""

    display_name: Text = Field(description="What people see.")
    reference: Reference = Field(description="What the engine knows it by: registry, repository and tag.")
    description: Paragraph = Field(default="", description="One sentence about what is in it.")


class ImageChoice(ImageSpec):
    """An image that may be chosen."""

    slug: Slug


class ProfileSpec(Model):
    """A profile as ``profiles.yaml`` describes it."""

    display_name: Text = Field(description="What people see.")
    description: Paragraph = Field(default="", description="One sentence about what it is for.")
    groups: tuple[Text, ...] | None = Field(
        default=None, min_length=1, description="Groups of the hub whose members may use it; absent: everybody."
    )
    images: tuple[Slug, ...] = Field(
        min_length=1, description="Images of images.yaml to choose from; the first is taken by default."
    )
    cpu: NumberOption = Field(description="Cores.")
    memory_gib: NumberOption = Field(description="Memory in GiB.")
    gpus: NumberOption = Field(default=NO_GPUS, description="Number of GPUs.")
    gpu_types: tuple[GpuType, ...] = Field(
        default=(), description="GPU types to choose from, the first by default; [any]: whatever the machines have."
    )
    choose_gpu: bool = Field(default=False, strict=True, description="Whether people may name the very GPUs they want.")
    shm_gib: NumberOption | None = Field(
        default=None, description="Size of /dev/shm in GiB, part of the memory; absent: half of the memory."
    )
    pids: int = Field(default=4096, strict=True, ge=64, le=4_000_000, description="Processes and threads at most.")
    sudo: bool = Field(
        default=False, strict=True, description="Whether people may become root inside their own server."
    )
    mounts: bool = Field(
        default=False,
        strict=True,
        description="Whether people may mount what they have at places of their choice (storage.yaml: mount_prefixes).",
    )
    purpose: Literal["development", "training"] | None = Field(default=None, description="What it is meant for; shown.")

    @model_validator(mode="after")
    def _is_sound(self) -> ProfileSpec:
        faults = [*_gpu_faults(self), *_size_faults(self)]
        for key, values in (("images", self.images), ("groups", self.groups or ()), ("gpu_types", self.gpu_types)):
            if len(set(values)) != len(values):
                faults.append(KeyFault((key,), Message(N_("lists one of them twice"))))
        if faults:
            raise key_faults(faults)
        return self

    @property
    def any_gpu_type(self) -> bool:
        """Whether every type of the installation may be chosen."""
        return self.gpu_types == (ANY_GPU,)

    @property
    def further(self) -> Mapping[str, NumberOption]:
        """The options beyond CPU, memory and GPUs, by slug."""
        return {} if self.shm_gib is None else {"shm_gib": self.shm_gib}

    def offered_gpu_types(self, present: Collection[str]) -> tuple[str, ...]:
        """Return the types that a page can offer where ``present`` are there."""
        if self.any_gpu_type:
            return tuple(present)
        return tuple(gpu_type for gpu_type in self.gpu_types if gpu_type in present)


class Profile(ProfileSpec):
    """What may be started, and in which sizes."""

    slug: Slug


class Catalog(Model):
    """Everything that may be chosen, and by whom."""

    profiles: tuple[Profile, ...]
    images: tuple[ImageChoice, ...]
    quotas: Quotas = Quotas()
    storage: Storage = Storage()

    @model_validator(mode="after")
    def _refers_to_what_it_has(self) -> Catalog:
        for index, profile in enumerate(self.profiles):
            for slug in profile.images:
                if slug not in self.images_by_slug:
                    message = Message.of(N_("there is no image {slug}"), slug=quote(slug))
                    raise key_faults([KeyFault(("profiles", index, "images"), message)])
        return self

    @cached_property
    def profiles_by_slug(self) -> Mapping[str, Profile]:
        """Profiles by slug."""
        return {profile.slug: profile for profile in self.profiles}

    @cached_property
    def images_by_slug(self) -> Mapping[str, ImageChoice]:
        """Images by slug."""
        return {image.slug: image for image in self.images}


@dataclass(frozen=True)
class LaunchRequest:
    """What is to be started, within its profile. ``gpu_type`` is None for any type, and without GPUs."""

    user: str
    server_name: str
    profile: str
    image: str
    image_reference: str
    group: str | None
    gpu_type: str | None
    gpus: int
    gpu_ids: tuple[str, ...] | None
    cpu: float
    memory_gib: float
    shm_gib: float
    pids: int
    sudo: bool
    options: Mapping[str, float] = field(default_factory=dict)
    mounts: tuple[MountChoice, ...] = ()


def visible_profiles(
    catalog: Catalog, groups: Collection[str], gpu_types: Collection[str] | None = None
) -> tuple[Profile, ...]:
    """Return the profiles that a member of ``groups`` may use, in the catalogue's order.

    With ``gpu_types`` (what the installation has), those that need a GPU which is not there are left out.
    """
    own = frozenset(groups)
    return tuple(
        profile
        for profile in catalog.profiles
        if (profile.groups is None or not own.isdisjoint(profile.groups))
        and (gpu_types is None or profile.gpus.min == 0 or profile.offered_gpu_types(gpu_types))
    )


def bounded_by(profile: Profile, capacity: Capacity) -> Profile:
    """Return the profile with the amounts that the largest machine can serve, for pages to offer.

    Without any machine, nothing is known of what there is, and the profile stays as it is.
    """
    nodes = capacity.nodes
    if not nodes:
        return profile
    offered = profile.offered_gpu_types(capacity.gpu_types)
    gpus = max((sum(gpu.type == one for gpu in node.gpus) for node in nodes for one in offered), default=0)
    memory = profile.memory_gib.at_most(max(node.memory_gib for node in nodes))
    bounded = {
        "cpu": profile.cpu.at_most(max(node.cpu for node in nodes)),
        "memory_gib": memory,
        "gpus": profile.gpus.at_most(gpus),
        "shm_gib": profile.shm_gib and profile.shm_gib.at_most(memory.max),
    }
    return profile.model_copy(update=bounded)


def resolve(
    catalog: Catalog, user: str, groups: Sequence[str], user_options: object, server_name: str = ""
) -> LaunchRequest:
    """Turn untrusted launch options into a request that lies within the catalogue.

    Absent keys (and null) take the profile's defaults; without a profile, the first visible one is taken.
    ``launch_id`` must look like one and is ignored otherwise.

    Raises
    ------
    InvalidLaunch
        Something is unknown, malformed or out of range.
    NotPermitted
        The profile is another group's, or the group that should pay is not the user's.
    """
    given = read_keys(user_options, KEYS, N_("A launch"))
    if "launch_id" in given:
        check_launch_id(given["launch_id"])
    profile = _read_profile(catalog, groups, given.get("profile"))
    image = profile.images[0] if given.get("image") is None else read_choice("image", given["image"], profile.images)
    gpus = int(read_number("gpus", given.get("gpus"), profile.gpus))
    memory = read_number("memory_gib", given.get("memory_gib"), profile.memory_gib)
    further = _read_further(profile, given.get("options"))
    return LaunchRequest(
        user=user,
        server_name=server_name,
        profile=profile.slug,
        image=image,
        image_reference=catalog.images_by_slug[image].reference,
        group=_read_payer(catalog, groups, given.get("group")),
        gpu_type=_read_gpu_type(profile, given.get("gpu_type"), gpus),
        gpus=gpus,
        gpu_ids=read_gpu_ids(given.get("gpu_ids"), gpus, profile.choose_gpu),
        cpu=read_number("cpu", given.get("cpu"), profile.cpu),
        memory_gib=memory,
        shm_gib=_shared_memory(profile, further, memory),
        pids=profile.pids,
        sudo=profile.sudo,
        options=further,
        mounts=_read_mounts(catalog.storage, profile, user, groups, given.get("mounts")),
    )


def _read_mounts(
    storage: Storage, profile: Profile, user: str, groups: Sequence[str], value: object
) -> tuple[MountChoice, ...]:
    places = places_for(storage, user, groups)
    return read_mounts(value, places, storage.mount_prefixes, permitted=profile.mounts)


def default_payer(quotas: Quotas, groups: Sequence[str]) -> str | None:
    """Return who pays when nothing is said: the first group with a quota, else the first group, else nobody."""
    with_quota = (group for group in groups if group in quotas.groups)
    return next(with_quota, groups[0] if groups else None)


def _read_profile(catalog: Catalog, groups: Sequence[str], value: object) -> Profile:
    visible = visible_profiles(catalog, groups)
    if not visible:
        raise NotPermitted(N_("No profile is open to you or your groups. Ask an administrator to add you to a group."))
    if value is None:
        return visible[0]
    slugs = [profile.slug for profile in visible]
    if isinstance(value, str) and value in catalog.profiles_by_slug and value not in slugs:
        raise NotPermitted(
            Message.of(
                N_("The profile {value} is for other groups; yours: {valid}."),
                value=quote(value),
                valid=quote_all(slugs),
            ),
            key="profile",
        )
    return catalog.profiles_by_slug[read_choice("profile", value, slugs)]


def _read_payer(catalog: Catalog, groups: Sequence[str], value: object) -> str | None:
    if value is None:
        return default_payer(catalog.quotas, groups)
    if isinstance(value, str) and value in groups:
        return value
    if not isinstance(value, str):
        raise InvalidLaunch(
            Message.of(N_("group must be the name of the group that pays, not {value}."), value=quote(value)),
            key="group",
        )
    if not groups:
        raise NotPermitted(
            Message.of(N_("The group {value} cannot pay: you are in no group. Leave group out."), value=quote(value)),
            key="group",
        )
    raise NotPermitted(
        Message.of(
            N_("The group {value} cannot pay: you are not in it. Your groups: {valid}."),
            value=quote(value),
            valid=quote_all(groups),
        ),
        key="group",
    )


def _read_gpu_type(profile: Profile, value: object, gpus: int) -> str | None:
    if value is not None and profile.any_gpu_type:
        if not is_gpu_type(value):
            raise InvalidLaunch(
                Message.of(N_("gpu_type cannot be {value}; a GPU type looks like a100."), value=quote(value)),
                key="gpu_type",
            )
    elif value is not None:
        value = read_choice("gpu_type", value, profile.gpu_types)
    if gpus == 0:
        return None
    if value is None or value == ANY_GPU:
        return None if profile.any_gpu_type else profile.gpu_types[0]
    return str(value)


def _read_further(profile: Profile, value: object) -> dict[str, float]:
    options = profile.further
    given = (
        {} if value is None else read_keys(value, options, N_("The options of the profile {slug}"), slug=profile.slug)
    )
    return {slug: read_number(slug, given.get(slug), option) for slug, option in options.items() if slug in given}


def _shared_memory(profile: Profile, further: Mapping[str, float], memory: float) -> float:
    if profile.shm_gib is None:
        return memory / 2
    if "shm_gib" not in further:
        return min(profile.shm_gib.default, memory)
    if further["shm_gib"] > memory:
        raise InvalidLaunch(
            Message.of(
                N_(
                    "shm_gib cannot be {value}: it is part of the memory, which is {memory} GiB. "
                    "Take less of it, or more memory."
                ),
                value=further["shm_gib"],
                memory=memory,
            ),
            key="shm_gib",
        )
    return further["shm_gib"]


def _gpu_faults(spec: ProfileSpec) -> list[KeyFault]:
    faults: list[KeyFault] = []
    numbers: tuple[Any, ...] = (spec.gpus.min, spec.gpus.max, *(spec.gpus.choices or (spec.gpus.step,)))
    if any(number != int(number) for number in numbers):
        faults.append(KeyFault(("gpus",), Message(N_("must be whole numbers"))))
    if spec.gpus.max > 0 and not spec.gpu_types:
        faults.append(KeyFault(("gpu_types",), Message(N_("is missing: name GPU types such as [a100], or [any]"))))
    if spec.gpus.max == 0 and spec.gpu_types:
        faults.append(KeyFault(("gpu_types",), Message(N_("needs gpus of 1 or more, such as {{choices: [1, 2, 4]}}"))))
    if ANY_GPU in spec.gpu_types and not spec.any_gpu_type:
        faults.append(KeyFault(("gpu_types",), Message(N_("names any beside others; keep either any or the others"))))
    return faults


def _size_faults(spec: ProfileSpec) -> list[KeyFault]:
    leasts = [("cpu", spec.cpu, LEAST_CPU), ("memory_gib", spec.memory_gib, LEAST_MEMORY_GIB)]
    if spec.shm_gib is not None:
        leasts.append(("shm_gib", spec.shm_gib, LEAST_MEMORY_GIB))
    return [
        KeyFault((key, "min") if not option.fixed else (key,), Message.of(N_("must be {least} or more"), least=least))
        for key, option, least in leasts
        if option.min < least
    ]
