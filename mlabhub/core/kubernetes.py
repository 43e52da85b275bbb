"""``kubernetes.yaml``: how one site's cluster is used. Only the Kubernetes backend reads it.

Guarantees: values; a folder of ``storage.yaml`` belongs to at most one volume; what the restricted Pod Security
standard forbids is asked for only where ``allow`` says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from mlabhub.core.network import LabelKey, LabelValue, NamespaceName, NetworkSpec
from mlabhub.core.paths import Root, is_within, overlap
from mlabhub.core.quote import quote
from mlabhub.core.references import fault_of_reference, parse_reference
from mlabhub.core.schema import KeyFault, Model, Slug, key_faults
from mlabhub.core.storage_faults import APART
from mlabhub.messages import N_, Message

ResourceName = Annotated[str, Field(strict=True, pattern=r"^[a-z0-9.-]+/[A-Za-z0-9._*-]+$", max_length=120)]
"""An extended resource, such as ``nvidia.com/gpu``; ``*`` stands for any characters."""
ObjectName = Annotated[
    str,
    Field(strict=True, pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$", max_length=253),
]
PrometheusUrl = Annotated[str, Field(strict=True, pattern=r"^https?://[^\s/?#]+(/[^\s?#]*)?$", max_length=500)]
KeptFile = Annotated[str, Field(strict=True, pattern=r"^/[^\x00-\x1f]+$", max_length=500)]
"""A file as hub and service see it."""
Gib = Annotated[float, Field(strict=True, ge=0.01, le=1e7, allow_inf_nan=False)]
Seconds = Annotated[int, Field(strict=True, ge=1, le=86_400)]

Permission = Literal["host_path", "sudo", "airlock"]
AccessMode = Literal["ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany"]
PullPolicy = Literal["IfNotPresent", "Always", "Never"]
FolderMaker = Literal["hub", "pod", "nobody"]

GPU_RESOURCES = ("nvidia.com/gpu", "nvidia.com/mig-*", "amd.com/gpu")
PRODUCT_LABELS = ("nvidia.com/gpu.product", "amd.com/gpu.product-name")


CLUSTERS_OWN = ("kube-system", "kube-public", "kube-node-lease")
NODES_OWN = (
    *("/etc", "/home/kubernetes", "/root", "/usr", "/var/lib/containerd", "/var/lib/containers", "/var/lib/docker"),
    *("/var/lib/etcd", "/var/lib/kubelet", "/var/lib/rancher", "/var/log", "/var/run"),
)
"""Of a node: whoever sees or changes what is there has all pods on it."""


def _own_namespace(name: str) -> str:
    if name in CLUSTERS_OWN:
        raise key_faults([KeyFault((), Message(N_("is the cluster's own namespace; name another one")))])
    return name


def _registry_folder(text: str) -> str:
    if parse_reference(f"{text}/name") is None or fault_of_reference(f"{text}/name") is not None:
        template = N_("must be a registry and a folder in it, such as harbor.lab:5000/mlabhub, not {value}")
        raise key_faults([KeyFault((), Message.of(template, value=quote(text)))])
    return text


def _node_folder(path: str) -> str:
    own = next((folder for folder in NODES_OWN if overlap(path, folder)), None)
    if own is not None:
        template = N_("overlaps {folder}, which belongs to the node itself; name another one, such as /srv/nas")
        raise key_faults([KeyFault((), Message.of(template, folder=own))])
    return path


OwnNamespace = Annotated[NamespaceName, AfterValidator(_own_namespace)]
RegistryFolder = Annotated[str, Field(strict=True, max_length=200), AfterValidator(_registry_folder)]
NodeFolder = Annotated[Root, AfterValidator(_node_folder)]


class Toleration(Model):
    """A taint that pods may run beside, as Kubernetes writes it."""

    key: LabelKey | None = Field(default=None, description="The taint's key; absent: every key.")
    operator: Literal["Equal", "Exists"] = Field(default="Equal", description="How the value is compared.")
    value: LabelValue | None = Field(default=None, description="The taint's value.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="The taint's effect; absent: every effect."
    )

    @model_validator(mode="after")
    def _is_one(self) -> Toleration:
        if self.key is None and self.operator == "Equal":
            raise key_faults([KeyFault((), Message(N_("needs a key, or operator: Exists for every taint")))])
        if self.value is not None and self.operator == "Exists":
            message = Message(N_("is not compared where the operator is Exists; leave it out, or say Equal"))
            raise key_faults([KeyFault(("value",), message)])
        return self


class ClaimPerFolder(Model):
    """A PersistentVolumeClaim for each folder, made when it is first needed."""

    storage_class: ObjectName | None = Field(default=None, description="The StorageClass; absent: the cluster's own.")
    size_gib: Gib = Field(description="Size of each, in GiB; changed later, it holds for new ones.")
    access_mode: AccessMode = Field(
        default="ReadWriteOnce", description="ReadWriteMany lets two servers of one person run on two nodes."
    )


class Volume(Model):
    """Where a folder that ``storage.yaml`` names, with all below it, is on the cluster: one of the three."""

    folder: Root = Field(description="A root or a source of storage.yaml, or a folder around some of them.")
    claim: ObjectName | None = Field(default=None, description="A PersistentVolumeClaim that is there: NFS, CephFS.")
    claim_per_folder: ClaimPerFolder | None = Field(
        default=None, description="A claim for each folder in it, such as each person's: RBD."
    )
    host_path: NodeFolder | None = Field(
        default=None, description="A folder of every node; needs host_path in allow, and a namespace that lets it pass."
    )

    @property
    def known_as(self) -> str:
        """What claims' names are made from, together with the folder below it."""
        return self.folder

    @model_validator(mode="after")
    def _is_one_of_three(self) -> Volume:
        given = [key for key in ("claim", "claim_per_folder", "host_path") if getattr(self, key) is not None]
        if len(given) != 1:
            raise key_faults([KeyFault((), Message(N_("needs one of claim, claim_per_folder and host_path")))])
        return self


