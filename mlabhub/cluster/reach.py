"""Whether a cluster answers, and whether it and this machine reach each other.

Guarantees: nothing on the cluster is changed by looking; every question ends within `SECONDS`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import socket
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from kubernetes_asyncio import client
from kubernetes_asyncio.client.exceptions import ApiException

from mlabhub.cluster.client import AWAY
from mlabhub.errors import ClusterUnavailable, InvalidConfiguration

SECONDS = 10.0
CONNECT_SECONDS = 3.0
ANY_PORT = 10250  # a UDP socket's address is chosen by the way to the other end alone; nothing is sent
SYSTEM = "kube-system"
MOST_TRIED = 5
"""Pods of one node."""


@dataclass(frozen=True)
class ClusterNode:
    """A node: its name, its own addresses, and the range of its pods' addresses where the cluster says it."""

    name: str
    addresses: tuple[str, ...]
    pod_range: str
    outer: tuple[str, ...] = ()
    """Its addresses for those who come from elsewhere, where it has such."""


@dataclass(frozen=True)
class PodPort:
    """A TCP port of a running pod."""

    node: str
    address: str
    port: int


def find_kubeconfig(wanted: Path | None) -> Path | None:
    """Return the kubeconfig: the one that is wanted, else KUBECONFIG, else ``~/.kube/config``; None inside of a pod.

    KUBECONFIG may name several files, as for kubectl. Raises `InvalidConfiguration` if there is none.
    """
    named = str(wanted) if wanted else os.environ.get("KUBECONFIG", "")
    files = [Path(part).expanduser().absolute() for part in named.split(os.pathsep) if part]
    if not files:
        usual = Path("~/.kube/config").expanduser()
        if not usual.exists() and "KUBERNETES_SERVICE_HOST" in os.environ:
            return None
        files = [usual]
    there = [file for file in files if file.exists()]
    if not there:
        raise InvalidConfiguration(
            f"There is no kubeconfig at {files[0]}. Name one with --kubeconfig, or in the variable KUBECONFIG; "
            "k3s has it at /etc/rancher/k3s/k3s.yaml, and `kind get kubeconfig` prints it."
        )
    for file in there:
        if not os.access(file, os.R_OK):
            raise InvalidConfiguration(f"The kubeconfig {file} cannot be read by this account.")
    return Path(os.pathsep.join(map(str, there)))


async def ask_version(api: Any, where: str) -> str:
    """Return the version of the cluster. Raises `ClusterUnavailable` with what to do if nobody answers at its address.

    ``where`` says how it was found.
    """
    server = api.configuration.host
    try:
        return str((await client.VersionApi(api).get_code(_request_timeout=SECONDS)).git_version)
    except ApiException as error:
        raise ClusterUnavailable(
            f"What answers at {server} ({where}) is no Kubernetes that this account may use: {error.status} "
            f"{error.reason}. `kubectl version` asks the same."
        ) from error
    except AWAY as error:
        raise silent(api, error, f" ({where})") from error


def silent(api: Any, error: BaseException, where: str = "") -> ClusterUnavailable:
    """Return the error for a cluster that did not answer, with what to look at."""
    return ClusterUnavailable(
        f"The Kubernetes cluster at {api.configuration.host}{where} does not answer: {_reason(error)}. Is it running, "
        "and does this machine reach it? `kubectl version` asks the same."
    )


def _reason(error: BaseException) -> str:
    if isinstance(error, asyncio.TimeoutError):
        return f"nothing within {SECONDS:.0f} s"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return "its certificate is not of the authority that the kubeconfig names"
    if isinstance(error, aiohttp.ClientConnectorError):
        return os.strerror(error.os_error.errno) if error.os_error.errno else str(error.os_error)
    return str(error) or type(error).__name__


async def list_nodes(api: Any) -> tuple[ClusterNode, ...]:
    """Return the nodes.

    Raises `InvalidConfiguration` if the account may not see them, `ClusterUnavailable` if nobody answers.
    """
    try:
        nodes = (await client.CoreV1Api(api).list_node(_request_timeout=SECONDS)).items
    except ApiException as error:
        why = {401: "does not know the credentials", 403: "does not let the account list its nodes"}.get(error.status)
        raise InvalidConfiguration(
            f"The cluster at {api.configuration.host} {why or f'answers {error.status} {error.reason}'}. mlabhub needs "
            "an account with the rights in helm-values/manifests/rbac.yaml; `kubectl auth whoami` and "
            "`kubectl auth can-i list nodes` say whom the kubeconfig makes you."
        ) from error
    except AWAY as error:
        raise silent(api, error) from error
    return tuple(
        ClusterNode(
            node.metadata.name,
            tuple(entry.address for entry in node.status.addresses or () if entry.type == "InternalIP"),
            node.spec.pod_cidr or "",
            tuple(entry.address for entry in node.status.addresses or () if entry.type == "ExternalIP"),
        )
        for node in nodes
    )


