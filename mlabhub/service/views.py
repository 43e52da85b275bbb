"""What the service tells about itself: plain values, for the API and the pages alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from mlabhub.core.capacity import GpuProcess, Taker
from mlabhub.core.folder_use import FolderUse
from mlabhub.core.forecast import State
from mlabhub.core.network import NetworkSpec
from mlabhub.core.profiles import ImageChoice, LaunchRequest, Profile
from mlabhub.core.quota_changes import QuotaPart
from mlabhub.core.reasons import Reason
from mlabhub.core.storage import Tier
from mlabhub.core.tools import WORKBENCH, Kind
from mlabhub.messages import Message
from mlabhub.service.wait_views import WaitRange

LaunchState = Literal["starting", "ready", "failed", "ended", "queued", "left", "given_back", "refused"]
ServerState = Literal["pending", "running", "stopping", "stopped", "unknown"]


@dataclass(frozen=True)
class Person:
    """Who asks: a user of the hub, vouched for by the hub."""

    name: str
    admin: bool = False
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class LaunchAnswer:
    """A launch was taken on; ``url`` is where its progress can be seen, ``notes`` are what to know about it."""

    state: Literal["starting"]
    launch_id: str
    url: str
    notes: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True)
class Preview:
    """What a launch would be answered now. Without a request, its options are wrong and the reasons say how.

    ``key`` is the option that is wrong, empty if it is not one alone. ``state`` says whether waiting helps; ``notes``
    are what to know about a launch that starts. ``nearest`` are the launch options to change for one that starts now,
    and ``advice`` says so, or what else can be done. ``wait`` is when one that waits would start. ``borrows``: it may
    be taken back with notice; the note with the code ``borrowed`` says so. ``possible`` are the options to change of
    one that never starts, so that it does once others have stopped.
    """

    starts_now: bool
    reasons: tuple[Reason, ...]
    request: LaunchRequest | None
    key: str = ""
    state: State = "never"
    notes: tuple[Reason, ...] = ()
    nearest: Mapping[str, Any] | None = None
    advice: Message | None = None
    wait: WaitRange | None = None
    borrows: bool = False
    possible: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class ChoiceView:
    """The forecast for one profile with one number of GPUs of one type (None: any type), and its other defaults.

    ``wait`` is when one that waits would start.
    """

    profile: str
    gpu_type: str | None
    gpus: int
    state: State
    reasons: tuple[Reason, ...]
    notes: tuple[Reason, ...]
    wait: WaitRange | None = None
    borrows: bool = False


@dataclass(frozen=True)
class PreviewAnswer(Preview):
    """A preview, and the forecast for every other choice; ``choices_left_out`` counts those beyond the first 500."""

    choices: tuple[ChoiceView, ...] = ()
    choices_left_out: int = 0


@dataclass(frozen=True)
class PastLaunch:
    """A launch that was admitted once; ``options`` are what was asked for."""

    server_name: str
    display_name: str
    at: float
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Step:
    """One thing that happened to a launch; the last one may still be going on."""

    at: float
    message: Message
    done: bool


@dataclass(frozen=True)
class LaunchStatus:
    """How far a launch came. ``url`` is the server's address, ``open_url`` that of its first tool.

    ``notes`` are what it does without, say; of one that has ended, why, if that is known. One that waits has its
    ``position``, ``reasons``, ``wait``, and what starts instead; one that started from the queue and was not opened yet
    is given back at ``claim_by``. ``options`` are those of one that waits, or waited in vain. ``again`` is the launch
    under which one that was taken back waits again.
    """

    launch_id: str
    user: str
    server_name: str
    display_name: str
    state: LaunchState
    steps: tuple[Step, ...]
    url: str
    failure: Message | None = None
    notes: tuple[Message, ...] = ()
    kind: Kind = WORKBENCH
    open_url: str = ""
    position: int | None = None
    reasons: tuple[Reason, ...] = ()
    wait: WaitRange | None = None
    nearest: Mapping[str, Any] | None = None
    advice: Message | None = None
    options: Mapping[str, Any] | None = None
    claim_by: float | None = None
    again: str | None = None


@dataclass(frozen=True)
class ShelvedView:
    """A server that gave ``gpus`` back at ``at`` (None: as many as its profile gives) and can have them again.

    ``state``: ``saving`` until ``until`` at the latest, ``stopping``, ``released`` (it runs without GPUs, or ``fault``
    says why not), ``returning``. ``rescue`` is the folder in which it left what may help to go on.
    """

    state: str
    at: float
    until: float
    gpus: int | None
    gpu_type: str | None
    rescue: str = ""
    reason: Message | None = None
    fault: Message | None = None


@dataclass(frozen=True)
class ServerView:
    """One server of a user, running or not. Amounts are None where nothing is known of them.

    ``tools`` are those that can be opened while it runs, each at ``mlabhub/open/TOOL`` below ``url``; ``open_url`` is
    where the first one is. ``notes`` are what to know about it as long as it runs: that a share is not there, say;
    ``ended`` is why it does not run, if nobody stopped it and the reason is known.

    ``borrowed``: its group holds more than it is guaranteed, so that it may be taken back after ``notice_s``. One that
    started from the queue is given back at ``claim_by`` unless it is used before. ``wanted`` is when its holder was
    last asked to give it back, for somebody waits. ``shelved`` is what it gave back itself and can have again.
    ``safe``: it runs in safe mode; ``safe_mode_offered``: it did not start twice in a row, and may in safe mode.
    """

    user: str
    server_name: str
    display_name: str
    state: ServerState
    profile: str = ""
    image: str = ""
    group: str | None = None
    gpu_type: str | None = None
    gpus: int = 0
    cpu: float | None = None
    memory_gib: float | None = None
    since: float | None = None
    url: str = ""
    launch_id: str | None = None
    newer_image: bool = False
    has_saved: bool = False
    notes: tuple[Message, ...] = ()
    kind: Kind = WORKBENCH
    tools: tuple[str, ...] = ()
    open_url: str = ""
    ended: Message | None = None
    borrowed: bool = False
    notice_s: float | None = None
    claim_by: float | None = None
    wanted: float | None = None
    shelved: ShelvedView | None = None
    safe: bool = False
    safe_mode_offered: bool = False


@dataclass(frozen=True)
class QuotaChangeView:
    """A change of quotas at run time, as `mlabhub.core.quota_changes.QuotaChange` has it; ``what`` says it in words."""

    change_id: str
    at: float
    author: str
    reason: str
    part: QuotaPart
    name: str
    resource: str
    amount: float | None
    added: bool
    start: float
    end: float | None
    undone: float | None
    undone_by: str
    state: Literal["in force", "ahead", "over", "undone"]
    what: Message


@dataclass(frozen=True)
class UsageView:
    """What a group or a user holds, and may hold, by resource; limits on those in ``soft`` count while others wait.

    ``borrowed`` is what a group holds beyond its guarantee, and ``each`` what one person may hold when it pays;
    ``changes`` are the changes of its quota that are in force.
    """

    name: str
    used: Mapping[str, float]
    limit: Mapping[str, float]
    guaranteed: Mapping[str, float]
    soft: tuple[str, ...] = ()
    borrowed: Mapping[str, float] = field(default_factory=dict)
    each: Mapping[str, float] = field(default_factory=dict)
    changes: tuple[QuotaChangeView, ...] = ()


@dataclass(frozen=True)
class GpuView:
    """One GPU and who holds it: the holder's name, server and profile are None for those who may not know them.

    ``type_name`` is what people call the type. ``usable``: it would be handed out if nobody held it. ``busy``: used
    from outside of the hub, None if that cannot be told; the ``processes`` that use it are for administrators only.
    ``utilisation`` (percent) and ``used_gib`` are as of the last look, for those who may know the holder; None if not
    known. ``taken``: on a cluster, as many are taken by pods that are not this hub's; which ones, nobody tells.
    """

    uuid: str
    type: str
    name: str
    memory_gib: float | None
    simulated: bool
    healthy: bool
    held: bool
    user: str | None = None
    server_name: str | None = None
    since: float | None = None
    display_name: str | None = None
    profile: str | None = None
    type_name: str = ""
    index: int | None = None
    utilisation: float | None = None
    used_gib: float | None = None
    usable: bool = True
    health: tuple[Message, ...] = ()
    busy: bool | None = False
    processes: tuple[GpuProcess, ...] = ()
    divided: bool = False
    mig: str = ""
    parent: str = ""
    taken: bool = False


@dataclass(frozen=True)
class NodeView:
    """One machine: what it has and what of it is free. ``gpu_fault``: why its GPUs cannot be read, if so.

    CPUs are handed out ``cpu_overcommit`` times, so that ``cpu_free`` may be more than ``cpu``. ``notes`` say why it
    takes no servers, or not those of every profile. On a cluster (``counted``) its GPUs are slots; ``gpus_taken`` are
    how many pods hold that are not this hub's, by type, and ``takers`` are these by namespace, for administrators only.
    """

    name: str
    schedulable: bool
    cpu: float
    cpu_free: float
    memory_gib: float
    memory_gib_free: float
    gpus: tuple[GpuView, ...]
    gpu_fault: Message | None = None
    cpu_overcommit: float = 1.0
    notes: tuple[Message, ...] = ()
    counted: bool = False
    gpus_taken: Mapping[str, int] = field(default_factory=dict)
    takers: tuple[Taker, ...] = ()


@dataclass(frozen=True)
class PlaceView:
    """A folder that a person's servers have; ``share`` is its name for ``mounts``."""

    share: str
    target: str
    display_name: str
    read_only: bool
    tier: Tier