class DefaultVolume(Volume):
    """A root that storage.yaml leaves to us. Its claims keep their names wherever the state folder is."""

    kind: Literal["user", "share"]

    @property
    def known_as(self) -> str:
        """The kind of its folders: no path is like it."""
        return self.kind


class ProfileOnCluster(Model):
    """What the servers of one profile get besides what everybody's get."""

    node_selector: dict[LabelKey, LabelValue] = Field(
        default_factory=dict,
        description="Labels that nodes must have.",
        json_schema_extra={"additionalProperties": False},
    )
    tolerations: tuple[Toleration, ...] = Field(default=(), description="Taints that its servers may run beside.")
    priority_class: ObjectName | None = Field(default=None, description="A PriorityClass of the cluster.")


class PrometheusSpec(Model):
    """The cluster's Prometheus, which tells how busy servers' GPUs and cores are."""

    url: PrometheusUrl = Field(description="Where it is, such as http://prometheus.monitoring:9090.")
    token_file: KeptFile | None = Field(
        default=None, description="A file with a token for it; read anew each time, for clusters renew such files."
    )
    ca_file: KeptFile | None = Field(
        default=None, description="A file with the authority that vouches for it, beside those that all know."
    )


class KubernetesSpec(Model):
    """The file."""

    namespace: OwnNamespace | None = Field(
        default=None, description="Where people's servers are; absent: mlabhub, or the chart's own namespace."
    )
    registry: RegistryFolder | None = Field(
        default=None,
        description="Where `mlabhub image push` put our own images, such as harbor.lab:5000/mlabhub; absent: the nodes "
        "have them under their names in images.yaml.",
    )
    pull_policy: PullPolicy = Field(default="IfNotPresent", description="When nodes ask the registry.")
    pull_secrets: tuple[ObjectName, ...] = Field(default=(), description="Secrets with the registry's credentials.")
    volumes: tuple[Volume, ...] = Field(default=(), description="Where the folders of storage.yaml are.")
    home_claim: ClaimPerFolder = Field(
        default=ClaimPerFolder(size_gib=10),
        description="The claim of each person's home where storage.yaml names no user_root.",
    )
    group_claim: ClaimPerFolder | None = Field(
        default=None,
        description="The claim of each group's folder where storage.yaml names no share_root, ReadWriteMany as a rule; "
        "absent: servers start without such folders.",
    )
    make_folders: FolderMaker = Field(
        default="pod",
        description="Who makes a person's or group's folder: pod (a short-lived pod that is root; the namespace must "
        "allow it), hub (the hub's machine sees the NAS under the same paths), nobody (an administrator does).",
    )
    allow: tuple[Permission, ...] = Field(
        default=(),
        description="What goes beyond the restricted Pod Security standard: host_path, sudo, and an airlock in the "
        "namespace.",
    )
    network: NetworkSpec = Field(default=NetworkSpec(), description="What servers reach besides the hub, by egress.")
    gpu_resources: tuple[ResourceName, ...] = Field(
        default=GPU_RESOURCES, description="Extended resources that are GPUs, or slices of one."
    )
    product_labels: tuple[LabelKey, ...] = Field(
        default=PRODUCT_LABELS, description="Labels of nodes that name their GPUs' product; the first that is there."
    )
    node_selector: dict[LabelKey, LabelValue] = Field(
        default_factory=dict,
        description="Labels of the nodes that take people's servers; absent: all nodes.",
        json_schema_extra={"additionalProperties": False},
    )
    tolerations: tuple[Toleration, ...] = Field(default=(), description="Taints that all servers may run beside.")
    priority_class: ObjectName | None = Field(default=None, description="A PriorityClass of the cluster.")
    lost_node_seconds: Seconds = Field(
        default=30, description="How long a server stays bound to a node that is not ready before it counts as lost."
    )
    unschedulable_seconds: Seconds = Field(
        default=30, description="How long a server may wait for a node; more where nodes are added on demand."
    )
    mount_seconds: Seconds = Field(default=45, description="How long its volumes may take to be mounted.")
    prometheus: PrometheusSpec | None = Field(
        default=None,
        description="Who tells how busy servers are; absent: nobody knows, and no server is stopped for being idle.",
    )
    profiles: dict[Slug, ProfileOnCluster] = Field(
        default_factory=dict,
        description="More for the servers of single profiles, by slug.",
        json_schema_extra={"additionalProperties": False},
    )

    @model_validator(mode="after")
    def _is_sound(self) -> KubernetesSpec:
        faults = [*_volume_faults(self), *_twice(self)]
        if faults:
            raise key_faults(faults)
        return self

    def located(self, *, user_root: str | None, share_root: str | None) -> KubernetesSpec:
        """Return it with a volume for each of these roots of ours that no volume covers; None: the site's own."""
        made = [
            DefaultVolume(folder=root, claim_per_folder=claim, kind=kind)
            for root, claim, kind in ((user_root, self.home_claim, "user"), (share_root, self.group_claim, "share"))
            if root and claim and not any(overlap(root, volume.folder) for volume in self.volumes)
        ]
        return self.model_copy(update={"volumes": (*self.volumes, *made)})

    def is_seen_by_hub(self, folder: str) -> bool:
        """Whether the hub's machine has this very folder at the same path."""
        volume = self.volume_of(folder)
        return self.make_folders == "hub" and volume is not None and volume.claim_per_folder is None

    def volume_of(self, folder: str) -> Volume | None:
        """Return the volume that a folder is on."""
        return next((volume for volume in self.volumes if is_within(folder, volume.folder)), None)


