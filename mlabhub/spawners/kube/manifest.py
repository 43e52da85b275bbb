"""Translate a launch plan into a pod: pure functions, and the only place where it is decided what is in one.

Guarantees: what the plan says wins over what the hub says, and a user says nothing; no text of a person is a name, a
label, or anything that Kubernetes expands; the pod passes the restricted Pod Security standard unless the site allows
more in ``kubernetes.yaml``; GPUs are those of the plan, by resource and product: which of a node's, its device plugin
decides.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from mlabhub.cluster import labels
from mlabhub.cluster.site_files import PodSite
from mlabhub.cluster.volumes import PodVolumes
from mlabhub.core.kubernetes import KubernetesSpec, ProfileOnCluster, Toleration
from mlabhub.core.names import server_slug
from mlabhub.core.plan import LaunchPlan
from mlabhub.errors import LaunchRefused
from mlabhub.messages import N_
from mlabhub.spawners.kube.outside import add_outside
from mlabhub.spawners.plan_to_container import OWN_NETWORK, ROOT_CAPABILITIES, STOP_SECONDS, make_command

Manifest = dict[str, Any]

CONTAINER = "notebook"
PORT_NAME = "notebook-port"
"""KubeSpawner, and who looks at pods of hubs, know container and port by these names."""
PORT = 8888
SHM = "shm"
NODE_TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
PREFERENCE = 100
"""The weight of the placement's node: the scheduler may choose another one, and we follow it."""


NO_VOLUMES = PodVolumes((), ())
NO_SITE = PodSite()
ACCOUNTS = "accounts"
ACCOUNTS_PLACE = "/var/lib/extrausers"
"""Where our images' entry enters the person's name, since it may not write to /etc."""
WRITERS = 65020
"""The group that may install into our images' Python."""


@dataclass(frozen=True)
class Surroundings:
    """What a plan does not know: this installation, and what was found or made for this start."""

    instance: str
    namespace: str
    spec: KubernetesSpec
    image: str
    """The image as the nodes know it."""
    command: tuple[str, ...]
    """The usual command of a workbench."""
    hub_environment: Mapping[str, str]
    volumes: PodVolumes = NO_VOLUMES
    site: PodSite = NO_SITE
    labels: Mapping[str, str] = field(default_factory=dict)
    """The site's own, such as a chart's; ours win."""
    annotations: Mapping[str, str] = field(default_factory=dict)
    tolerations: Sequence[Manifest] = ()
    pull_secrets: Sequence[str] = ()
    priority_class: str = ""
    scheduler: str = ""
    hosts: tuple[tuple[str, str], ...] = ()
    """Entries of ``/etc/hosts``: names and their addresses."""
    runtime: str = ""
    """The image with what an image from elsewhere lacks; empty if it brings all."""


def get_pod_manifest(plan: LaunchPlan, around: Surroundings) -> Manifest:
    """Return the pod for a plan. Raises `LaunchRefused` where the plan asks for what the site does not allow."""
    if plan.image_kind == "saved":
        raise LaunchRefused(N_("Saved environments cannot be started on a cluster. Choose an image of the catalogue."))
    if plan.sudo and "sudo" not in around.spec.allow:
        raise LaunchRefused(
            N_(
                "This profile lets people become root, which this cluster does not allow. Choose another profile, or "
                "ask an administrator, who can allow it in kubernetes.yaml."
            )
        )
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": labels.pod_name(around.instance, plan.user, plan.server_name),
            "namespace": around.namespace,
            "labels": make_labels(plan, around),
            "annotations": make_annotations(plan, around),
        },
        "spec": make_pod_spec(plan, around),
    }


def make_labels(plan: LaunchPlan, around: Surroundings) -> dict[str, str]:
    """Return what the pod is selected by."""
    return {
        **around.labels,
        labels.INSTANCE: around.instance,
        labels.LAUNCH: labels.launch_label(plan.launch_id),
        labels.PART: labels.PART_SERVER,
        labels.EGRESS: plan.egress,
    }