@dataclass(frozen=True)
class StorageView:
    """The room of one of a person's folders, and what is in it; None is unknown. ``full``: hardly anything fits."""

    share: str
    target: str
    display_name: str
    read_only: bool
    tier: Tier
    total_bytes: int | None
    free_bytes: int | None
    full: bool | None
    use: FolderUse | None = None


@dataclass(frozen=True)
class SavedImageView:
    """An image that a person saved; launches name it ``saved/NAME``. ``of_image`` is what its server came from."""

    name: str
    of_image: str
    description: str


@dataclass(frozen=True)
class CatalogView:
    """What the launch page shows to one person: what they may choose, what is there, what they hold.

    ``places`` are the folders that a server of theirs sees: private ones, one per group, then extra shares. The
    defaults are what a form opens on: the profile, and by profile the image and the GPU type (None: any).
    ``user_usage_by_group`` is the person's usage by the group that pays, where its cap is another than ``user_usage``.
    ``tensorboard`` is the profile of a TensorBoard alone, empty if there is none for this person.
    ``gpu_type_names`` are the names of the types for people. ``kept_images`` are retired ones, by the server that had
    one and may have it again, ``successors`` what takes the place of retired ones. ``network`` is what the site opens
    to servers, None where they reach whatever the machine does. ``most_gpus`` is how many of a type one machine has at
    most. ``nodes`` are looked at (by ``see_nodes``) only when they are asked for: few pages show thousands of GPUs.
    """

    profiles: tuple[Profile, ...]
    images: tuple[ImageChoice, ...]
    groups: tuple[str, ...]
    default_group: str | None
    user_usage: UsageView
    group_usage: tuple[UsageView, ...]
    user_usage_by_group: Mapping[str, UsageView] = field(default_factory=dict, kw_only=True)
    see_nodes: Callable[[], tuple[NodeView, ...]] = field(repr=False)
    gpu_types: tuple[str, ...]
    most_gpus: Mapping[str, int] = field(default_factory=dict)
    default_profile: str = ""
    default_images: Mapping[str, str] = field(default_factory=dict)
    default_gpu_types: Mapping[str, str | None] = field(default_factory=dict)
    gpu_type_names: Mapping[str, str] = field(default_factory=dict)
    kept_images: Mapping[str, ImageChoice] = field(default_factory=dict)
    successors: Mapping[str, str] = field(default_factory=dict)
    places: tuple[PlaceView, ...] = ()
    mount_prefixes: tuple[str, ...] = ()
    tensorboard: str = ""
    network: NetworkSpec | None = None

    @cached_property
    def nodes(self) -> tuple[NodeView, ...]:
        """Every node with its GPUs, as far as the person may know who holds them."""
        return self.see_nodes()


@dataclass(frozen=True)
class ImageView:
    """An image that a person may choose: ``name`` as launches name it. ``size`` is in bytes, ``created`` in seconds.

    ``fetch`` says how far it is while it is being fetched, or why it could not be.
    """

    name: str
    kind: Literal["catalog", "saved"]
    display_name: str
    description: str = ""
    framework: str | None = None
    release: str | None = None
    tools: tuple[str, ...] = ()
    of_image: str = ""
    size: int | None = None
    created: float | None = None
    fetch: dict[str, Any] | None = None
