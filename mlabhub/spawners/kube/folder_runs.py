"""Run the pod that makes or checks folders, and say what it found.

Guarantees: the pod is removed, whatever comes of it, at the latest by the next hub; what cannot be mounted is a
sentence that names the share, within the patience; a folder that was found right is not looked at again while this hub
runs, and is never being made by two pods at once.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakValueDictionary

from kubernetes_asyncio.client import V1DeleteOptions

from mlabhub.cluster import labels
from mlabhub.cluster.asking import Answer, ask
from mlabhub.cluster.volumes import Part, UnmountableShare, is_private, part_in
from mlabhub.core.kubernetes import KubernetesSpec
from mlabhub.core.plan import LaunchPlan
from mlabhub.core.quote import quote
from mlabhub.core.storage import Mount
from mlabhub.errors import ClusterUnavailable, MLabError
from mlabhub.messages import N_, Message
from mlabhub.spawners.kube.folder_pod import FolderWork, get_folders_pod_manifest

log = logging.getLogger(__name__)

Key = tuple[object, ...]
LOOK_SECONDS = 0.2
EVENTS_EVERY = 2.0
WILL_NOT_START = (
    *("ErrImageNeverPull", "ImagePullBackOff", "ErrImagePull", "InvalidImageName"),
    *("CreateContainerConfigError", "CreateContainerError"),
)
"""Why a container waits that will not start by itself soon."""
HOPELESS = ("hostPath type check failed", "not found", "is not a directory", "does not exist")
"""What a volume's event says when waiting is no use."""