def _volume_faults(spec: KubernetesSpec) -> Iterator[KeyFault]:
    for number, volume in enumerate(spec.volumes):
        at = ("volumes", number)
        if volume.host_path is not None and "host_path" not in spec.allow:
            message = Message(N_("needs host_path in allow: a server then sees a folder of its node itself"))
            yield KeyFault((*at, "host_path"), message)
        for earlier in spec.volumes[:number]:
            yield from (KeyFault((*at, key), message) for key, message in _pair_faults(volume, earlier))


def _twice(spec: KubernetesSpec) -> Iterator[KeyFault]:
    for key in ("pull_secrets", "allow", "gpu_resources", "product_labels"):
        listed = getattr(spec, key)
        for number, one in enumerate(listed):
            if one in listed[:number]:
                yield KeyFault((key, number), Message(N_("stands in the list already")))


def _pair_faults(volume: Volume, earlier: Volume) -> Iterator[tuple[str, Message]]:
    """One place behind two folders would be a second way to what somebody has for themselves."""
    if overlap(volume.folder, earlier.folder):
        yield "folder", Message.of(APART, one=volume.folder, other=earlier.folder)
    if volume.host_path and earlier.host_path and overlap(volume.host_path, earlier.host_path):
        yield "host_path", Message.of(APART, one=volume.host_path, other=earlier.host_path)
    if volume.claim and volume.claim == earlier.claim:
        template = N_("the claim {claim} is behind {folder} already; name a folder around both there")
        yield "claim", Message.of(template, claim=volume.claim, folder=earlier.folder)
