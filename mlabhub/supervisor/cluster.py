"""What `mlabhub up --backend kube` does beyond the rest: find the cluster, its namespace, and the ways there and back.

Guarantees: nothing on the cluster is changed before it answers, its nodes are seen and this machine has an address for
pods; the context of the kubeconfig is decided at the start, so that `kubectl config use-context` moves no hub; what
an account may not set up is said with the command that somebody else can type.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kubernetes_asyncio import client, config
from kubernetes_asyncio.client.exceptions import ApiException

from mlabhub.cluster import reach
from mlabhub.cluster.apply import apply
from mlabhub.cluster.client import AWAY, connect
from mlabhub.cluster.namespace import (
    DEFAULT_NAMESPACE,
    ENFORCE,
    get_namespace_manifest,
    is_too_strict,
    pod_security_level,
)
from mlabhub.cluster.policies import get_network_policy_manifests, hub_outside
from mlabhub.core.kubernetes import KubernetesSpec
from mlabhub.errors import ClusterUnavailable, InvalidConfiguration
from mlabhub.settings import Settings, replace_file
from mlabhub.supervisor.backend import Backend, ClusterOptions


@dataclass
class ClusterBackend(Backend):
    """A cluster that answers."""

    kubeconfig: Path | None = None
    context: str = ""
    namespace: str = ""
    hub_host: str = ""
    version: str = ""
    spec: KubernetesSpec = field(default_factory=KubernetesSpec)

    @property
    def label(self) -> str:
        """What it is, in one or two words."""
        return f"Kubernetes {self.version}"

    def settings(self) -> dict[str, Any]:
        """Return what the settings say of the cluster."""
        return {
            "kubeconfig": self.kubeconfig,
            "kube_context": self.context,
            "namespace": self.namespace,
            "hub_host": self.hub_host,
        }

    def prepare(self, settings: Settings) -> None:
        """Set up the namespace; warn of what is in the way of servers, and of what this account may not set up."""
        asyncio.run(self._prepare(settings))

    async def _prepare(self, settings: Settings) -> None:
        async with _connection(self.kubeconfig, self.context) as api:
            with _answering(api):
                nodes = await reach.list_nodes(api)
                self.warnings += await ensure_namespace(api, self.namespace, self.spec)
                self.warnings += await self._close(api, settings, nodes)
                self.warnings += await look_at_ways(api, nodes)

    async def _close(self, api: Any, settings: Settings, nodes: Sequence[reach.ClusterNode]) -> list[str]:
        """Apply the network policies; return what to do where this account may not."""
        hub = hub_outside((*_addresses(self.hub_host), *reach.find_own_addresses(nodes)), settings.port)
        seen = await reach.own_ranges(api, nodes)
        policies = get_network_policy_manifests(
            self.spec, namespace=self.namespace, instance=settings.instance, hub=hub, seen=seen
        )
        file = settings.run_dir / "network-policies.json"
        replace_file(file, json.dumps({"apiVersion": "v1", "kind": "List", "items": policies}, indent=1))
        try:
            for policy in policies:
                await apply(api, policy)
        except ApiException as error:
            if error.status != 403:
                raise
            return [
                "This account may not apply network policies: people's servers reach each other and all that their "
                f"nodes reach, until an administrator does: `kubectl apply -f {file}`."
            ]
        return []


def _addresses(host: str) -> tuple[str, ...]:
    """Return the addresses of a host. Raises `InvalidConfiguration` if its name leads nowhere."""
    try:
        return reach.find_addresses(host)
    except OSError as error:
        raise InvalidConfiguration(
            f"--hub-host {host} is no address, and no name that is known here: {error.strerror}."
        ) from error


def prepare_cluster(options: ClusterOptions, spec: KubernetesSpec, host: str) -> ClusterBackend:
    """Return the cluster that the options lead to; ``host`` is the only address that the hub listens on, if any.

    Raises `InvalidConfiguration` or `ClusterUnavailable` with what to do. Must not run inside of an event loop.
    """
    return asyncio.run(_prepare(options, spec, host))


async def _prepare(options: ClusterOptions, spec: KubernetesSpec, host: str) -> ClusterBackend:
    kubeconfig = reach.find_kubeconfig(options.kubeconfig)
    context = find_context(kubeconfig, options.context)
    where = f"context {context} of {kubeconfig}" if kubeconfig else "the service account of this pod"
    async with _connection(kubeconfig, context) as api:
        version = await reach.ask_version(api, where)
        nodes = await reach.list_nodes(api)
    hub_host = options.hub_host or choose_hub_host(nodes, host)
    namespace = options.namespace or spec.namespace or DEFAULT_NAMESPACE
    return ClusterBackend("kube", None, [], kubeconfig, context, namespace, hub_host, version, spec)


@contextlib.asynccontextmanager
async def _connection(kubeconfig: Path | None, context: str) -> AsyncIterator[Any]:
    api = await connect(kubeconfig, context)
    try:
        yield api
    finally:
        await api.close()


@contextlib.contextmanager
def _answering(api: Any) -> Iterator[None]:
    """Turn an answer that nobody expected, or none, into one sentence."""
    try:
        yield
    except ApiException as error:
        raise ClusterUnavailable(
            f"The cluster at {api.configuration.host} answers {error.status} {error.reason}. Try again; if it stays "
            "so, its API server's log says why.",
            log_text=str(error.body),
        ) from error
    except AWAY as error:
        raise reach.silent(api, error) from error


def find_context(kubeconfig: Path | None, wanted: str) -> str:
    """Return the kubeconfig's context that is wanted, or its current one. Raises `InvalidConfiguration`."""
    if kubeconfig is None:
        return ""
    try:
        contexts, current = config.list_kube_config_contexts(str(kubeconfig))
    except Exception as error:  # a broken file is whatever the client's YAML and its look-ups raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InvalidConfiguration(
            f"The kubeconfig {kubeconfig} cannot be used: {reason.rstrip('.')}. Mend it, or name another one with "
            "--kubeconfig."
        ) from error
    names = [entry["name"] for entry in contexts or ()]
    chosen = wanted or (current or {}).get("name", "")
    if chosen not in names:
        raise InvalidConfiguration(
            f"The kubeconfig {kubeconfig} has no context {chosen!r}; there are: {', '.join(names) or 'none'}. "
            "Name one with --context."
        )
    return str(chosen)


