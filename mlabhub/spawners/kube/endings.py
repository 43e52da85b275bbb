"""Why a pod has ended, as its own status and events tell it.

Guarantees: pure; what is not known is not guessed. What the cluster did to the pod goes before what its process says of
itself: a process that was killed with its pod only knows of a signal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mlabhub.core.quote import plain
from mlabhub.messages import N_, Message
from mlabhub.spawners.endings import Ending
from mlabhub.spawners.kube.pods import Container, PodView, at
from mlabhub.spawners.kube.texts import clean, gist
from mlabhub.spawners.kube.words import say_container

NODE_MEMORY = N_("Its node {node} ran short of memory, so the cluster ended it. Start it again.")
NODE_DISK = N_("Its node {node} ran short of disk, so the cluster ended it. Start it again, and tell an administrator.")
NODE_PIDS = N_("Its node {node} ran short of process numbers, so the cluster ended it. Start it again.")
FOLDER_FULL = N_(
    "It wrote more than {limit} into its folder {places}, so the cluster ended it. Write to your own folders instead."
)
DISK_USED = N_(
    "It wrote more than {limit} outside of its mounted folders, so the cluster ended it. "
    "Write to your own folders instead."
)
EVICTED = N_("The cluster ended it: {text}. Start it again; if that comes again, tell an administrator.")
TAKEN_OFF = N_("It was taken off its node {node}, as when a node is emptied for maintenance. Start it again.")
NODE_LOST = N_("Its node {node} no longer answered, so the cluster gave it up. Start it again.")
NODE_GONE = N_("Its node {node} is no longer part of the cluster. Start it again.")
NODE_DOWN = N_("Its node {node} was shut down. Start it again.")
PREEMPTED = N_("The cluster needed its place for something of higher priority. Start it again when there is room.")
OVERDUE = N_("It ran for longer than the cluster lets it. Start it again, or ask an administrator.")
REFUSED_DEVICES = N_(
    "Its node {node} did not have the GPUs that the cluster had counted on, and refused it. "
    "Start it again; if that comes again, tell an administrator."
)
REFUSED_ROOM = N_("Its node {node} had no more room for it ({resource}), and refused it. Start it again.")
REFUSED_KIND = N_("Its node {node} is no longer of the kind that it needs, and refused it. Start it again.")
DELETED = Message(N_("It was deleted on the cluster, not by this hub. Start it again; an administrator may know why."))
UNCERTAIN = N_("Its node {node} lost sight of it. Start it again.")
NEVER_RAN = N_("{said}.")

_REFUSALS = {
    "UnexpectedAdmissionError": REFUSED_DEVICES,
    "NodeAffinity": REFUSED_KIND,
    "NodeShutdown": NODE_DOWN,
    "Terminated": NODE_DOWN,
    "Shutdown": NODE_DOWN,
    "NodeLost": NODE_LOST,
    "Preempting": PREEMPTED,
    "DeadlineExceeded": OVERDUE,
}
_DISRUPTIONS = {
    "PreemptionByScheduler": PREEMPTED,
    "DeletionByTaintManager": NODE_LOST,
    "DeletionByPodGC": NODE_GONE,
    "EvictionByEvictionAPI": TAKEN_OFF,
}
_EVENTS = {"Preempted": PREEMPTED, "TaintManagerEviction": NODE_LOST, "NodeNotReady": NODE_LOST}
_LOW = {"memory": NODE_MEMORY, "ephemeral-storage": NODE_DISK, "inodes": NODE_DISK, "pids": NODE_PIDS}
_TOLD = (0, 137, 143)
"""How a process ends that is told to: well, or by the signals 9 and 15."""
_NEVER_RAN = frozenset({"StartError", "ContainerCannotRun", "RunContainerError", "CreateContainerError"})


def ending_of(pod: Mapping[str, Any], events: Sequence[Mapping[str, Any]] = ()) -> Ending | None:
    """Return how a pod ended, or why it is being ended by somebody else; None while nothing is known against it.

    ``pod`` is as it was last seen; a pod with a deletion under way was deleted behind our back, for where the hub ends
    a server nobody asks.
    """
    view = PodView(pod)
    if (why := _why(view, events)) is not None:
        return Ending(_status(view), why=why)
    main = next((one for one in view.containers if not one.initial and one.terminated), None)
    failed = next((one for one in view.containers if one.initial and _failed(one)), None)
    ended = failed or main
    if view.ending and (ended is None or _obeyed(ended)):
        return Ending(_status(view), why=DELETED)
    if ended is not None and (view.phase in ("Failed", "Succeeded") or not ended.running):
        return ending_of_container(view, ended)
    return None


def ending_when_gone(last: Mapping[str, Any] | None, events: Sequence[Mapping[str, Any]] = ()) -> Ending:
    """Return how a pod ended that is no longer there; ``last`` is how it was seen last, if it was."""
    known = ending_of(last or {}, events)
    return known if known is not None else Ending(why=DELETED)


def ending_of_container(view: PodView, container: Container) -> Ending:
    """Return how a container ended; of one that has not, that it ended well."""
    ended = container.terminated or {}
    code, reason = ended.get("exitCode"), str(ended.get("reason") or "")
    status = code if isinstance(code, int) else 0
    if never_ran(container):
        said = say_container(str(ended.get("message") or ""), plain(container.image)).message
        return Ending(status, why=Message.of(NEVER_RAN, said=said))
    if reason == "ContainerStatusUnknown":
        return Ending(status, why=Message.of(UNCERTAIN, node=plain(view.node)))
    if reason == "OOMKilled":
        return Ending(status, True, view.memory_gib(container.name))
    return Ending(status)


def never_ran(container: Container) -> bool:
    """Return whether a container ended before any program of its image ran."""
    return str((container.terminated or {}).get("reason") or "") in _NEVER_RAN


def _why(view: PodView, events: Sequence[Mapping[str, Any]]) -> Message | None:
    """Return what the cluster did to it."""
    node = {"node": plain(view.node or "-")}
    if view.reason == "Evicted":
        return _say_evicted(view, view.text)
    if view.reason.startswith("OutOf"):
        return Message.of(REFUSED_ROOM, node, resource=plain(view.reason.removeprefix("OutOf")))
    if view.reason in _REFUSALS:
        return Message.of(_REFUSALS[view.reason], node)
    disruption = view.condition("DisruptionTarget")
    if disruption.get("status") == "True":
        if disruption.get("reason") == "TerminationByKubelet":
            return _say_evicted(view, str(disruption.get("message") or ""))
        if disruption.get("reason") in _DISRUPTIONS:
            return Message.of(_DISRUPTIONS[str(disruption["reason"])], node)
        return Message.of(EVICTED, text=gist(disruption.get("message") or disruption.get("reason")))
    return next(_in_events(view, events, node), None)


def _in_events(view: PodView, events: Sequence[Mapping[str, Any]], node: Mapping[str, str]) -> Iterator[Message]:
    """Yield what was done to it as events tell it, for a pod that is gone or going; a node may come back to others."""
    if view.phase == "Running" and not view.ending and all(one.running for one in view.containers if not one.initial):
        return
    for event in events:
        if at(event, "involvedObject", "uid") not in (None, view.uid):
            continue  # An earlier pod of the same name.
        reason = str(event.get("reason") or "")
        if reason == "Evicted":
            yield _say_evicted(view, str(event.get("message") or ""))
        elif reason in _EVENTS and (reason != "NodeNotReady" or view.ending):
            if reason == "TaintManagerEviction" and str(event.get("message") or "").startswith("Cancelling"):
                continue
            yield Message.of(_EVENTS[reason], node)


def _say_evicted(view: PodView, text: str) -> Message:
    low = re.search(r"low on resource: ([\w-]+)", text)
    if low is not None and low[1] in _LOW:
        return Message.of(_LOW[low[1]], node=plain(view.node or "-"))
    folder = re.search(r'EmptyDir volume "([^"]*)" exceeds the limit "?([^".]*)', text)
    if folder is not None:
        return Message.of(FOLDER_FULL, places=view.places(volume=folder[1]), limit=clean(folder[2], 20))
    disk = re.search(r'ephemeral (?:local )?storage.*?\b(?:containers|limit) "?(\d[^". ]*)', text)
    if disk is not None:
        return Message.of(DISK_USED, limit=clean(disk[1], 20))
    return Message.of(EVICTED, text=gist(text) or "-")


def _obeyed(container: Container) -> bool:
    """Return whether a container ended as one does that is told to."""
    ended = container.terminated or {}
    return ended.get("exitCode") in _TOLD and ended.get("reason") != "OOMKilled"


def _failed(container: Container) -> bool:
    code = (container.terminated or {}).get("exitCode")
    return not container.running and isinstance(code, int) and code != 0


def _status(view: PodView) -> int:
    for container in view.containers:
        code = (container.terminated or {}).get("exitCode")
        if not container.initial and isinstance(code, int):
            return code
    return 0