@dataclass
class Folders:
    """Runs the pods for one hub, and remembers what was right."""

    namespace: str
    instance: str
    image: str
    known: set[Key] = field(default_factory=set)
    _running: set[str] = field(default_factory=set)
    _locks: WeakValueDictionary[Key, asyncio.Lock] = field(default_factory=WeakValueDictionary)
    _swept: bool = False

    def is_known(self, part: Part, mount: Mount, plan: LaunchPlan) -> bool:
        """Whether a folder was found right before."""
        return key_of(part, mount, plan) in self.known

    def forget(self, parts: Iterable[Part], plan: LaunchPlan) -> None:
        """Look at these folders again with the next start: one with what was remembered came to nothing."""
        self.known -= {key_of(part, mount, plan) for part in parts for mount in part.mounts}

    async def run(
        self, api: Any, work: FolderWork, plan: LaunchPlan, spec: KubernetesSpec, give_up: float
    ) -> dict[Mount, Message]:
        """Do the work; return what is wrong, by mount. Raises `MLabError` if the pod itself cannot run."""
        async with AsyncExitStack() as stack:
            made = [one for one in work.folders if work.make and one[1].create]
            for place in sorted({(part.claim_name or part.folder, part.path_of(mount)) for part, mount in made}):
                await stack.enter_async_context(self._locks.setdefault(place, asyncio.Lock()))
            folders = tuple(one for one in work.folders if not self.is_known(*one, plan))
            return await self._run(api, replace(work, folders=folders), plan, spec, give_up) if folders else {}

    async def _run(
        self, api: Any, work: FolderWork, plan: LaunchPlan, spec: KubernetesSpec, give_up: float
    ) -> dict[Mount, Message]:
        await self._sweep(api)
        name = labels.object_name(self.instance, f"folders-{secrets.token_hex(6)}")
        manifest = get_folders_pod_manifest(work, plan, spec, name=name, instance=self.instance, image=self.image)
        self._running.add(name)
        try:
            answer = await ask(api.create_namespaced_pod, self.namespace, manifest)
            if not answer.is_fine and not answer.is_taken:
                raise _not_created(answer, self.namespace)
            found = await self._answer_of(api, name, work, give_up)
        finally:
            await asyncio.shield(self._remove(api, name))
        faults = {}
        for (part, mount), one in zip(work.folders, found, strict=True):
            if one[0] == "ok":
                if not mount.subfolder:
                    self.known.add(key_of(part, mount, plan))
            else:
                faults[mount] = _say(one, mount)
        return faults

    async def _answer_of(self, api: Any, name: str, work: FolderWork, give_up: float) -> Sequence[Sequence[Any]]:
        looked = time.monotonic()
        while True:
            pod = (await ask(api.read_namespaced_pod, name, self.namespace)).body
            ended = answer_in(pod)
            if ended is not None:
                return ended
            late = time.monotonic() > give_up
            if late or time.monotonic() > looked + EVENTS_EVERY:
                looked = time.monotonic()
                fault = fault_in(await self._events(api, f"involvedObject.name={name}"), work, late=late)
                if fault is not None:
                    raise await self._unbound(api, work) or fault
            await asyncio.sleep(LOOK_SECONDS)

    async def _unbound(self, api: Any, work: FolderWork) -> ShareNotMounted | None:
        """Return the fault for a claim that is not bound to a volume, if there is one: it says more than its pod."""
        for part in work.parts:
            if not part.claim_name:
                continue
            claim = await ask(api.read_namespaced_persistent_volume_claim, part.claim_name, self.namespace)
            if claim.body.get("status", {}).get("phase") != "Pending":
                continue
            about = f"involvedObject.kind=PersistentVolumeClaim,involvedObject.name={part.claim_name}"
            events = await self._events(api, about)
            if events and events[-1].get("reason") == "WaitForFirstConsumer":
                continue
            said = [" ".join(str(event.get("message", "")).split()) for event in events]
            template = N_(
                "{targets} cannot be mounted: no volume is bound to the claim {claim}{why}. Ask an administrator."
            )
            why = f" ({said[-1][:300].rstrip('.')})" if said else ""
            targets = ", ".join(part.targets)
            return ShareNotMounted(Message.of(template, targets=targets, claim=part.claim_name, why=why), part)
        return None

    async def _events(self, api: Any, about: str) -> Sequence[Mapping[str, Any]]:
        answer = await ask(api.list_namespaced_event, self.namespace, field_selector=about)
        events: Sequence[Mapping[str, Any]] = answer.body.get("items", [])
        return events

    async def _sweep(self, api: Any) -> None:
        """Remove, once, what an earlier hub left behind, or a cluster that was away when it was to be removed."""
        if self._swept:
            return
        self._swept = True
        ours = f"{labels.INSTANCE}={self.instance},{labels.PART}={labels.PART_FOLDERS}"
        answer = await ask(api.list_namespaced_pod, self.namespace, label_selector=ours)
        names = [pod["metadata"]["name"] for pod in answer.body.get("items", ())]
        await asyncio.gather(*(self._remove(api, name) for name in names if name not in self._running))

    async def _remove(self, api: Any, name: str) -> None:
        try:
            await ask(api.delete_namespaced_pod, name, self.namespace, body=V1DeleteOptions(grace_period_seconds=0))
        except ClusterUnavailable as error:
            self._swept = False
            log.warning("The pod %s is left behind for now: %s", name, error.log_text)
        finally:
            self._running.discard(name)


class ShareNotMounted(UnmountableShare):
    """A volume of the pod is not mounted; ``part`` is the one, where it is known."""

    def __init__(self, message: Message, part: Part | None):
        super().__init__(message)
        self.part = part


def key_of(part: Part, mount: Mount, plan: LaunchPlan) -> Key:
    """Return what a folder is remembered by: a group's is the same for all of its members."""
    node = plan.node if "hostPath" in part.source else ""
    whose = "" if mount.create and not is_private(mount) else plan.user
    return (whose, node, json.dumps(part.source, sort_keys=True), part.path_of(mount), mount.create)


