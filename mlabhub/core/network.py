"""What a server may reach outside, as a profile says it, and where the site's own destinations are.

``open``: everything but the site's inner addresses; ``lab``: registry, git, mirrors and proxy of the site;
``closed``: the hub, and the airlock that alone reaches outside.

Guarantees: every range is in its usual form, an address one of /32 or /128; no destination lies inside of the cluster's
own ranges.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from mlabhub.core.schema import KeyFault, Model, Text, key_faults
from mlabhub.messages import N_, Message

Egress = Literal["open", "lab", "closed"]
DEFAULT_EGRESS: Egress = "lab"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

INNER_RANGES = (
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"),
    *("192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4"),
    *("::/127", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "fc00::/7", "fe80::/10", "ff00::/8"),
)
"""What is not the world: private, shared, link-local with the clouds' metadata, multicast, and IPv4 inside of IPv6."""

LINK_LOCAL = ("169.254.0.0/16", "fe80::/10")
"""Where clouds serve their secrets; never a part of a destination."""


def _range(text: str) -> str:
    try:
        if "%" in text:
            raise ValueError(text)  # an interface of one machine
        usual = ipaddress.ip_network(text, strict=False)
    except ValueError:
        message = Message(N_("must be an address or a range of them, such as 10.1.2.3 or 10.1.2.0/24, not a name"))
        raise key_faults([KeyFault((), message)]) from None
    address = text.partition("/")[0]
    if usual.network_address != ipaddress.ip_address(address):
        message = Message.of(N_("is no range's beginning; the range around it is {usual}"), usual=str(usual))
        raise key_faults([KeyFault((), message)])
    return str(usual)


Range = Annotated[str, Field(strict=True, max_length=50), AfterValidator(_range)]
"""Addresses, such as 10.1.2.0/24; an address alone is one of its own."""
Port = Annotated[int, Field(strict=True, ge=1, le=65535)]
LabelValue = Annotated[str, Field(strict=True, pattern=r"^([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)?$", max_length=63)]
LabelKey = Annotated[
    str, Field(strict=True, pattern=r"^([a-z0-9.-]+/)?[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$", max_length=253)
]
NamespaceName = Annotated[str, Field(strict=True, pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=63)]


class Destination(Model):
    """What servers with ``egress: lab`` or ``open`` reach: a range outside the cluster, or pods in it."""

    cidr: Range | None = Field(default=None, description="Addresses outside the cluster, such as 10.1.2.0/24.")
    namespace: NamespaceName | None = Field(
        default=None, description="Or a namespace of the cluster, for a registry or a proxy that runs in it."
    )
    pods: dict[LabelKey, LabelValue] = Field(
        default_factory=dict,
        description="Labels of the pods in that namespace; absent: all of them.",
        json_schema_extra={"additionalProperties": False},
    )
    ports: tuple[Port, ...] = Field(
        default=(),
        description="TCP ports, with pods those that they listen on themselves; absent: every port and protocol.",
    )
    description: Text | None = Field(default=None, description="What it is, for people who read the file.")

    @model_validator(mode="after")
    def _is_one(self) -> Destination:
        if (self.cidr is None) == (self.namespace is None):
            raise key_faults([KeyFault((), Message(N_("needs one of cidr and namespace")))])
        if self.pods and self.namespace is None:
            raise key_faults([KeyFault(("pods",), Message(N_("needs the namespace of these pods")))])
        return self


class NetworkSpec(Model):
    """What servers reach; the cluster's network has to enforce it, which not every one does."""

    lab: tuple[Destination, ...] = Field(
        default=(), description="What egress: lab opens, and egress: open too: registry, git, mirrors, proxy."
    )
    cluster_ranges: tuple[Range, ...] = Field(
        default=(),
        description="Addresses of nodes, pods, services and API server, closed to everybody; needed where they are "
        "public, or within a range of lab. Those that `mlabhub up` sees are closed anyway: a registry on a node is "
        "open only where lab has that very address.",
    )
    dns: tuple[Range, ...] = Field(
        default=(),
        description="Name servers besides the pods k8s-app=kube-dns of kube-system, such as 169.254.20.10 of "
        "NodeLocal DNSCache.",
    )

    @model_validator(mode="after")
    def _is_sound(self) -> NetworkSpec:
        faults = list(_destination_faults(self))
        if faults:
            raise key_faults(faults)
        return self


def _destination_faults(spec: NetworkSpec) -> Iterator[KeyFault]:
    for number, destination in enumerate(spec.lab):
        if destination.cidr is None:
            continue
        around = next((one for one in (*spec.cluster_ranges, *LINK_LOCAL) if within(destination.cidr, one)), None)
        if around is not None:
            message = Message.of(
                N_("lies in {range}, which is closed to everybody; for pods of the cluster give their namespace"),
                range=around,
            )
            yield KeyFault(("lab", number, "cidr"), message)


def within(one: str, other: str) -> bool:
    """Whether a range lies in another, or is it."""
    inner, outer = ipaddress.ip_network(one), ipaddress.ip_network(other)
    if isinstance(inner, ipaddress.IPv4Network):
        return isinstance(outer, ipaddress.IPv4Network) and inner.subnet_of(outer)
    return isinstance(outer, ipaddress.IPv6Network) and inner.subnet_of(outer)


def parts_of(ranges: Iterable[str], around: str) -> tuple[str, ...]:
    """Return those ranges that lie in ``around``, without those that lie in another of them, in a fixed order."""
    inside = sorted({one for one in ranges if within(one, around)}, key=_order)
    return tuple(one for one in inside if not any(one != other and within(one, other) for other in inside))


def _order(text: str) -> tuple[int, int, int]:
    network = ipaddress.ip_network(text)
    return network.version, int(network.network_address), network.prefixlen
