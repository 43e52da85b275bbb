"""Which folders of the NAS a user's server gets, and where.

Guarantees: what is mounted follows from the person's name and groups, and from choices that `mlabhub.core.mounts` let
pass; nothing is ever mounted that the person could not have whole at its usual place, and never with more rights than
there. Every private or group folder is exactly one folder below its root, and every target exactly one below its
prefix, whatever the names are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pydantic import Field, model_validator

from mlabhub.core.identity import Identity
from mlabhub.core.mounts import MountChoice
from mlabhub.core.names import folder_name
from mlabhub.core.paths import Root, Target, is_within
from mlabhub.core.schema import Model, Slug, Text, key_faults
from mlabhub.core.storage_faults import storage_faults
from mlabhub.errors import InvalidConfiguration, NotPermitted
from mlabhub.messages import N_, Message

WORKSPACE = "/mnt"
"""What JupyterLab's file browser shows, as long as all targets are below it."""

PRIVATE_MODE = 0o700
SHARED_MODE = 0o2770
HOME = "user"
"""What one's own private folder is called where shares are named."""
GROUP = "group:"

Tier = Literal["protected", "scratch"]


class GroupRoots(Model):
    """Other roots for the members of one group. What is absent is as for everybody."""

    user_root: Root | None = Field(default=None, description="Folder on this machine with a private folder per member.")
    share_root: Root | None = Field(default=None, description="Folder on this machine with the group's shared folder.")
    user_target: Target | None = Field(default=None, description="Where a server sees its user's folder of that root.")
    share_target: Target | None = Field(default=None, description="Where a server sees the group's folder.")


class ExtraShare(Model):
    """A folder beyond the private and the group ones: a data set, a project, a fast disk."""

    display_name: Text = Field(description="What people see.")
    source: Root = Field(description="The folder on this machine; it is never made.")
    target: Target = Field(description="Where servers see it.")
    groups: tuple[Text, ...] | None = Field(
        default=None, min_length=1, description="Groups of the hub whose members get it."
    )
    users: tuple[Text, ...] | None = Field(
        default=None, min_length=1, description="People who get it; with neither groups nor users: everybody."
    )
    read_only: bool = Field(default=False, strict=True, description="Whether servers can only read it.")
    tier: Tier = Field(
        default="protected", description="scratch: people are told that what is there is not protected against loss."
    )

    def is_for(self, user: str, groups: Iterable[str]) -> bool:
        """Whether a person gets it."""
        if self.groups is None and self.users is None:
            return True
        return user in (self.users or ()) or not frozenset(self.groups or ()).isdisjoint(groups)


@dataclass(frozen=True)
class Area:
    """A root and where servers see what is in it."""

    root: str | None
    target: str

    def source(self, name: str) -> str:
        """Return one's folder in it; empty while the root is not located."""
        return f"{self.root}/{folder_name(name)}" if self.root else ""


class Storage(Model):
    """``storage.yaml``: a root without a value is a folder of the installation's own state folder."""

    user_root: Root | None = Field(default=None, description="Folder on this machine with a private folder per user.")
    share_root: Root | None = Field(default=None, description="Folder on this machine with a shared folder per group.")
    user_target: Target = Field(default="/mnt/user", description="Where a server sees its user's folder.")
    share_target: Target = Field(default="/mnt/share", description="Where a server sees its groups' folders.")
    groups: dict[Text, GroupRoots] = Field(
        default_factory=dict, description="Groups with roots of their own. Who is in several groups gets all of them."
    )
    shares: dict[Slug, ExtraShare] = Field(
        default_factory=dict,
        description="Further folders by slug: data sets, projects, scratch space.",
        json_schema_extra={"additionalProperties": False},
    )
    mount_prefixes: tuple[Target, ...] = Field(
        default=(),
        description="Below which people may mount what they have, or a subfolder of it, where a profile lets them.",
    )

    closed_accounts_days: int = Field(
        default=90, ge=0, le=3650, strict=True, description="For how many days a closed account's files are kept."
    )

    scan_hour: int | None = Field(
        default=3,
        ge=0,
        le=23,
        strict=True,
        description="At which hour of the day it is counted how much is in folders without a quota; null for never.",
    )

    @model_validator(mode="after")
    def _is_sound(self) -> Storage:
        faults = storage_faults(self)
        if faults:
            raise key_faults(faults)
        return self

    def located(self, nas_dir: str) -> Storage:
        """Return it with the roots that have no value put below ``nas_dir``.

        Raises
        ------
        InvalidConfiguration
            One of these and a folder that the file names lie in one another.
        """
        located = self.model_copy(
            update={
                "user_root": self.user_root or f"{nas_dir}/user",
                "share_root": self.share_root or f"{nas_dir}/share",
            }
        )
        fault = next(iter(storage_faults(located)), None)
        if fault is not None:
            keys = ".".join(str(key) for key in fault.at)
            template = N_("The key {key} of storage.yaml is wrong: {message}. An administrator has to change it.")
            raise InvalidConfiguration(Message.of(template, key=keys, message=fault.message))
        return located

    @property
    def user_roots(self) -> tuple[str, ...]:
        """Every located root with private folders."""
        return tuple(filter(None, (self.user_root, *(own.user_root for own in self.groups.values()))))

    @property
    def share_roots(self) -> tuple[str, ...]:
        """Every located root with groups' folders."""
        return tuple(filter(None, (self.share_root, *(own.share_root for own in self.groups.values()))))

    def user_areas(self, groups: Iterable[str]) -> dict[Area, str]:
        """Return where a member of these groups has private folders, the one with the home first.

        The value is the group that it comes from, empty for the general one. Who is in no group, or in one without a
        private root of its own, has the general one.
        """
        general = Area(self.user_root, self.user_target)
        areas: dict[Area, str] = {}
        for group in groups:
            own = self.groups.get(group)
            area = Area(own.user_root, own.user_target or "") if own and own.user_root else general
            areas.setdefault(area, "" if area == general else group)
        return {general: "", **areas} if general in areas or not areas else areas

    def share_area(self, group: str) -> Area:
        """Return where a group's shared folder is."""
        own = self.groups.get(group)
        if own and own.share_root:
            return Area(own.share_root, own.share_target or "")
        return Area(self.share_root, self.share_target)

    def home(self, user: str, groups: Iterable[str] = ()) -> str:
        """Return the path of the user's home inside a server."""
        return f"{next(iter(self.user_areas(groups))).target}/{folder_name(user)}"

    @property
    def workspace(self) -> str:
        """What the file browser shows: all that anybody may have mounted. It is the same for every launch."""
        areas = [self.user_target, self.share_target, *self.mount_prefixes]
        areas += [target for own in self.groups.values() for target in (own.user_target, own.share_target) if target]
        areas += [share.target for share in self.shares.values()]
        return WORKSPACE if all(is_within(target, WORKSPACE) for target in areas) else "/"


