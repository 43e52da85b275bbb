"""Profiles and the catalogue: what may be started, by whom, and what a page opens on.

Guarantees: a `Catalog` refers only to what it has; what is visible to a person follows from their groups alone, and
from what the installation has where that is told.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from pydantic import Field, model_validator

from mlabhub.core.choices import FurtherOption, OptionSlug, option_faults
from mlabhub.core.cross_references import OTHERS, cross_faults
from mlabhub.core.gate import KEYS
from mlabhub.core.gpu_types import GpuTypeSpec, Purpose, default_gpu_type
from mlabhub.core.idle.file import Idle
from mlabhub.core.images import ImageChoice, ImageKind, ImageSpec
from mlabhub.core.kubernetes import KubernetesSpec
from mlabhub.core.mounts import MountChoice
from mlabhub.core.network import DEFAULT_EGRESS, Egress
from mlabhub.core.options import NumberOption
from mlabhub.core.quotas import Quotas, default_payer
from mlabhub.core.references import AllowedImages
from mlabhub.core.schema import Amount, GpuType, KeyFault, Model, Paragraph, Positive, Slug, Text, key_faults
from mlabhub.core.storage import Storage
from mlabhub.core.tools import TENSORBOARD, UNUSED_MINUTES, WORKBENCH, Kind, Minutes, ProfileTool, kind_faults
from mlabhub.core.units import ANY_GPU
from mlabhub.messages import N_, Message

__all__ = [
    "Catalog",
    "DefaultChoice",
    "GroupDefault",
    "ImageChoice",
    "ImageSpec",
    "LaunchRequest",
    "NumberOption",
    "Profile",
    "ProfileSpec",
    "Quotas",
    "Storage",
    "default_choice",
    "default_payer",
    "opening_image",
    "visible_profiles",
]

LEAST_CPU = 0.1
LEAST_MEMORY_GIB = 0.0625
NO_GPUS = NumberOption(min=0, max=0, default=0)
SHM = "shm_gib"

AfterReclaim = Literal["queue", "end"]


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
    kind: Kind = Field(
        default=WORKBENCH,
        description="tensorboard: no environment, but a TensorBoard alone, started from the home page; without GPUs.",
    )
    tools: tuple[ProfileTool, ...] | None = Field(
        default=None, min_length=1, description="What can be opened in its servers; absent: all that the image has."
    )
    unused_minutes: Minutes | None = Field(
        default=None,
        description="With kind: tensorboard, minutes without anybody looking after which it ends; absent: 60.",
    )
    gpus: NumberOption = Field(default=NO_GPUS, description="Number of GPUs.")
    gpu_types: tuple[GpuType, ...] = Field(
        default=(),
        description="GPU types to choose from; by default the first, or by purpose and cost; [any]: whatever the "
        "machines have.",
    )
    choose_gpu: bool = Field(default=False, strict=True, description="Whether people may name the very GPUs they want.")
    shm_gib: NumberOption | None = Field(
        default=None, description="Size of /dev/shm in GiB, part of the memory; absent: half of the memory."
    )
    egress: Egress = Field(
        default=DEFAULT_EGRESS,
        description="What its servers reach outside, on Kubernetes: open, lab (what network.lab of kubernetes.yaml "
        "lists), closed. On other backends they reach what the machine does, and closed is refused.",
    )
    pids: int = Field(default=4096, strict=True, ge=64, le=4_000_000, description="Processes and threads at most.")
    sudo: bool = Field(
        default=False, strict=True, description="Whether people may become root inside their own server."
    )
    purpose: Purpose | None = Field(
        default=None, description="What it is meant for; shown. Decides, with gpu_types' cost, the type it opens on."
    )
    own_images: bool = Field(
        default=False, strict=True, description="Whether people may start from images that they saved themselves."
    )
    typed_images: tuple[AllowedImages, ...] = Field(
        default=(), max_length=100, description="Images that people may type in; absent: none."
    )
    options: dict[OptionSlug, FurtherOption] = Field(
        default_factory=dict,
        max_length=50,
        description="Further options by slug, numbers or lists, that programs read as environment variables.",
        json_schema_extra={"additionalProperties": False},
    )
    mounts: bool = Field(
        default=False,
        strict=True,
        description="Whether people may mount what they have at places of their choice (storage.yaml: mount_prefixes).",
    )
    notice_seconds: Amount | None = Field(
        default=None,
        description="How long its servers are told before what they borrow is taken back; absent: as quotas.yaml says.",
    )
    longest_hours: Positive | None = Field(
        default=None, description="After how many hours its servers end at the latest; absent: never."
    )
    reclaimable: bool = Field(
        default=True, strict=True, description="Whether what its servers borrow may be taken back, after a notice."
    )
    after_reclaim: AfterReclaim = Field(
        default="queue",
        description="What becomes of a server that gave back: queue (it waits for its next turn) or end.",
    )

    @model_validator(mode="after")
    def _is_sound(self) -> ProfileSpec:
        faults = [*_gpu_faults(self), *_size_faults(self), *option_faults(self.options, (*KEYS, SHM))]
        more = {key: getattr(self, key) for key in ("sudo", "own_images", "typed_images", "mounts")}
        faults += kind_faults(self.kind, self.tools, self.unused_minutes, {"gpus": self.gpus.max, **more})
        for key in ("images", "groups", "gpu_types", "tools"):
            values = getattr(self, key) or ()
            if len(set(values)) != len(values):
                faults.append(KeyFault((key,), Message(N_("lists one of them twice"))))
        if faults:
            raise key_faults(faults)
        return self

    @property
    def unused_seconds(self) -> int | None:
        """After how many seconds without anybody looking it ends; None if it does not end by itself."""
        if self.kind != TENSORBOARD:
            return None
        return max(1, round(60 * (self.unused_minutes or UNUSED_MINUTES)))

    @property
    def any_gpu_type(self) -> bool:
        """Whether every type of the installation may be chosen."""
        return self.gpu_types == (ANY_GPU,)

    @property
    def further(self) -> Mapping[str, NumberOption | FurtherOption]:
        """The options beyond CPU, memory and GPUs, by slug."""
        return self.options if self.shm_gib is None else {SHM: self.shm_gib, **self.options}

    def offered_gpu_types(self, present: Collection[str]) -> tuple[str, ...]:
        """Return the types that a page can offer where ``present`` are there."""
        if self.any_gpu_type:
            return tuple(present)
        return tuple(gpu_type for gpu_type in self.gpu_types if gpu_type in present)

    def default_gpu_type(self, specs: Mapping[str, GpuTypeSpec], present: Collection[str] | None = None) -> str | None:
        """Return the type that is taken when none is named, None for any; of those ``present``, if any of them is."""
        if self.any_gpu_type:
            return None
        offered = self.gpu_types if present is None else self.offered_gpu_types(present) or self.gpu_types
        return default_gpu_type(offered, self.purpose, specs)


class Profile(ProfileSpec):
    """What may be started, and in which sizes."""

    slug: Slug


class GroupDefault(Model):
    """What the form opens on for members of a group."""

    profile: Slug = Field(description="The profile; one that the group may use.")
    image: Slug | None = Field(default=None, description="One of the profile's images; absent: the profile's first.")


GpuTypes = dict[GpuType, GpuTypeSpec]
GroupDefaults = dict[Text, GroupDefault]


class Catalog(Model):
    """Everything that may be chosen, and by whom."""

    profiles: tuple[Profile, ...]
    images: tuple[ImageChoice, ...]
    quotas: Quotas = Quotas()
    storage: Storage = Storage()
    kubernetes: KubernetesSpec = KubernetesSpec()
    idle: Idle = Idle()
    egress_enforced: bool = True
    """Whether the backend can keep a server from the network; set by whoever knows the backend."""
    gpu_types: GpuTypes = Field(default_factory=dict)
    group_defaults: GroupDefaults = Field(default_factory=dict)

    @model_validator(mode="after")
    def _refers_to_what_it_has(self) -> Catalog:
        faults = cross_faults(
            {profile.slug: vars(profile) for profile in self.profiles},
            {slug: vars(image) for slug, image in self.images_by_slug.items()},
            {group: vars(default) for group, default in self.group_defaults.items()},
        )
        found = [KeyFault((fault.part, *fault.path), fault.message) for fault in faults]
        if found:
            raise key_faults(found)
        return self

    @cached_property
    def profiles_by_slug(self) -> Mapping[str, Profile]:
        """Profiles by slug."""
        return {profile.slug: profile for profile in self.profiles}

    @cached_property
    def images_by_slug(self) -> Mapping[str, ImageChoice]:
        """Images by slug."""
        return {image.slug: image for image in self.images}

    def located(self, nas_dir: str) -> Catalog:
        """Return it with the storage's roots known, as `Storage.located` says; raises the same."""
        storage = self.storage.located(nas_dir)
        kubernetes = self.kubernetes.located(
            user_root=None if self.storage.user_root else storage.user_root,
            share_root=None if self.storage.share_root else storage.share_root,
        )
        return self.model_copy(update={"storage": storage, "kubernetes": kubernetes})

    def without_egress(self) -> Catalog:
        """Return it for a backend whose servers reach whatever the machine does."""
        return self.model_copy(update={"egress_enforced": False})

    def with_tools(self, tools: Sequence[ProfileTool]) -> Catalog:
        """Return it for an installation where every image has just these tools."""
        images = tuple(image.model_copy(update={"tools": tuple(tools)}) for image in self.images)
        # Made anew, not copied: a copy would keep the images that were looked up before.
        return Catalog(**{**{name: getattr(self, name) for name in Catalog.model_fields}, "images": images})

    def images_of(self, profile: ProfileSpec) -> tuple[ImageChoice, ...]:
        """Return the images of a profile, in its order; those too that are hidden or retired."""
        return tuple(self.images_by_slug[slug] for slug in profile.images)


