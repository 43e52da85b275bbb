"""Users' servers in pods: KubeSpawner, with our gate and our pods.

Guarantees: nothing of a person's is expanded as a template; a pod is taken for gone only when the cluster itself says
so; what an earlier start left under the same name is waited for, or removed; a stop is over when the pod is gone. Where
that cannot be seen, since its node or the cluster does not answer, the reservation stays for the reconciler.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from jupyterhub.utils import maybe_future
from kubernetes_asyncio.client.exceptions import ApiException
from kubespawner import spawner as kubespawner
from traitlets import Float, default

from mlabhub.cluster import images, labels
from mlabhub.cluster.asking import CALL_SECONDS
from mlabhub.cluster.client import AWAY, unreachable
from mlabhub.cluster.volumes import PodVolumes
from mlabhub.core.plan import LaunchPlan
from mlabhub.errors import ClusterUnavailable, LaunchRefused, MLabError
from mlabhub.messages import N_, Message
from mlabhub.settings import Settings
from mlabhub.spawners.endings import Ending, say_ending
from mlabhub.spawners.kube import sayings, states
from mlabhub.spawners.kube.calls import NameTaken, PodCalls
from mlabhub.spawners.kube.endings import ending_when_gone
from mlabhub.spawners.kube.following import Follower
from mlabhub.spawners.kube.manifest import CONTAINER, PORT, Manifest, Surroundings, get_pod_manifest, hosts_of
from mlabhub.spawners.kube.pods import PodView
from mlabhub.spawners.kube.reflectors import Event, ServerEvents, ServerPods
from mlabhub.spawners.kube.refusals import refusal_of
from mlabhub.spawners.kube.shared import SharedCluster, use_cluster
from mlabhub.spawners.kube.states import Pod
from mlabhub.spawners.kube.storage import prepare_storage
from mlabhub.spawners.kube.watching import Sight
from mlabhub.spawners.mixin import MLabSpawnerMixin
from mlabhub.spawners.plan_to_container import STOP_SECONDS

PATIENCE_SECONDS = 90.0
"""How long the cluster may be away in the middle of a start or a stop."""
GONE_SECONDS = STOP_SECONDS + 35.0
"""How long a pod may take to go once that is asked for. A node that is lost never lets one go."""
ASK_SECONDS = 5.0
"""How often the cluster itself is asked, in case that its watch says nothing."""
UNTOLD_SECONDS = 1.0
"""How often, where its watch is known to be late."""
LAST_LINES = 15

STILL_THERE = N_("A server of this name is still there. Try again in a minute.")


@dataclass(frozen=True)
class Prepared:
    """A start that is decided."""

    plan: LaunchPlan
    around: Surroundings
    volumes: PodVolumes


class MLabSpawner(MLabSpawnerMixin, kubespawner.KubeSpawner):
    """Starts a user's server in a pod of its own."""

    backend = "kube"
    look_interval = Float(0.1, help="Seconds between two looks at a pod that starts or stops.").tag(config=True)

    _prepared: Prepared | None = None
    _seen: Pod | None = None
    """The pod as it was when it was last there."""
    _asked_at = 0.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.shared  # noqa: B018 - KubeSpawner makes its connection when it is made
        super().__init__(*args, **kwargs)

    @classmethod
    def share(cls, settings: Settings) -> SharedCluster:
        """Return what this hub's spawners share."""
        use_cluster(settings)
        return SharedCluster(settings)

    @default("cmd")
    def _default_cmd(self) -> list[str]:
        return ["jupyterhub-singleuser"]

    @default("namespace")
    def _namespace_default(self) -> str:
        namespace: str = self.shared.namespace
        return namespace

    def _expand_user_properties(self, template: str, slug_scheme: str | None = None) -> str:
        """Return the name of this server's pod where that is asked for, and any other text as it is."""
        if template == self.pod_name_template:
            return labels.pod_name(self.shared.settings.instance, self.user.name, self.name)
        return template

    async def load_user_options(self) -> None:
        """Do nothing: the service has read them, and KubeSpawner's own profiles stay empty."""

    # -- start

    async def apply_plan(self, plan: LaunchPlan) -> None:
        """Make what its folders need, and decide on the pod."""
        settings, spec = self.shared.settings, await self.shared.spec()
        storage = await prepare_storage(self.api, self.namespace, plan, spec, self.shared.storage)
        site = await self.shared.site.ensure(self.api.api_client)
        for note in storage.notes:
            self._note(note)
        if self._notes:
            notes = "\n".join(str(note) for note in self._notes)
            plan = replace(plan, environment={**plan.environment, "MLABHUB_NOTES": notes})
        self.image = images.for_nodes(plan.image_reference, spec.registry)
        lacks_nothing = images.brings_all(self.image, spec.registry)
        self.port = PORT
        self.mem_limit = self.mem_guarantee = round(plan.memory_gib * 2**30)
        self.cpu_limit, self.cpu_guarantee = plan.cpu, plan.cpu_guarantee or None
        if settings.hub_host:
            scheme = "https" if settings.tls_name else "http"
            self.hub_connect_url = f"{scheme}://{settings.tls_name or settings.hub_host}:{settings.port}"
        around = Surroundings(
            instance=settings.instance,
            namespace=self.namespace,
            spec=spec,
            image=self.image,
            command=(*self.cmd, *self.get_args()),
            hub_environment=self.get_env(),
            volumes=storage.volumes,
            site=site,
            hosts=hosts_of(settings.tls_name, settings.hub_host),
            runtime="" if lacks_nothing else images.for_nodes(images.RUNTIME, spec.registry),
            **self._of_site(),
        )
        self._prepared = Prepared(plan, around, storage.volumes)

    def _of_site(self) -> dict[str, Any]:
        """Return what a chart says by KubeSpawner's own traits."""
        component = {"component": self.component_label, "app.kubernetes.io/component": self.component_label}
        return {
            "labels": {**self.common_labels, **self.extra_labels, **component},
            "annotations": dict(self.extra_annotations),
            "tolerations": tuple(self._sorted_dict_values(self.tolerations)),
            "pull_secrets": tuple(secret_name(secret) for secret in self.image_pull_secrets),
            "priority_class": self.priority_class_name or "",
            "scheduler": self.scheduler_name or "",
        }

    async def get_pod_manifest(self) -> Manifest:
        """Return the pod of the start that was prepared. Raises `LaunchRefused` where the site does not allow it."""
        return get_pod_manifest(self._decided.plan, self._decided.around)

    @property
    def _decided(self) -> Prepared:
        if self._prepared is None:
            raise MLabError("A pod was to be created before its plan was known.")
        return self._prepared

    async def _start(self) -> str:
        """Make the pod and wait until it runs; KubeSpawner's own way looks seldom and knows no reasons."""
        await self._watch()
        self._seen, self._asked_at = None, time.monotonic()
        with self._phase("manifest"):
            manifest = await self.get_pod_manifest()
        if self.modify_pod_hook:
            manifest = await maybe_future(self.modify_pod_hook(self, manifest))
        await self._create(manifest)
        return self._get_pod_url(await self._until_running())

    async def _create(self, manifest: Manifest) -> None:
        """Make the pod; whatever holds its name is of an earlier start, and goes first."""
        taken = False
        while True:
            await self._clear_name(ask=taken)
            creation = asyncio.ensure_future(self._calls.create(manifest, self.pod_name, self._is_own))
            try:
                await asyncio.shield(creation)
                return
            except asyncio.CancelledError:
                # Whoever cleans up must see the pod if the cluster is just making it; and nobody goes on trying.
                await asyncio.wait([creation], timeout=CALL_SECONDS)
                creation.cancel()
                raise
            except NameTaken:
                if time.monotonic() > self._give_up:
                    raise LaunchRefused(STILL_THERE) from None
                taken = True  # by one of which the watch may not know yet

    async def _clear_name(self, *, ask: bool) -> None:
        found = await self._find(ask=ask)
        if found is None or self._is_own(found):
            return
        if PodView(found).instance != self.shared.settings.instance:
            raise LaunchRefused(STILL_THERE, log_text=f"The pod {self.pod_name} was not made by this hub: left alone")
        self._note(Message(N_("An earlier server of this name is still ending; this one starts when it is gone.")))
        await self._calls.delete(self.pod_name, states.uid_of(found), STOP_SECONDS)
        await self._until_gone(found)

    async def _until_running(self) -> Pod:
        """Follow the pod until its server runs. Raises `MLabError` as soon as it is known that it will not."""
        follower = Follower(self._decided.plan, self._decided.around.spec, self.shared.service)
        try:
            while time.monotonic() < self._give_up:
                pod = await self._look()
                with self._phase("follow"):
                    sight = await follower.see(pod, self._events())
                for news in sight.news:
                    self._progress.add(45, news)
                if sight.fault is not None:
                    raise await self._with_last_words(sight)
                if pod is not None and self._is_own(pod):
                    self._seen = pod
                    if states.is_running(pod):
                        return pod
                await asyncio.sleep(self.look_interval)
        finally:
            follower.close()
        template = N_("The server did not begin to run within {seconds} seconds. Try again, or tell an administrator.")
        raise LaunchRefused(Message.of(template, seconds=self.start_timeout), code="too_slow")

    async def _look(self) -> Pod | None:
        """Return the pod; where the watch knows none, the cluster is asked: often only if there was one before."""
        found = self._known()
        if found is not None or (self._seen is None and time.monotonic() < self._asked_at + ASK_SECONDS):
            return found
        self._asked_at = time.monotonic()
        try:
            return await PodCalls(self.api, self.namespace, patience_s=0).read(self.pod_name)
        except ClusterUnavailable:
            return self._seen

    async def _with_last_words(self, sight: Sight) -> MLabError:
        fault = sight.fault or MLabError("A start was given up without a reason.")
        words = await self._calls.log(self.pod_name, sight.log_of, LAST_LINES) if sight.log_of else ""
        if not words:
            return fault
        message = Message.of(N_("{why} Its last words: {words}"), why=fault.message, words=words)
        return LaunchRefused(message, log_text=fault.log_text, **fault.data)

    async def _undo(self, why: Message | None = None, *, passing: bool = False) -> None:
        """Leave nothing, and trust nothing remembered of what it mounts, which may be why it came to nothing."""
        if self._prepared is not None:
            self.shared.storage.forget(self._prepared.plan, self._prepared.volumes)
            self.shared.site.forget()
        await super()._undo(why, passing=passing)

    async def last_words(self) -> str:
        """Return the end of the server's log."""
        return await self._calls.log(self.pod_name, CONTAINER, LAST_LINES)

    async def ending(self) -> Ending | None:
        """Return how the server ended, from how its pod was seen last."""
        await self._watch()
        last = self._last()
        if last is None or not self._is_own(last):
            last = self._seen
        return ending_when_gone(last, self._events())

    async def _ended_early(self, status: Any) -> Message:
        ending = await self._how_it_ended()
        if ending is None:
            return await super()._ended_early(status)
        words = "" if ending.why is not None else await self.last_words()
        values = {"ending": say_ending(ending), "words": words}
        return (sayings.ENDED_SAYING if words else sayings.ENDED).of(values).message

    # -- poll, stop

    async def poll(self) -> Any:
        """Return None while the server runs, or while the cluster cannot say; else how it ended."""
        if not self.launch_id:
            return 0
        try:
            pod = await self._find(ask=True)
        except MLabError as error:
            self.log.warning("mlabhub: %s counts as running: %s", self._log_name, error.log_text)
            return None
        if pod is None or not self._is_own(pod):
            return 1
        self._seen = pod
        return states.ended(pod)

    async def discard(self) -> None:
        """Remove the pod and wait until it is gone."""
        if not self.launch_id:
            return
        label = labels.launch_label(self.launch_id)
        pod = await self._find(ask=True)
        if pod is not None and PodView(pod).launch == label:
            self._seen = pod
            await self._calls.delete(self.pod_name, states.uid_of(pod), STOP_SECONDS)
            await self._until_gone(pod)

    async def _until_gone(self, pod: Pod) -> None:
        """Return when that very pod is gone. Raises `MLabError` if it does not go."""
        asked = time.monotonic()
        give_up = asked + GONE_SECONDS
        while True:
            told, now = states.is_gone(states.uid_of(pod), self._known(), self._last()), time.monotonic()
            gone = told
            if told is None or now > asked + ASK_SECONDS:
                asked, found = now, await self._calls.read(self.pod_name)
                gone = found is None or states.uid_of(found) != states.uid_of(pod)
            if gone:
                return
            if now > give_up:
                raise ClusterUnavailable(states.still_there(pod))
            await asyncio.sleep(self.look_interval if told is not None else UNTOLD_SECONDS)

    async def delete_forever(self) -> None:
        """Delete nothing: folders outlive the account, and KubeSpawner's own claims are none of ours."""

    # -- what the cluster knows

    @property
    def _calls(self) -> PodCalls:
        return PodCalls(self.api, self.namespace, PATIENCE_SECONDS)

    def _known(self) -> Pod | None:
        """Return this server's pod as the watch last told it."""
        found: Mapping[str, Any] | None = self.pod_reflector.pods.get(f"{self.namespace}/{self.pod_name}")
        return found

    def _last(self) -> Pod | None:
        """Return it as the watch knows it, or as it was when it was last there."""
        found: Pod | None = self.pod_reflector.last(f"{self.namespace}/{self.pod_name}")
        return found

    async def _find(self, *, ask: bool) -> Pod | None:
        """Return the pod of this server's name; with ``ask`` the cluster itself says what the watch does not.

        A watch that is late may still have an earlier pod of the name. Raises `MLabError` if it cannot be known.
        """
        await self._watch()
        found = self._known()
        is_told = found is not None and self._is_own(found)
        return await self._calls.read(self.pod_name) if ask and not is_told else found

    def _events(self) -> list[Event]:
        claims = [] if self._prepared is None else [part.claim_name for part in self._prepared.volumes.parts]
        events: list[Event] = self.event_reflector.about(self.pod_name, claims)
        return events

    def _is_own(self, pod: Pod) -> bool:
        return PodView(pod).launch == labels.launch_label(self.launch_id)

    async def _watch(self) -> None:
        """Begin to watch, if nobody has yet. Raises `MLabError`."""
        try:
            await asyncio.gather(self._start_watching_pods(), self._start_watching_events())
        except ApiException as error:
            raise refusal_of(error.status, str(error.reason), self.namespace) from error
        except AWAY as error:
            raise unreachable(error) from error

    async def _start_watching_pods(self, replace: bool = False) -> Any:
        selector = {labels.INSTANCE: self.shared.settings.instance, labels.PART: labels.PART_SERVER}
        return await self._start_own("pods", ServerPods, replace, labels=selector)

    async def _start_watching_events(self, replace: bool = False) -> Any:
        return await self._start_own("events", ServerEvents, replace)

    async def _start_own(self, kind: str, reflector: type, replace: bool, **more: Any) -> Any:
        there = self.reflectors.get(self._get_reflector_key(kind))
        failed = there is not None and there.first_load_future.done() and there.first_load_future.exception()
        return await self._start_reflector(
            kind, reflector, replace=replace or bool(failed), omit_namespace=False, **more
        )


def secret_name(secret: Any) -> str:
    """Return the name of a pull secret in any of the ways that KubeSpawner takes them."""
    return str(secret["name"]) if isinstance(secret, Mapping) else str(secret)
