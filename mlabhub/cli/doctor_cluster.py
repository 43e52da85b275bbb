"""What doctor says of a cluster: does it answer, what may we do, what have its nodes, and do all reach each other.

Guarantees: nothing stays on the cluster: it is tried with pods that live for seconds; what cannot be known is said to
be so. Assessing is pure; looking is apart.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from kubernetes_asyncio import client
from kubernetes_asyncio.client.exceptions import ApiException

from mlabhub.catalog import load_catalog
from mlabhub.cli.findings import Check
from mlabhub.cluster import reach
from mlabhub.cluster.chart import CLUSTER_RULES, NAMESPACE_RULES, SITE_RULES
from mlabhub.cluster.client import AWAY, make_api_client
from mlabhub.cluster.images import OURS, for_nodes
from mlabhub.cluster.namespace import ENFORCE, is_too_strict, pod_security_level
from mlabhub.cluster.policies import hub_outside
from mlabhub.cluster.probe import Told, Wanted, probe
from mlabhub.core.kubernetes import KubernetesSpec
from mlabhub.errors import MLabError
from mlabhub.settings import Settings
from mlabhub.site.inside import names_in

OLDEST = (1, 25)
"""From it on namespaces enforce Pod Security standards."""
MOST_PROBED = 8
MOST_NAMED = 3
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
IMMEDIATE, FIRST_CONSUMER = "Immediate", "WaitForFirstConsumer"
"""When a StorageClass binds a claim to a volume."""
HOW_TO = "docs/how-to/kubernetes.md"
ENFORCING = "Calico, Cilium, Antrea and k3s enforce network policies; Flannel alone does not."


@dataclass(frozen=True)
class Node:
    """A node: its extended resources with how many of each may be had, its labels, the images that it names."""

    name: str
    resources: Mapping[str, int]
    labels: Mapping[str, str]
    images: frozenset[str]
    takes_pods: bool


@dataclass(frozen=True)
class Right:
    """One thing that our ClusterRole or Role allows; ``namespace`` is empty on the whole cluster."""

    verb: str
    group: str
    resource: str
    namespace: str = ""

    def __str__(self) -> str:
        resource = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{self.verb} {resource}{f' in {self.namespace}' if self.namespace else ''}"


def look_at_cluster(settings: Settings) -> list[Check]:
    """Return all findings on the cluster of an installation."""
    try:
        spec = load_catalog(settings.config_dir).located(str(settings.nas_dir)).kubernetes
    except MLabError as error:
        return [Check("configuration", "missing", "cannot be read", str(error))]
    return asyncio.run(_look(settings, spec))


async def _look(settings: Settings, spec: KubernetesSpec) -> list[Check]:
    try:
        api = await make_api_client(settings)
    except MLabError as error:
        return [Check("cluster", "missing", "no way to it is known", str(error))]
    try:
        return [check async for check in _checks(api, settings, spec)]
    except (ApiException, *AWAY) as error:
        return [Check("cluster", "missing", "stopped answering in the middle", str(reach.silent(api, error)))]
    finally:
        await api.close()


async def _checks(api: Any, settings: Settings, spec: KubernetesSpec) -> AsyncIterator[Check]:
    where = f"context {settings.kube_context} of {settings.kubeconfig}" if settings.kubeconfig else "this pod's account"
    try:
        version = await reach.ask_version(api, where)
    except MLabError as error:
        yield Check("cluster", "missing", "does not answer", str(error))
        return
    yield assess_version(version, where)
    lacking = await _lacking(api, [*wanted_rights(CLUSTER_RULES), *wanted_rights(NAMESPACE_RULES, settings.namespace)])
    yield assess_rights(lacking)
    if names_in(settings.site_dir) or settings.ca_file.exists():
        yield assess_site_rights(await _lacking(api, wanted_rights(SITE_RULES, settings.namespace)))
    if any(right.resource == "nodes" for right in lacking):
        return
    nodes = await _nodes(api, spec)
    yield assess_gpus(nodes, spec)
    yield assess_prometheus(spec)
    yield await _namespace(api, settings.namespace, spec)
    async for check in _storage(api, settings.namespace, spec):
        yield check
    for check in assess_probes(*await _probe(api, settings, spec, nodes)):
        yield check


def assess_version(version: str, where: str) -> Check:
    """Return whether the cluster is new enough."""
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers < OLDEST and numbers != (0, 0):
        fix = f"Kubernetes {'.'.join(map(str, OLDEST))} or newer is needed; upgrade the cluster."
        return Check("cluster", "missing", f"Kubernetes {version}, {where}", fix)
    return Check("cluster", "ok", f"Kubernetes {version}, {where}")


def wanted_rights(rules: Iterable[Mapping[str, Any]], namespace: str = "") -> Iterator[Right]:
    """Return each right that some rules of a role give."""
    for rule in rules:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                yield from (Right(verb, group, resource, namespace) for verb in rule["verbs"])


async def _lacking(api: Any, rights: Iterable[Right]) -> tuple[Right, ...]:
    asked = tuple(rights)
    answers = await asyncio.gather(*(_may(api, right) for right in asked))
    return tuple(right for right, may in zip(asked, answers, strict=True) if not may)


async def _may(api: Any, right: Right) -> bool:
    resource, _, part = right.resource.partition("/")
    asked = {"verb": right.verb, "group": right.group, "resource": resource, "subresource": part}
    body: Any = {"spec": {"resourceAttributes": {**asked, "namespace": right.namespace}}}
    found = await client.AuthorizationV1Api(api).create_self_subject_access_review(body)
    return bool(found.status.allowed)


def assess_rights(lacking: Sequence[Right]) -> Check:
    """Return whether our account may do what hub and service do."""
    if not lacking:
        return Check("rights", "ok", "all that hub and service need")
    named = ", ".join(map(str, lacking[:MOST_NAMED]))
    more = f" and {len(lacking) - MOST_NAMED} more" if len(lacking) > MOST_NAMED else ""
    fix = f"Give its account what helm-values/manifests/rbac.yaml has; see {HOW_TO}."
    return Check("rights", "missing", f"it may not {named}{more}", fix)


def assess_site_rights(lacking: Sequence[Right]) -> Check:
    """Return whether our account may hand the site's files to people's servers."""
    if not lacking:
        return Check("site's files", "ok", "servers get them by a ConfigMap")
    named = ", ".join(map(str, lacking))
    fix = "Give its account that right too; docs/how-to/site.md says what servers go without."
    return Check("site's files", "missing", f"servers get none: it may not {named}", fix)


async def _nodes(api: Any, spec: KubernetesSpec) -> tuple[Node, ...]:
    found = (await client.CoreV1Api(api).list_node(_request_timeout=reach.SECONDS)).items
    return tuple(
        Node(
            node.metadata.name,
            {name: int(count) for name, count in (node.status.allocatable or {}).items() if "/" in name},
            node.metadata.labels or {},
            frozenset(name for image in node.status.images or () for name in image.names or ()),
            not node.spec.unschedulable
            and all((node.metadata.labels or {}).get(key) == value for key, value in spec.node_selector.items()),
        )
        for node in found
    )


def assess_gpus(nodes: Sequence[Node], spec: KubernetesSpec) -> Check:
    """Return what GPUs there are; one whose product no label names belongs to no type that a person can choose."""
    if not any(node.takes_pods for node in nodes):
        fix = (
            "`kubectl get nodes` shows which are cordoned; node_selector in kubernetes.yaml may leave all of them out."
        )
        return Check("nodes", "missing", f"none of {len(nodes)} takes people's servers", fix)
    counts: dict[str, int] = {}
    unnamed = []
    for node in nodes:
        gpus = sum(count for name, count in node.resources.items() if _is_gpu(name, spec))
        product = next((node.labels[label] for label in spec.product_labels if label in node.labels), "")
        if gpus and not product:
            unnamed.append(node.name)
        elif gpus:
            counts[product] = counts.get(product, 0) + gpus
    if unnamed:
        label = spec.product_labels[0] if spec.product_labels else "nvidia.com/gpu.product"
        fix = (
            "Install GPU feature discovery (it is part of NVIDIA's GPU operator), or name them by hand: "
            f"`kubectl label node {unnamed[0]} {label}=NVIDIA-A100-SXM4-80GB`."
        )
        return Check("GPUs", "missing", f"no label says which GPUs {', '.join(unnamed[:MOST_NAMED])} has", fix)
    if not counts:
        fix = (
            f"With GPUs: install their device plugin; it gives nodes {spec.gpu_resources[0]}."
            if spec.gpu_resources
            else ""
        )
        return Check("GPUs", "info", f"none on {len(nodes)} nodes", fix)
    return Check("GPUs", "ok", ", ".join(f"{count} {product}" for product, count in sorted(counts.items())))


def assess_prometheus(spec: KubernetesSpec) -> Check:
    """Return who tells how busy servers are."""
    if spec.prometheus is None:
        found = "none is named: nobody knows how busy servers are, and none is ever stopped for being idle"
        return Check("Prometheus", "better", found, "Name it in kubernetes.yaml; see docs/how-to/idle.md.")
    return Check("Prometheus", "info", "the service asks the one that kubernetes.yaml names")


def _is_gpu(resource: str, spec: KubernetesSpec) -> bool:
    return any(fnmatchcase(resource, pattern) for pattern in spec.gpu_resources)


async def _namespace(api: Any, name: str, spec: KubernetesSpec) -> Check:
    needed = pod_security_level(spec)
    try:
        found = await client.CoreV1Api(api).read_namespace(name, _request_timeout=reach.SECONDS)
    except ApiException as error:
        if error.status == 404:
            return Check("namespace", "missing", f"{name} is not there", f"`kubectl create namespace {name}`")
        return Check("namespace", "info", f"{name}: this account may not look at it")
    enforced = (found.metadata.labels or {}).get(ENFORCE)
    if is_too_strict(enforced, needed):
        fix = f"`kubectl label --overwrite namespace {name} {ENFORCE}={needed}`"
        return Check("namespace", "missing", f"{name} enforces {enforced}, kubernetes.yaml needs {needed}", fix)
    if enforced is None:
        fix = f"`kubectl label namespace {name} {ENFORCE}={needed}`"
        return Check("namespace", "better", f"{name} enforces no Pod Security standard", fix)
    return Check("namespace", "ok", f"{name}, enforces {enforced}")


async def _storage(api: Any, namespace: str, spec: KubernetesSpec) -> AsyncIterator[Check]:
    """Claims that are named, and StorageClasses for those that are to be made."""
    try:
        classes = (await client.StorageV1Api(api).list_storage_class(_request_timeout=reach.SECONDS)).items
    except ApiException:
        classes = None
    modes = {one.metadata.name: one.volume_binding_mode or "" for one in classes or ()}
    for name in dict.fromkeys(volume.claim for volume in spec.volumes if volume.claim):
        yield await _claim(api, namespace, name, modes)
    if classes is None:
        yield Check("StorageClasses", "info", "this account may not look at them")
        return
    wanted = {volume.claim_per_folder.storage_class for volume in spec.volumes if volume.claim_per_folder}
    usual = [one.metadata.name for one in classes if (one.metadata.annotations or {}).get(DEFAULT_CLASS) == "true"]
    yield assess_classes(wanted, list(modes), usual)


async def _claim(api: Any, namespace: str, name: str, modes: Mapping[str, str]) -> Check:
    try:
        found = await client.CoreV1Api(api).read_namespaced_persistent_volume_claim(name, namespace)
    except ApiException as error:
        fix = f"Make it in the namespace {namespace}, or correct kubernetes.yaml."
        return Check(f"claim {name}", "missing", "is not there" if error.status == 404 else f"{error.reason}", fix)
    storage_class = found.spec.storage_class_name or ""
    mode = modes.get(storage_class, "" if storage_class else IMMEDIATE)
    return assess_claim(name, namespace, found.status.phase, volume=found.spec.volume_name or "", mode=mode)


def assess_claim(name: str, namespace: str, phase: str, *, volume: str, mode: str) -> Check:
    """Return whether a claim can be mounted; ``mode`` is its class's volumeBindingMode, empty if it is not known."""
    if phase == "Bound":
        return Check(f"claim {name}", "ok", f"bound to {volume}")
    if phase == "Pending" and mode == FIRST_CONSUMER:
        return Check(f"claim {name}", "ok", "gets its volume with the first server that mounts it")
    fix = f"`kubectl describe pvc {name} -n {namespace}` says what it waits for."
    known = phase != "Pending" or mode == IMMEDIATE
    return Check(f"claim {name}", "missing" if known else "info", f"is {phase}", fix)