def find_own_address(nodes: Iterable[ClusterNode]) -> str | None:
    """Return this machine's address on the way to the nodes; on the way to most of them, where it has several."""
    found = Counter(own for node in nodes for address in node.addresses if (own := _address_towards(address)))
    usable = [(count, own) for own, count in found.most_common() if not ipaddress.ip_address(own).is_loopback]
    return max(usable, key=lambda entry: entry[0])[1] if usable else None


def _address_towards(address: str) -> str | None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address, ANY_PORT))
        except OSError:
            return None
        return str(probe.getsockname()[0])


def find_addresses(host: str) -> tuple[str, ...]:
    """Return the addresses of a host, or of an address. Raises `OSError` if its name leads nowhere."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


async def own_ranges(api: Any, nodes: Iterable[ClusterNode]) -> tuple[str, ...]:
    """Return the cluster's own addresses and ranges, as far as it tells: nodes, pods, services, the API's servers."""
    found = [place for node in nodes for place in (*node.addresses, *node.outer, node.pod_range) if place]
    with contextlib.suppress(ApiException, *AWAY):
        ranges = await client.NetworkingV1Api(api).list_service_cidr(_request_timeout=SECONDS)  # from 1.33 on
        found += [cidr for item in ranges.items for cidr in item.spec.cidrs]
    with contextlib.suppress(ApiException, *AWAY):
        slices = await client.DiscoveryV1Api(api).list_namespaced_endpoint_slice(
            "default", label_selector="kubernetes.io/service-name=kubernetes", _request_timeout=SECONDS
        )
        found += [one for item in slices.items for end in item.endpoints or () for one in end.addresses]
    return tuple(dict.fromkeys(found))


def find_own_addresses(nodes: Sequence[ClusterNode]) -> tuple[str, ...]:
    """Return this machine's addresses on the ways to nodes and to their pods."""
    ends = [end for node in nodes for end in (*node.addresses, *((node.pod_range,) if node.pod_range else ()))]
    found = (_address_towards(end.partition("/")[0]) for end in ends)
    return tuple(dict.fromkeys(own for own in found if own and not ipaddress.ip_address(own).is_loopback))


async def list_pod_ports(api: Any) -> tuple[PodPort, ...]:
    """Return TCP ports of some running pods of each node, as far as the account may see any; the cluster's own first.

    Those of others may be closed by network policies.
    """
    found: dict[str, list[PodPort]] = {}
    try:
        pods = await client.CoreV1Api(api).list_pod_for_all_namespaces(
            field_selector="status.phase=Running", limit=500, _request_timeout=SECONDS
        )
    except (ApiException, *AWAY):
        return ()
    for pod in sorted(pods.items, key=lambda pod: pod.metadata.namespace != SYSTEM):
        ports = [port for container in pod.spec.containers for port in container.ports or ()]
        tcp = [port.container_port for port in ports if port.protocol in (None, "TCP")]
        if tcp and pod.status.pod_ip and not pod.spec.host_network:
            found.setdefault(pod.spec.node_name, []).append(PodPort(pod.spec.node_name, pod.status.pod_ip, tcp[0]))
    return tuple(port for ports in found.values() for port in ports[:MOST_TRIED])


async def find_unreachable(ports: Sequence[PodPort]) -> tuple[PodPort, ...]:
    """Return those of nodes from which nothing comes back at all; a pod that refuses the connection is reached."""
    answers = await asyncio.gather(*(_is_reached(port) for port in ports))
    reached = {port.node for port, answered in zip(ports, answers, strict=True) if answered}
    return tuple(port for port in ports if port.node not in reached)


async def _is_reached(port: PodPort) -> bool:
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(port.address, port.port), CONNECT_SECONDS)
    except ConnectionRefusedError:
        return True
    except (OSError, asyncio.TimeoutError):
        return False
    writer.close()
    return True


def route_commands(nodes: Iterable[ClusterNode], lost: Iterable[PodPort]) -> tuple[str, ...]:
    """Return the commands that lead this machine to the pods of nodes that it does not reach."""
    names = {port.node for port in lost}
    return tuple(
        f"ip route add {node.pod_range} via {node.addresses[0]}"
        for node in nodes
        if node.name in names and node.pod_range and node.addresses
    )