@dataclass(frozen=True)
class LaunchRequest:
    """What is to be started, within its profile. ``gpu_type`` is None for any type, and without GPUs.

    ``image`` is a slug, ``saved/NAME`` or a reference in full; ``image_reference`` is empty for saved ones, which the
    spawner finds by owner and name. ``environment`` is what the profile's options set. ``tools`` are those that can be
    opened, ``allowed_tools`` those that the profile names, None if it names none; ``unused_seconds`` after how long
    without anybody looking it ends by itself, None for never. What is not ``reclaimable`` is never taken back; else
    ``notice_seconds`` is how long before that it is told, None for as long as the quotas say. ``safe``: no start-up
    file of its person's is read.
    """

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
    options: Mapping[str, float | str] = field(default_factory=dict)
    image_kind: ImageKind = "catalog"
    environment: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[MountChoice, ...] = ()
    kind: Kind = WORKBENCH
    tools: tuple[str, ...] = ()
    allowed_tools: tuple[str, ...] | None = None
    log_folders: tuple[str, ...] = ()
    unused_seconds: int | None = None
    egress: Egress = DEFAULT_EGRESS
    reclaimable: bool = True
    notice_seconds: float | None = None
    safe: bool = False


def visible_profiles(
    catalog: Catalog, groups: Collection[str], gpu_types: Collection[str] | None = None
) -> tuple[Profile, ...]:
    """Return the profiles that a member of ``groups`` may use, in the catalogue's order.

    With ``gpu_types`` (what the installation has), those that need a GPU which is not there are left out. A profile
    none of whose images is shown to them is not visible either.
    """
    own = frozenset(groups)
    shown = {image.slug for image in catalog.images if image.shown and image.open_to(own)}
    return tuple(
        profile
        for profile in catalog.profiles
        if (profile.groups is None or not own.isdisjoint(profile.groups))
        and (gpu_types is None or profile.gpus.min == 0 or profile.offered_gpu_types(gpu_types))
        and not shown.isdisjoint(profile.images)
    )