@dataclass(frozen=True)
class Place:
    """A folder that a person's servers have. ``share`` is how a launch names it: user, group:NAME, or a slug."""

    share: str
    source: str
    target: str
    display_name: str = ""
    read_only: bool = False
    tier: Tier = "protected"


@dataclass(frozen=True)
class Folder:
    """How a folder is made if it is not there yet; one that is there is left as it is."""

    uid: int
    gid: int
    mode: int


@dataclass(frozen=True)
class Mount:
    """A folder of this machine inside a server.

    ``subfolder`` is below ``source`` and opened with the person's own rights; ``chosen``: a person asked for this one.
    """

    source: str
    target: str
    read_only: bool = False
    create: Folder | None = None
    subfolder: str = ""
    tier: Tier = "protected"
    share: str = ""
    chosen: bool = False

    @property
    def optional(self) -> bool:
        """Whether a server starts without it where its source is not there; that is said then."""
        return self.create is None and not self.chosen


def places_for(storage: Storage, user: str, groups: Sequence[str]) -> tuple[Place, ...]:
    """Return what a person's servers see: private folders, one folder per group, then the extra shares."""
    name = folder_name(user)
    private = [
        Place(HOME if number == 0 else f"{HOME}:{group}", area.source(user), f"{area.target}/{name}")
        for number, (area, group) in enumerate(storage.user_areas(groups).items())
    ]
    shared = [
        Place(f"{GROUP}{group}", area.source(group), f"{area.target}/{folder_name(group)}")
        for group in groups
        for area in [storage.share_area(group)]
    ]
    extra = [
        Place(slug, share.source, share.target, share.display_name, share.read_only, share.tier)
        for slug, share in storage.shares.items()
        if share.is_for(user, groups)
    ]
    return (*private, *shared, *extra)


def mounts_for(
    storage: Storage, identity: Identity, groups: Iterable[str] | None = None, chosen: Iterable[MountChoice] = ()
) -> tuple[Mount, ...]:
    """Return the mounts of a user's server: their places, in that order, then what they chose.

    ``groups`` narrows it to some of the identity's groups.

    Raises
    ------
    InvalidConfiguration
        The storage's roots have not been located.
    NotPermitted
        What was chosen is not the person's.
    """
    narrowed = None if groups is None else frozenset(groups)
    gids = {group.name: group.gid for group in identity.groups if narrowed is None or group.name in narrowed}
    mounts: dict[str, Mount] = {}
    for place in places_for(storage, identity.name, tuple(gids)):
        if not place.source:
            raise InvalidConfiguration(N_("The roots of the storage are not known yet: locate them first."))
        mounts[place.share] = _mount(place, identity, gids)
    return (*mounts.values(), *(_chosen(mounts, choice) for choice in chosen))


def _mount(place: Place, identity: Identity, gids: dict[str, int]) -> Mount:
    mount = Mount(place.source, place.target, place.read_only, tier=place.tier, share=place.share)
    if place.share == HOME or place.share.startswith(f"{HOME}:"):
        return replace(mount, create=Folder(identity.uid, identity.gid, PRIVATE_MODE))
    if place.share.startswith(GROUP):
        return replace(mount, create=Folder(0, gids[place.share.removeprefix(GROUP)], SHARED_MODE))
    return mount


def _chosen(mounts: dict[str, Mount], choice: MountChoice) -> Mount:
    whole = mounts.get(choice.share)
    if whole is None:
        raise NotPermitted(N_("What was to be mounted is not yours any more. Open the launch page again."))
    return replace(
        whole,
        target=choice.target,
        subfolder=choice.subfolder,
        read_only=whole.read_only or choice.read_only,
        chosen=True,
    )