def choose_hub_host(nodes: tuple[reach.ClusterNode, ...], host: str) -> str:
    """Return the address of this machine for pods. Raises `InvalidConfiguration` if it has none that can work."""
    if host and not ipaddress.ip_address(host).is_loopback:
        return host
    if host:
        raise InvalidConfiguration(
            f"--host {host} is this machine's own alone: pods would not reach the hub. Leave --host out, or say with "
            "--hub-host by which name or address pods come in."
        )
    found = reach.find_own_address(nodes)
    if found is None:
        raise InvalidConfiguration(
            "This machine has no way to the cluster's nodes ("
            + (", ".join(f"{node.name} {' '.join(node.addresses)}" for node in nodes) or "it has none")
            + "), so no address is known by which pods reach the hub. Name it with --hub-host."
        )
    return found


async def ensure_namespace(api: Any, name: str, spec: KubernetesSpec) -> list[str]:
    """Have the namespace; return what is wrong with it. One that is there keeps its labels: others may rely on them.

    Raises `InvalidConfiguration` if there is none and this account may make none.
    """
    needed = pod_security_level(spec)
    mend = f"kubectl label --overwrite namespace {name} {ENFORCE}={needed}"
    try:
        found = await client.CoreV1Api(api).read_namespace(name, _request_timeout=reach.SECONDS)
    except ApiException as error:
        if error.status == 403:
            return [f"This account may not read the namespace {name}, so whether it is there and fits is not known."]
        if error.status != 404:
            raise
        await _make_namespace(api, name, spec, mend)
        return []
    enforced = (found.metadata.labels or {}).get(ENFORCE)
    if is_too_strict(enforced, needed):
        return [
            f"The namespace {name} enforces the Pod Security standard {enforced}, and kubernetes.yaml needs {needed}: "
            f"`{mend}`."
        ]
    return []


async def _make_namespace(api: Any, name: str, spec: KubernetesSpec, mend: str) -> None:
    try:
        await apply(api, get_namespace_manifest(name, spec))
    except ApiException as error:
        if error.status != 403:
            raise
        raise InvalidConfiguration(
            f"There is no namespace {name}, and this account may not make it: `kubectl create namespace {name} && "
            f"{mend}`, or name another one with --namespace."
        ) from error


async def look_at_ways(api: Any, nodes: Sequence[reach.ClusterNode]) -> list[str]:
    """Return what is wrong with the way to the pods, as far as pods that run already can tell."""
    lost = await reach.find_unreachable(await reach.list_pod_ports(api))
    if not lost:
        return []
    first = {port.node: port for port in reversed(lost)}.values()
    pods = ", ".join(f"{port.address}:{port.port} on {port.node}" for port in first)
    routes = reach.route_commands(nodes, lost)
    mend = f" With routes it may be: {', '.join(f'`{route}`' for route in routes)}." if routes else ""
    return [
        f"This machine does not reach pods ({pods}): servers would start and never answer, unless only a network "
        f"policy keeps it from these. Run the hub on a node of the cluster, or where its pods' addresses lead.{mend}"
    ]