def make_annotations(plan: LaunchPlan, around: Surroundings) -> dict[str, str]:
    """Return what people and the reconciler read: nothing selects by it, so that it may be any text."""
    return {
        **around.annotations,
        labels.LAUNCH_ID: plan.launch_id,
        labels.USER: plan.user,
        labels.SERVER: plan.server_name,
        labels.DISPLAY_NAME: plan.display_name,
        labels.PROFILE: plan.profile,
        labels.KIND: plan.kind,
        labels.GPUS: ",".join(plan.gpus),
    }


def make_pod_spec(plan: LaunchPlan, around: Surroundings) -> Manifest:
    """Return the pod's specification."""
    spec = around.spec
    profile = spec.profiles.get(plan.profile, ProfileOnCluster())
    shm = {"name": SHM, "emptyDir": {"medium": "Memory", "sizeLimit": bytes_quantity(plan.shm_gib)}}
    accounts = [] if plan.sudo else [{"name": ACCOUNTS, "emptyDir": {"sizeLimit": "1Mi"}}]
    made: Manifest = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": STOP_SECONDS,
        "shareProcessNamespace": True,  # the pod's first process then waits for those that nobody else waits for
        "hostname": server_slug(plan.user, plan.server_name),
        "securityContext": make_pod_security(plan, around.volumes.fs_group),
        "containers": [make_container(plan, around)],
        "volumes": [shm, *accounts, *around.site.volumes, *around.volumes.volumes],
        "tolerations": [*make_tolerations((*spec.tolerations, *profile.tolerations), spec), *around.tolerations],
    }
    optional: Manifest = {
        "nodeSelector": {**spec.node_selector, **profile.node_selector},
        "affinity": make_affinity(plan, spec),
        "priorityClassName": profile.priority_class or spec.priority_class or around.priority_class,
        "imagePullSecrets": [{"name": name} for name in dict.fromkeys((*spec.pull_secrets, *around.pull_secrets))],
        "schedulerName": around.scheduler,
        "hostAliases": [{"ip": address, "hostnames": [name]} for name, address in around.hosts],
    }
    made |= {key: value for key, value in optional.items() if value}
    return add_outside(made, around.runtime) if around.runtime else made


def make_container(plan: LaunchPlan, around: Surroundings) -> Manifest:
    """Return the one container."""
    accounts = [] if plan.sudo else [{"name": ACCOUNTS, "mountPath": ACCOUNTS_PLACE}]
    shm = {"name": SHM, "mountPath": "/dev/shm"}
    return {
        "name": CONTAINER,
        "image": around.image,
        "imagePullPolicy": around.spec.pull_policy,
        "args": [literal(argument) for argument in make_command(plan, around.command, outside=bool(around.runtime))],
        "ports": [{"name": PORT_NAME, "containerPort": PORT}],
        "env": [{"name": name, "value": literal(value)} for name, value in sorted(make_environment(plan, around))],
        "resources": make_resources(plan),
        "volumeMounts": [shm, *accounts, *around.site.mounts, *around.volumes.mounts],
        "securityContext": make_container_security(plan),
    }


def make_environment(plan: LaunchPlan, around: Surroundings) -> Iterator[tuple[str, str]]:
    """Yield the variables; the plan's win over the hub's and the site's.

    Which GPUs are inside, the device plugin says; ``void`` keeps images that ask for ``all`` from getting any by
    NVIDIA's own hook where the plan has none.
    """
    merged = {
        **around.site.environment,
        **around.hub_environment,
        **OWN_NETWORK,
        **plan.environment,
        "NVIDIA_VISIBLE_DEVICES": "void",
    }
    if plan.gpus:
        del merged["NVIDIA_VISIBLE_DEVICES"]
    yield from merged.items()


def literal(text: str) -> str:
    """Return what Kubernetes makes this text of: it expands ``$(NAME)`` in arguments and variables."""
    return text.replace("$", "$$")