def assess_classes(wanted: Iterable[str | None], there: Sequence[str], usual: Sequence[str]) -> Check:
    """Return whether the StorageClasses that kubernetes.yaml asks for are there; None is the cluster's own."""
    asked = set(wanted)
    lost = sorted(name for name in asked if name is not None and name not in there)
    if lost:
        fix = f"Name one of {', '.join(there) or 'none that there are'} in kubernetes.yaml, or install it."
        return Check("StorageClasses", "missing", f"there is no {', '.join(lost)}", fix)
    if None in asked and not usual:
        fix = "Name a storage_class in kubernetes.yaml, or mark one: " + (
            f"`kubectl annotate storageclass {there[0] if there else 'NAME'} {DEFAULT_CLASS}=true`"
        )
        return Check("StorageClasses", "missing", "no default one, and kubernetes.yaml names none", fix)
    found = f"default: {', '.join(usual)}" if usual else "no default one"
    return Check("StorageClasses", "ok" if asked else "info", found)


async def _probe(
    api: Any, settings: Settings, spec: KubernetesSpec, nodes: Sequence[Node]
) -> tuple[tuple[Told, ...], str, str]:
    """Return what probes tell, the image they were of, and the hub's address for pods."""
    image = base_image(spec)
    address = f"{settings.hub_host}:{settings.port}"
    seen = await reach.list_nodes(api)
    try:
        place = hub_outside((*reach.find_addresses(settings.hub_host), *reach.find_own_addresses(seen)), settings.port)
    except (OSError, ValueError):
        place = hub_outside(reach.find_own_addresses(seen), settings.port)
    wanted = Wanted(settings.namespace, image, settings.hub_host, settings.port, spec)
    names = [node.name for node in nodes if node.takes_pods][:MOST_PROBED]
    with _listening(settings.port):
        return await probe(api, wanted, names, place), image, address


