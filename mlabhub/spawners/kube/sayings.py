"""What may be said of a pod that is to be somebody's server: every sentence with its code, and how long there is hope.

Guarantees: pure. A code is in the how-to page for administrators, which says what to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from mlabhub.messages import N_, Message


class Hope(Enum):
    """How long a start goes on after a sentence."""

    ALL = "it is only told"
    NODE = "as long as a server may wait for a node"
    MOUNT = "as long as its volumes may take"
    SOON = "for some seconds: what is missing may just be on its way"
    AGAIN = "until the node has tried a second time"
    LOST = "as long as a server stays bound to a lost node"
    NONE = "it has failed"


@dataclass(frozen=True)
class Saying:
    """One kind of sentence."""

    code: str
    template: str
    hope: Hope = Hope.ALL

    def of(self, values: Mapping[str, Any] | None = None, /, **more: Any) -> Said:
        """Return the sentence with its values."""
        return Said(self, Message.of(self.template, values, **more))


@dataclass(frozen=True)
class Said:
    """One sentence."""

    saying: Saying
    message: Message

    @property
    def hope(self) -> Hope:
        """How long a start goes on after it."""
        return self.saying.hope


ENDS = (".", "…", "!", "?")
FULL_STOP = N_("{said}.")
TELL = N_("{said}. Tell an administrator.")
OTHER_IMAGE = N_("{said}. Choose another image, or tell an administrator.")
ANEW = N_("{said}. Start it again; if that comes again, tell an administrator.")

# -- on its way

SCHEDULED = Saying("scheduled", N_("Its node is {node}"))
PULLING = Saying("pulling", N_("Fetching the image {image}; the first time on a node that may take minutes"))
PULLED = Saying("pulled", N_("The image is there: {size} in {seconds} seconds"))
STARTED = Saying("started", N_("Its container has started"))
ATTACHED = Saying("attached", N_("The volume of {places} is attached"))
BINDING = Saying("binding", N_("The volume of the claim {claim} is being made"))
SCALING = Saying("scaling", N_("The cluster is adding a node for it; that may take minutes"))
NOT_SCALING = Saying("not_scaling", N_("The cluster can add no node that would help: {text}"))
PREDECESSOR = Saying("predecessor", N_("Waiting until the server's earlier pod has ended"))
UNHEALTHY = Saying("unhealthy", N_("It does not pass its health check yet: {text}"))
SECRET_NOT_THERE = Saying("pull_secret_missing", N_("The registry's pull secret {secrets} is not in the namespace"))
OTHER = Saying("other", N_("The cluster says: {text}"))

# -- waiting for a node

NO_NODE = Saying("no_node", N_("No node can take the server now: {reasons}"), Hope.NODE)
SHORT = Saying("short", N_("No node can take the server now: {why}"), Hope.NODE)
UNSCHEDULED = Saying("unscheduled", N_("The cluster has not looked for a node yet"), Hope.NODE)
GATED = Saying("gated", N_("Something on the cluster holds the server back (gates: {gates})"), Hope.NODE)
UNBOUND = Saying(
    "claim_pending", N_("Its volume is not there yet: the claim {claims} is not bound to a volume"), Hope.NODE
)
NO_CLAIM = Saying("claim_missing", N_("The claim {claims} does not exist, so {places} cannot be mounted"), Hope.NODE)
CLAIM_GOING = Saying("claim_going", N_("The claim {claims} is being deleted, so {places} cannot be mounted"), Hope.NODE)
CLAIM_LOST = Saying(
    "claim_lost", N_("The claim {claims} has lost its volume, so {places} cannot be mounted"), Hope.NODE
)
NOT_PROVISIONED = Saying("claim_failed", N_("The volume of the claim {claim} cannot be made: {text}"), Hope.NODE)
NO_VOLUME = Saying(
    "claim_without_volume", N_("No volume fits the claim {claim}, and its class makes none: {text}"), Hope.NODE
)

# -- the image

NO_IMAGE = Saying("image_missing", N_("The image {image} is not in its registry"), Hope.AGAIN)
OTHER_MACHINE = Saying("image_other_machine", N_("The image {image} is not made for this kind of machine"), Hope.AGAIN)
NOT_ALLOWED = Saying("image_refused", N_("The registry refused to hand out {image}: {text}"), Hope.AGAIN)
NO_REGISTRY = Saying("registry_unreachable", N_("The registry of {image} cannot be reached: {text}"), Hope.AGAIN)
BAD_CERTIFICATE = Saying(
    "registry_untrusted", N_("The node does not trust the registry of {image}: {text}"), Hope.AGAIN
)
REGISTRY_BROKEN = Saying("registry_broken", N_("The registry of {image} failed: {text}"), Hope.AGAIN)
NODE_FULL = Saying("image_no_space", N_("The node has no room for the image {image}"), Hope.AGAIN)
NOT_PULLED = Saying("image_failed", N_("The image {image} could not be fetched: {text}"), Hope.AGAIN)
NOT_LOADED = Saying(
    "image_not_loaded", N_("The image {image} is not on the node, and its name leads to no registry"), Hope.AGAIN
)
NEVER_PULLED = Saying(
    "image_not_on_node", N_("The image {image} is not on the node, and nodes may not fetch images here"), Hope.NONE
)
BAD_NAME = Saying("image_bad_name", N_("{image} cannot be an image's name: {text}"), Hope.NONE)

# -- its volumes

NOT_MOUNTED = Saying("not_mounted", N_("{places} cannot be mounted: {text}"), Hope.MOUNT)
NO_OBJECT = Saying("object_missing", N_("The {kind} {name} does not exist, so {places} cannot be mounted"), Hope.MOUNT)
NO_FOLDER = Saying(
    "folder_missing", N_("{places} cannot be mounted: there is no folder {path} on the node"), Hope.MOUNT
)
NO_MOUNT_HELPER = Saying(
    "mount_helper_missing",
    N_("{places} cannot be mounted: the node has no program for it (file system {type})"),
    Hope.MOUNT,
)
NO_DRIVER = Saying(
    "driver_missing", N_("{places} cannot be mounted: the node has no driver {driver} for it"), Hope.MOUNT
)
NO_STORAGE = Saying(
    "storage_unreachable", N_("{places} cannot be mounted: the storage does not answer: {text}"), Hope.MOUNT
)
STORAGE_REFUSED = Saying("storage_refused", N_("{places} cannot be mounted: the storage refuses: {text}"), Hope.MOUNT)
NO_EXPORT = Saying(
    "export_missing", N_("{places} cannot be mounted: the storage has no such folder: {text}"), Hope.MOUNT
)
ELSEWHERE = Saying(
    "attached_elsewhere",
    N_("{places} cannot be mounted: the volume is in use on another node. Stop what uses it, or wait."),
    Hope.MOUNT,
)
NOT_ATTACHED = Saying("not_attached", N_("The volume of {places} cannot be attached to the node: {text}"), Hope.MOUNT)
ATTACH_WAITS = Saying("attach_waits", N_("The volume of {places} is not attached to the node yet: {text}"), Hope.MOUNT)
SILENT_MOUNT = Saying(
    "mount_waits",
    N_("Nothing has begun on the node {node} in {seconds} seconds: {places} cannot be mounted, or it does not answer"),
    Hope.NONE,
)
SILENT_NODE = Saying(
    "node_silent", N_("Nothing has begun on the node {node} in {seconds} seconds: it may not answer"), Hope.NONE
)
NO_SUBPATH = Saying("subpath_failed", N_("The folder below {places} cannot be opened on the node"), Hope.SOON)
NO_SANDBOX = Saying("no_network", N_("The node cannot make the server's network: {text}"), Hope.MOUNT)

# -- its container

NO_SETTING = Saying("setting_missing", N_("The {kind} {name} does not exist, and the server needs it"), Hope.SOON)
NO_KEY = Saying("key_missing", N_("The {kind} {name} has no key {key}, and the server needs it"), Hope.SOON)
IS_ROOT = Saying("image_is_root", N_("The image wants to run as root, which is not allowed here"), Hope.NONE)
NAMED_USER = Saying("image_named_user", N_("The image names its user instead of giving a number: {text}"), Hope.NONE)
BAD_SETTING = Saying("bad_container", N_("The node cannot make the container: {text}"), Hope.SOON)
NO_ENTRY = Saying("entry_missing", N_("The image has no program {program}, which starts the server"), Hope.NONE)
NO_RIGHT = Saying("entry_denied", N_("The program {program} of the image may not be run"), Hope.NONE)
OTHER_PROGRAM = Saying(
    "entry_other_machine", N_("The program {program} of the image is not made for this kind of machine"), Hope.NONE
)
NOT_RUN = Saying("not_run", N_("The container could not be started: {text}"), Hope.NONE)

# -- it is over, or about to be

ENDED = Saying("ended_early", N_("The server ended while it started. {ending}"), Hope.NONE)
ENDED_SAYING = Saying(
    "ended_early", N_("The server ended while it started. {ending} Its last words: {words}"), Hope.NONE
)
PREPARING = Saying("preparing_failed", N_("What prepares the server ({container}) failed. {ending}"), Hope.NONE)
PREPARING_SAYING = Saying(
    "preparing_failed", N_("What prepares the server ({container}) failed. {ending} Its last words: {words}"), Hope.NONE
)
DELETED = Saying("deleted", N_("The server's pod was deleted while it started, not by this hub"), Hope.NONE)
NODE_SILENT = Saying("node_silent", N_("Its node {node} no longer answers"), Hope.LOST)

# -- how hope ends

WAITED = Saying(
    "waited_for_node",
    N_("No node took the server within {seconds} seconds. {why} Try again later, or tell an administrator."),
    Hope.NONE,
)
WAITED_MOUNT = Saying(
    "waited_for_mount",
    N_("Its volumes were not mounted within {seconds} seconds. {why} Tell an administrator."),
    Hope.NONE,
)


def closed(message: Message) -> Message:
    """Return a sentence with a full stop."""
    return message if str(message).endswith(ENDS) else Message.of(FULL_STOP, said=message)


def last(said: Said) -> Message:
    """Return a sentence as the last one of a start, with what its reader can do, unless it is whole by itself."""
    if str(said.message).endswith(ENDS) or said.saying in (ENDED_SAYING, PREPARING_SAYING):
        return closed(said.message)
    code = said.saying.code
    if code.startswith(("image_", "registry_", "entry_")):
        return Message.of(OTHER_IMAGE, said=said.message)
    return Message.of(ANEW if code in (DELETED.code, NODE_SILENT.code) else TELL, said=said.message)


def all_sayings() -> tuple[Saying, ...]:
    """Return every kind of sentence of this module."""
    return tuple(value for value in globals().values() if isinstance(value, Saying))