def answer_in(pod: Mapping[str, Any]) -> Sequence[Sequence[Any]] | None:
    """Return the script's answers, None while it runs. Raises `UnmountableShare` if it came to nothing."""
    status = pod.get("status", {})
    for container in status.get("containerStatuses", []):
        state = container.get("state", {})
        if "terminated" in state:
            try:
                answers: Sequence[Sequence[Any]] = json.loads(state["terminated"].get("message", ""))
            except ValueError:
                raise _failed(state["terminated"].get("reason", "")) from None
            return answers
        waiting = state.get("waiting", {})
        if waiting.get("reason") in WILL_NOT_START:
            raise _failed(waiting.get("message", ""))
    if status.get("phase") == "Failed":
        raise _failed(status.get("message") or status.get("reason", ""))
    return None


def _failed(reason: str) -> MLabError:
    template = N_(
        "The folders could not be looked at: their pod ended without an answer ({reason}). Ask an administrator."
    )
    return UnmountableShare(Message.of(template, reason=quote(reason)))


def fault_in(events: Sequence[Mapping[str, Any]], work: FolderWork, *, late: bool) -> ShareNotMounted | None:
    """Return what keeps the pod from running: at once if waiting is no use, else when the patience is at its end."""
    warnings = [event for event in events if event.get("type") == "Warning"]
    for event in reversed(warnings):
        said = " ".join(str(event.get("message", "")).split())
        part = part_in(work.parts, said)
        hopeless = event.get("reason") == "FailedMount" and part and any(word in said for word in HOPELESS)
        if hopeless or late:
            where = part or work.parts[0]
            template = N_("{targets} cannot be mounted: {reason}. Ask an administrator.")
            message = Message.of(template, targets=", ".join(where.targets), reason=said[:500].rstrip("."))
            return ShareNotMounted(message, part)
    if late:
        targets = ", ".join(target for part in work.parts for target in part.targets)
        template = N_("{targets} could not be mounted in time, and the cluster does not say why. Ask an administrator.")
        return ShareNotMounted(Message.of(template, targets=targets), None)
    return None


def _not_created(answer: Answer, namespace: str) -> MLabError:
    if "violates PodSecurity" in answer.said:
        template = N_(
            "The namespace {namespace} does not let the hub make folders: its Pod Security standard forbids a pod that "
            "is root ({reason}). An administrator can label it pod-security.kubernetes.io/enforce=baseline, or set "
            "make_folders to hub or nobody in kubernetes.yaml."
        )
    else:
        template = N_(
            "The cluster does not let the hub look for folders in {namespace}: {reason}. Ask an administrator."
        )
    return UnmountableShare(Message.of(template, namespace=namespace, reason=answer.said.rstrip(".")))


def _say(found: Sequence[Any], mount: Mount) -> Message:
    """Return the sentence for an answer of the script's."""
    folder = mount.source
    if mount.subfolder:
        folder = f"{folder}/{mount.subfolder}"
    what, *values = found
    if what in ("missing", "link", "no_folder"):
        kinds = {"missing": N_("missing"), "link": N_("a link"), "no_folder": N_("not a folder")}
        template = N_("{folder} is {kind}, so it cannot be mounted. Ask an administrator to look at it.")
        return Message.of(template, folder=folder, kind=Message(kinds[what]))
    if what == "owner":
        assert mount.create is not None
        number = N_("group {number}") if values[0] == "group" else N_("user {number}")
        wanted = mount.create.gid if values[0] == "group" else mount.create.uid
        template = N_("{folder} belongs to {owner}, not to {wanted}, and is left as it is. Ask an administrator.")
        owner = Message.of(number, number=values[1])
        return Message.of(template, folder=folder, owner=owner, wanted=Message.of(number, number=wanted))
    if what == "closed":
        whose = N_("its person") if is_private(mount) else N_("its group")
        template = N_(
            "The volume of {folder} cannot be written to by {whose}: its storage driver does not hand it over. "
            "Ask an administrator."
        )
        return Message.of(template, folder=folder, whose=Message(whose))
    template = N_("The folder {folder} cannot be made or entered: {reason}. Ask an administrator.")
    return Message.of(template, folder=folder, reason=str(values[0]) if values else what)