@contextlib.contextmanager
def _listening(port: int) -> Iterator[None]:
    """Answer at the hub's port while no hub does."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            stack.enter_context(socket.create_server(("", port)))
        yield


def base_image(spec: KubernetesSpec) -> str:
    """Return the image `base` as nodes know it."""
    return for_nodes(f"{OURS}base:latest", spec.registry)


def assess_probes(told: Sequence[Told], image: str, hub: str) -> Iterator[Check]:
    """Return what the probes say: of the image, of the ways there and back, of network policies."""
    started = [one for one in told if not one.fault]
    yield _assess_image(told, image)
    if not started:
        yield Check("pods reached from here", "info", "not known: no probe started")
        yield Check("hub reached from pods", "info", "not known: no probe started")
        yield Check("network policies", "info", "not known: no probe started")
        return
    yield _assess_way_in(started)
    yield _assess_way_out(started, hub)
    yield _assess_policies(started)


def _assess_image(told: Sequence[Told], image: str) -> Check:
    failed = [one for one in told if one.fault]
    if not failed:
        return Check("image base", "ok", f"{image} starts on {', '.join(one.node for one in told if not one.closed)}")
    found = f"{image} does not start on {failed[0].node}: {' '.join(failed[0].fault.split())[:300]}"
    fix = (
        "Load it into every node (k3s: `podman save localhost/mlabhub/base | k3s ctr images import -`; kind: `kind "
        "load image-archive`), or push it with `mlabhub image push` and name the `registry` in kubernetes.yaml."
    )
    return Check("image base", "missing", found, fix)


def _assess_way_in(started: Sequence[Told]) -> Check:
    open_lost = sorted({one.node for one in started if not one.closed and not one.reached})
    if open_lost:
        fix = "Run the hub on a node of the cluster, or give this machine routes to its pods: `mlabhub up` names them."
        return Check("pods reached from here", "missing", f"not those on {', '.join(open_lost)}", fix)
    if any(one.closed and not one.reached for one in started):
        fix = "Pods see this machine with another address than --hub-host: name that one there."
        return Check("pods reached from here", "missing", "not through our network policies", fix)
    return Check("pods reached from here", "ok", ", ".join(dict.fromkeys(one.node for one in started)))


def _assess_way_out(started: Sequence[Told], hub: str) -> Check:
    lost = [one for one in started if one.hub]
    if all(one.hub is None for one in started):
        return Check(
            "hub reached from pods", "info", "not known: no probe told of it, or this account may read no logs"
        )
    if not lost:
        return Check("hub reached from pods", "ok", hub)
    through = " through our network policies" if all(one.closed for one in lost) else ""
    fix = (
        "Open the port in this machine's firewall for pods and nodes, or name an address with `mlabhub up --hub-host` "
        "by which they come in."
    )
    return Check("hub reached from pods", "missing", f"{hub} not from {lost[0].node}{through}: {lost[0].hub}", fix)


def _assess_policies(started: Sequence[Told]) -> Check:
    open_ones, closed = [one for one in started if not one.closed], [one for one in started if one.closed]
    if not closed:
        return Check(
            "network policies", "info", "not known: this account may not apply them, or no closed probe started"
        )
    if closed[0].api is None or all(one.api is None for one in open_ones):
        return Check("network policies", "info", "not known: no probe told of it, or this account may read no logs")
    if closed[0].api == "":
        found = "not enforced: people's servers reach each other, the nodes and the cluster's API"
        return Check("network policies", "better", found, ENFORCING)
    if all(one.api for one in open_ones):
        return Check(
            "network policies", "info", "not known: no pod reaches the cluster's API, with policies or without"
        )
    return Check("network policies", "ok", "enforced")