def make_resources(plan: LaunchPlan) -> Manifest:
    """Return what the container gets: memory and GPUs are promised whole, CPUs as far as they are nobody else's."""
    gpus = {resource: str(count) for resource, count in sorted(gpu_resources(plan.gpus).items())}
    memory = bytes_quantity(plan.memory_gib)
    return {
        "requests": {"cpu": cpu_quantity(plan.cpu_guarantee or plan.cpu), "memory": memory, **gpus},
        "limits": {"cpu": cpu_quantity(plan.cpu), "memory": memory, **gpus},
    }


def gpu_resources(gpus: Iterable[str]) -> Counter[str]:
    """Return how many of which resource the slots ``NODE/RESOURCE/N`` are."""
    return Counter(slot.partition("/")[2].rpartition("/")[0] for slot in gpus)


def cpu_quantity(cores: float) -> str:
    """Return cores as Kubernetes writes them, in thousandths."""
    return f"{max(1, round(cores * 1000))}m"


def bytes_quantity(gib: float) -> str:
    """Return GiB as Kubernetes writes them, in whole MiB."""
    return f"{max(1, round(gib * 1024))}Mi"


def make_pod_security(plan: LaunchPlan, fs_group: int | None) -> Manifest:
    """Return who the pod is: its person, with their groups; where sudo is allowed root, who becomes that person.

    ``fs_group``: to whom the node hands the volumes over, at the first mount only: a home may have a million files.
    """
    user = (
        {"runAsNonRoot": False, "runAsUser": 0, "runAsGroup": 0}
        if plan.sudo
        else {"runAsNonRoot": True, "runAsUser": plan.identity.uid, "runAsGroup": plan.identity.gid}
    )
    more: Manifest = {"supplementalGroups": sorted({WRITERS, *(group.gid for group in plan.identity.groups)})}
    if fs_group is not None:
        more |= {"fsGroup": fs_group, "fsGroupChangePolicy": "OnRootMismatch"}
    return {**user, **more, "seccompProfile": {"type": "RuntimeDefault"}}


def make_container_security(plan: LaunchPlan) -> Manifest:
    """Return what the container may do: nothing but what every process may, unless sudo is allowed."""
    added = {"add": list(ROOT_CAPABILITIES)} if plan.sudo else {}
    return {
        "allowPrivilegeEscalation": plan.sudo,
        "privileged": False,
        "capabilities": {"drop": ["ALL"], **added},
    }


def make_affinity(plan: LaunchPlan, spec: KubernetesSpec) -> Manifest:
    """Return where the pod must run (GPUs of the plan's type) and where it would best (the placement's node)."""
    node = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [plan.node]}]}
    affinity: Manifest = {}
    terms = list(make_product_terms(plan, spec)) if plan.gpus else []
    if terms:
        affinity["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": terms}
    if plan.node:
        affinity["preferredDuringSchedulingIgnoredDuringExecution"] = [{"weight": PREFERENCE, "preference": node}]
    return {"nodeAffinity": affinity} if affinity else {}


def make_product_terms(plan: LaunchPlan, spec: KubernetesSpec) -> Iterator[Manifest]:
    """Yield what a node's labels must say, any of them: a type without a product is that of nodes without a label."""
    if plan.gpu_products:
        for key in spec.product_labels:
            yield {"matchExpressions": [{"key": key, "operator": "In", "values": sorted(plan.gpu_products)}]}
    elif spec.product_labels:
        yield {"matchExpressions": [{"key": key, "operator": "DoesNotExist"} for key in spec.product_labels]}


def make_tolerations(tolerations: Iterable[Toleration], spec: KubernetesSpec) -> list[Manifest]:
    """Return the site's tolerations, and how long a server stays bound to a node that is lost."""
    of_site = [one.model_dump(exclude_none=True) for one in tolerations]
    lost = [
        {"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": spec.lost_node_seconds}
        for taint in NODE_TAINTS
    ]
    return [*lost, *of_site]


def hosts_of(tls_name: str, hub_host: str) -> tuple[tuple[str, str], ...]:
    """Return what leads the name in the hub's certificate to it; where a name is its address that needs nothing."""
    with contextlib.suppress(ValueError):
        return ((tls_name, str(ip_address(hub_host))),) if tls_name else ()
    return ()
