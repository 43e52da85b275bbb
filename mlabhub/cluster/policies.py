"""Who reaches people's servers on a cluster, and what these reach: network policies, by the label EGRESS.

Guarantees: pure; only pods with the installation's own label are selected, so what else runs in the namespace stays as
it is. Every pod of ours is closed both ways unless a policy here opens something: without a label for its egress a
server reaches name servers and the hub and nothing else. Hub and proxy alone open connections to servers, and only to
the port that these answer at. No policy opens link-local addresses or the cluster's own ranges.

Policies add up: one of somebody else's that selects the same pods may open what these close. Whether they are enforced
at all is the cluster's network's business.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from mlabhub.cluster import labels
from mlabhub.core.kubernetes import KubernetesSpec
from mlabhub.core.network import INNER_RANGES, LINK_LOCAL, Destination, parts_of

Manifest = dict[str, Any]

SERVER_PORT = 8888
"""Where a server answers."""
AIRLOCK_PORT = 2022
"""Where the airlock answers to sftp."""
DNS_PORTS = ({"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53})
WORLD = ("0.0.0.0/0", "::/0")

_NAMESPACE_NAME = "kubernetes.io/metadata.name"


@dataclass(frozen=True)
class Peer:
    """Addresses outside the cluster, or pods: of the policies' own namespace, or of another one."""

    cidr: str = ""
    pods: Mapping[str, str] = field(default_factory=dict)
    namespace: str = ""


@dataclass(frozen=True)
class HubPlace:
    """Where hub and proxy are, as servers see them."""

    comes_from: tuple[Peer, ...]
    """Who opens connections to servers."""
    answers: tuple[tuple[Peer, tuple[int, ...]], ...]
    """Where servers reach it, at which TCP ports; behind a service, those of its pods."""


def hub_outside(addresses: Iterable[str], port: int) -> HubPlace:
    """Return the place of a hub beside the cluster: this machine's addresses as pods see them, the public port.

    Raises `ValueError` if one is no address and no range.
    """
    peers = tuple(Peer(cidr=one) for one in _usual(addresses))
    return HubPlace(peers, tuple((peer, (port,)) for peer in peers))


def hub_of_chart(
    release: str, *, namespace: str = "", hub_ports: tuple[int, ...] = (8081, 8090), proxy_port: int = 8000
) -> HubPlace:
    """Return the place of the hub of a Zero to JupyterHub chart; the ports are those that its pods listen on.

    The hub's pod has the service too, at the second of its ports: servers report to it.
    """
    usual = {"app": "jupyterhub", "release": release}
    hub = Peer(pods={**usual, "component": "hub"}, namespace=namespace)
    proxy = Peer(pods={**usual, "component": "proxy"}, namespace=namespace)
    return HubPlace((hub, proxy), ((hub, hub_ports), (proxy, (proxy_port,))))


def get_network_policy_manifests(
    spec: KubernetesSpec, *, namespace: str, instance: str, hub: HubPlace, seen: Sequence[str] = ()
) -> tuple[Manifest, ...]:
    """Return the policies of one installation; ``seen`` are ranges and addresses known to be the cluster's own."""
    make = partial(_policy, namespace, instance)
    ours = {labels.INSTANCE: instance}
    servers = {**ours, labels.PART: labels.PART_SERVER}
    airlock = {**ours, labels.PART: labels.PART_AIRLOCK}
    closed = (*spec.network.cluster_ranges, *_usual(seen), *LINK_LOCAL)
    dns, lab, world = _dns(spec), _lab(spec, closed), _world(closed)
    to_hub = [rule for peer, ports in hub.answers for rule in _rules("to", [peer], ports)]
    to_airlock = _rules("to", [Peer(pods=airlock)], [AIRLOCK_PORT])
    return (
        make("all", {"matchLabels": ours}, ingress=[], egress=[]),
        make(
            "servers",
            {"matchLabels": servers},
            ingress=_rules("from", hub.comes_from, [SERVER_PORT]),
            egress=[dns, *to_hub, *to_airlock],
        ),
        make("lab", _with_egress(servers, "lab", "open"), ingress=None, egress=lab),
        make("open", _with_egress(servers, "open"), ingress=None, egress=[world]),
        make(
            "airlock",
            {"matchLabels": airlock},
            ingress=[{"ports": _ports([AIRLOCK_PORT])}],
            egress=[dns, *lab, world],
        ),
    )


def _policy(
    namespace: str,
    instance: str,
    part: str,
    selector: Manifest,
    *,
    ingress: list[Manifest] | None,
    egress: list[Manifest],
) -> Manifest:
    """Return one policy; without ``ingress`` it is about egress alone."""
    rules: Manifest = {"egress": egress} if ingress is None else {"ingress": ingress, "egress": egress}
    types = ["Egress"] if ingress is None else ["Ingress", "Egress"]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": labels.object_name(instance, part),
            "namespace": namespace,
            "labels": {labels.INSTANCE: instance},
        },
        "spec": {"podSelector": selector, "policyTypes": types, **rules},
    }


def _with_egress(servers: Mapping[str, str], *values: str) -> Manifest:
    chosen = {"key": labels.EGRESS, "operator": "In", "values": list(values)}
    return {"matchLabels": dict(servers), "matchExpressions": [chosen]}


def _dns(spec: KubernetesSpec) -> Manifest:
    """Return the rule for the cluster's name servers."""
    of_cluster = Peer(pods={"k8s-app": "kube-dns"}, namespace="kube-system")
    peers = [of_cluster, *(Peer(cidr=one) for one in spec.network.dns)]
    return {"to": [_peer(peer) for peer in peers], "ports": [dict(port) for port in DNS_PORTS]}


def _lab(spec: KubernetesSpec, closed: Iterable[str]) -> list[Manifest]:
    return [_to(destination, closed) for destination in spec.network.lab]


def _to(destination: Destination, closed: Iterable[str]) -> Manifest:
    """Return the rule for a destination; without ports, all of them."""
    if destination.cidr is not None:
        peer = _block(destination.cidr, closed)
    else:
        peer = _peer(Peer(pods=destination.pods, namespace=destination.namespace or ""))
    return {"to": [peer], **({"ports": _ports(destination.ports)} if destination.ports else {})}


def _world(closed: Iterable[str]) -> Manifest:
    return {"to": [_block(around, (*INNER_RANGES, *closed)) for around in WORLD]}


def _block(cidr: str, closed: Iterable[str]) -> Manifest:
    """Return a range without what is closed in it; one that is closed as a whole was asked for by its very name."""
    without = [one for one in parts_of(closed, cidr) if one != cidr]
    return {"ipBlock": {"cidr": cidr, **({"except": without} if without else {})}}


def _rules(side: str, peers: Sequence[Peer], ports: Sequence[int]) -> list[Manifest]:
    """Return the rule for peers and ports; none without them, as an empty list in a rule would open everything."""
    return [{side: [_peer(peer) for peer in peers], "ports": _ports(ports)}] if peers and ports else []


def _peer(peer: Peer) -> Manifest:
    if peer.cidr:
        return {"ipBlock": {"cidr": peer.cidr}}
    selector: Manifest = {"podSelector": {"matchLabels": dict(peer.pods)} if peer.pods else {}}
    if peer.namespace:
        selector["namespaceSelector"] = {"matchLabels": {_NAMESPACE_NAME: peer.namespace}}
    return selector


def _ports(ports: Iterable[int]) -> list[Manifest]:
    return [{"protocol": "TCP", "port": port} for port in ports]


def _usual(ranges: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(ipaddress.ip_network(one, strict=False)) for one in ranges))
