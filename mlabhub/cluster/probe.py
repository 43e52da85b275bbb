"""Try a cluster with small pods of our own image: does it start, is it reached, does it reach the hub, is it closed.

Guarantees: probes are made to the restricted Pod Security standard, live for seconds, and are removed with their
policies whatever comes of them; they belong to an installation of their own, so no hub takes them for servers.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from kubernetes_asyncio import client
from kubernetes_asyncio.client.exceptions import ApiException

from mlabhub.cluster import labels, probe_script
from mlabhub.cluster.apply import apply
from mlabhub.cluster.client import AWAY
from mlabhub.cluster.policies import SERVER_PORT, HubPlace, get_network_policy_manifests
from mlabhub.cluster.reach import PodPort, find_unreachable
from mlabhub.core.kubernetes import KubernetesSpec

START_SECONDS = 60.0
TRY_SECONDS = 6.0
"""How long a probe tries; network rules follow a new pod within seconds."""
TELL_SECONDS = TRY_SECONDS + 30
"""How long until it has told: its Python is to start on a busy node first."""
LIFE_SECONDS = 120
PAUSE = 0.3
NOBODY = 65534
PART_PROBE = "probe"
NEVER = ("ErrImageNeverPull", "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError")
"""Why a container waits that will not start by itself soon."""


@dataclass(frozen=True)
class Wanted:
    """What to try: from which image, and where the hub is for pods."""

    namespace: str
    image: str
    hub_host: str
    hub_port: int
    spec: KubernetesSpec


@dataclass(frozen=True)
class Told:
    """What one probe came to. ``fault``: why it did not start; the others are None where that is not known.

    ``hub``: empty if it was reached from inside, else why not; ``api``: the same for the cluster's API.
    """

    node: str
    closed: bool
    fault: str = ""
    reached: bool | None = None
    hub: str | None = None
    api: str | None = None


async def probe(api: Any, wanted: Wanted, nodes: Sequence[str], place: HubPlace) -> tuple[Told, ...]:
    """Return what a probe on each node tells, and a closed one on the first, where policies may be applied."""
    instance = f"probe-{secrets.token_hex(4)}"
    async with _closing(api, wanted, instance, place) as may_close:
        pods = [(node, False) for node in nodes] + [(node, True) for node in nodes[:1] if may_close]
        return tuple(await asyncio.gather(*(_try(api, wanted, instance, *pod) for pod in pods)))


@contextlib.asynccontextmanager
async def _closing(api: Any, wanted: Wanted, instance: str, place: HubPlace) -> AsyncIterator[bool]:
    """Have the network policies of an installation for a while; tell whether this account may."""
    policies = get_network_policy_manifests(wanted.spec, namespace=wanted.namespace, instance=instance, hub=place)
    network = client.NetworkingV1Api(api)
    try:
        for policy in policies:
            await apply(api, policy)
        may_close = True
    except ApiException:
        may_close = False
    try:
        yield may_close
    finally:
        for policy in policies:
            with contextlib.suppress(ApiException, *AWAY):
                await network.delete_namespaced_network_policy(policy["metadata"]["name"], wanted.namespace)


async def _try(api: Any, wanted: Wanted, instance: str, node: str, closed: bool) -> Told:
    pods: Any = client.CoreV1Api(api)
    name = labels.object_name(instance, secrets.token_hex(4))
    manifest = get_probe_manifest(wanted, name=name, instance=instance, node=node, closed=closed)
    try:
        await pods.create_namespaced_pod(wanted.namespace, manifest)
        address = await _started(pods, name, wanted.namespace)
        reached = await _reached(address)
        told = await _told(pods, name, wanted.namespace)
        return Told(node, closed, "", reached, told.get("hub"), told.get("api"))
    except ApiException as error:
        return Told(node, closed, _words(error))
    except _NotStarted as error:
        return Told(node, closed, str(error))
    finally:
        with contextlib.suppress(ApiException, *AWAY):
            await pods.delete_namespaced_pod(name, wanted.namespace, grace_period_seconds=0)


class _NotStarted(Exception):
    """A probe that will not run, with the cluster's reason."""


async def _started(pods: Any, name: str, namespace: str) -> str:
    """Return the address of a pod that runs. Raises `_NotStarted`."""
    until, why = time.monotonic() + START_SECONDS, "it is not on its node yet"
    while time.monotonic() < until:
        status = (await pods.read_namespaced_pod(name, namespace)).status
        if status.phase == "Running" and status.pod_ip:
            return str(status.pod_ip)
        if status.phase == "Failed":
            raise _NotStarted(status.message or status.reason or "it ended at once")
        for container in status.container_statuses or ():
            if container.state.terminated:
                raise _NotStarted(container.state.terminated.message or "it ended at once")
            if container.state.waiting and container.state.waiting.reason:
                why = f"{container.state.waiting.reason}: {container.state.waiting.message or ''}".strip(": ")
                if container.state.waiting.reason in NEVER:
                    raise _NotStarted(why)
        await asyncio.sleep(PAUSE)
    raise _NotStarted(f"not within {START_SECONDS:.0f} s: {why}")


async def _reached(address: str) -> bool:
    until = time.monotonic() + TRY_SECONDS
    while True:
        if not await find_unreachable([PodPort("", address, SERVER_PORT)]):
            return True
        if time.monotonic() > until:
            return False


async def _told(pods: Any, name: str, namespace: str) -> dict[str, str]:
    until = time.monotonic() + TELL_SECONDS
    while time.monotonic() < until:
        # As it is: the client would take a log that looks like JSON for an object, and print that.
        response = await pods.read_namespaced_pod_log(name, namespace, _preload_content=False)
        if response.status == 403:
            return {}
        with contextlib.suppress(ValueError):
            found = json.loads(await response.read())
            if isinstance(found, dict):
                return found
        await asyncio.sleep(PAUSE)
    return {}


def _words(error: ApiException) -> str:
    try:
        return str(json.loads(error.body or b"")["message"])
    except (ValueError, TypeError, KeyError):
        return f"{error.status} {error.reason}"


def get_probe_manifest(wanted: Wanted, *, name: str, instance: str, node: str, closed: bool) -> dict[str, Any]:
    """Return a probe on a node; a closed one is what the policies take for a server."""
    marks = {labels.INSTANCE: instance, labels.PART: labels.PART_SERVER} if closed else {labels.PART: PART_PROBE}
    script = inspect.getsource(probe_script)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": wanted.namespace, "labels": marks},
        "spec": {
            "nodeName": node,
            "restartPolicy": "Never",
            "activeDeadlineSeconds": LIFE_SECONDS,
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "imagePullSecrets": [{"name": secret} for secret in wanted.spec.pull_secrets],
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": NOBODY,
                "runAsGroup": NOBODY,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": PART_PROBE,
                    "image": wanted.image,
                    "imagePullPolicy": wanted.spec.pull_policy,
                    "command": ["/usr/bin/python3", "-I", "-c", script],
                    "args": [wanted.hub_host, str(wanted.hub_port), str(TRY_SECONDS)],
                    "resources": {
                        "requests": {"cpu": "10m", "memory": "32Mi"},
                        "limits": {"cpu": "1", "memory": "128Mi"},
                    },
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                }
            ],
        },
    }