@dataclass(frozen=True)
class DefaultChoice:
    """What a form opens on."""

    profile: Profile
    image: str | None = None


def default_choice(catalog: Catalog, groups: Sequence[str], visible: Sequence[Profile]) -> DefaultChoice | None:
    """Return what a form opens on: the groups' own default, else the first profile that takes no GPU, else the first.

    ``visible`` are the profiles to choose from; None if there are none. Without an image, the profile's first is meant.
    """
    by_slug = {profile.slug: profile for profile in visible}
    for group in (*groups, OTHERS):
        default = catalog.group_defaults.get(group)
        if default is not None and default.profile in by_slug:
            return DefaultChoice(by_slug[default.profile], default.image)
    without_gpu = next((profile for profile in visible if profile.gpus.default == 0), None)
    first = without_gpu or next(iter(visible), None)
    return None if first is None else DefaultChoice(first)


def opening_image(catalog: Catalog, groups: Sequence[str], profile: Profile, default: DefaultChoice | None) -> str:
    """Return the image that a form opens on for a profile that is visible to ``groups``."""
    if default is not None and default.image is not None and default.profile.slug == profile.slug:
        return default.image
    shown = (image.slug for image in catalog.images_of(profile) if image.shown and image.open_to(groups))
    return next(shown, "")


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
