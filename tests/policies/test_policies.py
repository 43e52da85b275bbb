"""Network policies as they are: whole manifests, and what no spec can make them open."""

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlabhub.cluster.policies import HubPlace, Peer, get_network_policy_manifests, hub_of_chart, hub_outside
from mlabhub.core.kubernetes import KubernetesSpec
from mlabhub.core.network import INNER_RANGES, within

HUB = hub_outside(["10.123.0.1"], 8000)
SPEC = KubernetesSpec.model_validate(
    {
        "network": {
            "lab": [
                {"cidr": "10.0.0.0/8", "ports": [443, 5000], "description": "registry, git"},
                {"cidr": "192.168.7.9"},
                {"namespace": "harbor", "pods": {"app": "harbor"}, "ports": [8443]},
                {"namespace": "mirrors"},
            ],
            "cluster_ranges": ["10.96.0.0/16", "203.0.113.0/24", "2001:db8::/48"],
            "dns": ["169.254.20.10"],
        }
    }
)


def policies(spec=SPEC, hub=HUB, **values):
    return get_network_policy_manifests(spec, namespace="people", instance="abc12", hub=hub, **values)


def policy(part, spec):
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": f"mlabhub-abc12-{part}", "namespace": "people", "labels": {"mlabhub/instance": "abc12"}},
        "spec": spec,
    }


def tcp(*ports):
    return [{"protocol": "TCP", "port": port} for port in ports]


def block(cidr, *closed):
    return {"ipBlock": {"cidr": cidr, **({"except": list(closed)} if closed else {})}}


OURS = {"mlabhub/instance": "abc12"}
SERVERS = {**OURS, "mlabhub/part": "server"}
AIRLOCK = {**OURS, "mlabhub/part": "airlock"}
DNS = {
    "to": [
        {
            "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
        },
        block("169.254.20.10/32"),
    ],
    "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}],
}
LAB = [
    {"to": [block("10.0.0.0/8", "10.96.0.0/16", "10.123.0.2/32", "10.244.1.0/24")], "ports": tcp(443, 5000)},
    {"to": [block("192.168.7.9/32")]},
    {
        "to": [
            {
                "podSelector": {"matchLabels": {"app": "harbor"}},
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "harbor"}},
            }
        ],
        "ports": tcp(8443),
    },
    {
        "to": [
            {
                "podSelector": {},
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "mirrors"}},
            }
        ]
    },
]
WORLD = {
    "to": [
        block(
            "0.0.0.0/0",
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
            *("192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        ),
        block(
            "::/0",
            *("::/127", "64:ff9b::/96", "64:ff9b:1::/48", "2001:db8::/48", "2002::/16", "fc00::/7", "fe80::/10"),
            "ff00::/8",
        ),
    ]
}


def chosen(*values):
    return [{"key": "mlabhub/egress", "operator": "In", "values": list(values)}]


def test_the_policies_of_a_hub_outside_the_cluster():
    both = ["Ingress", "Egress"]
    assert policies(seen=["10.123.0.2", "10.244.1.0/24", "198.18.0.5"]) == (
        policy("all", {"podSelector": {"matchLabels": OURS}, "policyTypes": both, "ingress": [], "egress": []}),
        policy(
            "servers",
            {
                "podSelector": {"matchLabels": SERVERS},
                "policyTypes": both,
                "ingress": [{"from": [block("10.123.0.1/32")], "ports": tcp(8888)}],
                "egress": [
                    DNS,
                    {"to": [block("10.123.0.1/32")], "ports": tcp(8000)},
                    {"to": [{"podSelector": {"matchLabels": AIRLOCK}}], "ports": tcp(2022)},
                ],
            },
        ),
        policy(
            "lab",
            {
                "podSelector": {"matchLabels": SERVERS, "matchExpressions": chosen("lab", "open")},
                "policyTypes": ["Egress"],
                "egress": LAB,
            },
        ),
        policy(
            "open",
            {
                "podSelector": {"matchLabels": SERVERS, "matchExpressions": chosen("open")},
                "policyTypes": ["Egress"],
                "egress": [WORLD],
            },
        ),
        policy(
            "airlock",
            {
                "podSelector": {"matchLabels": AIRLOCK},
                "policyTypes": both,
                "ingress": [{"ports": tcp(2022)}],
                "egress": [DNS, *LAB, WORLD],
            },
        ),
    )


@pytest.mark.parametrize(("namespace", "selector"), [("", {}), ("jhub", {"kubernetes.io/metadata.name": "jhub"})])
def test_in_the_chart_hub_and_proxy_are_pods(namespace, selector):
    def pod(component):
        usual = {"app": "jupyterhub", "release": "lab", "component": component}
        where = {"namespaceSelector": {"matchLabels": selector}} if selector else {}
        return {"podSelector": {"matchLabels": usual}, **where}

    servers = policies(KubernetesSpec(), hub_of_chart("lab", namespace=namespace))[1]["spec"]
    assert servers["ingress"] == [{"from": [pod("hub"), pod("proxy")], "ports": tcp(8888)}]
    assert servers["egress"][1:3] == [
        {"to": [pod("hub")], "ports": tcp(8081, 8090)},
        {"to": [pod("proxy")], "ports": tcp(8000)},
    ]


def test_a_hub_has_several_addresses_of_both_kinds():
    servers = policies(hub=hub_outside(["10.123.0.1", "fd00::1", "10.42.0.0/31", "10.123.0.1"], 443))[1]["spec"]
    blocks = [block("10.123.0.1/32"), block("fd00::1/128"), block("10.42.0.0/31")]
    assert servers["ingress"] == [{"from": blocks, "ports": tcp(8888)}]
    assert servers["egress"][1:4] == [{"to": [one], "ports": tcp(443)} for one in blocks]


def test_what_is_no_address_is_never_left_out_in_silence():
    with pytest.raises(ValueError, match="registry"):
        hub_outside(["registry"], 8000)
    with pytest.raises(ValueError, match="node1"):
        policies(seen=["node1"])


def test_without_anything_to_open_there_is_no_rule():
    """An empty list of peers in a rule would let everybody in."""
    _, servers, lab, *_ = policies(KubernetesSpec(), HubPlace((), ((Peer(cidr="10.0.0.1/32"), ()),)))
    assert servers["spec"]["ingress"] == []
    assert servers["spec"]["egress"] == [
        {**DNS, "to": DNS["to"][:1]},
        {"to": [{"podSelector": {"matchLabels": AIRLOCK}}], "ports": tcp(2022)},
    ]
    assert lab["spec"]["egress"] == []


def test_a_destination_that_is_a_node_is_open_at_what_was_named():
    """A registry on a cluster's only machine has the API server's address."""
    spec = KubernetesSpec.model_validate({"network": {"lab": [{"cidr": "10.123.0.1", "ports": [5000]}]}})
    lab = policies(spec, seen=["10.123.0.1"])[2]["spec"]["egress"]
    assert lab == [{"to": [block("10.123.0.1/32")], "ports": tcp(5000)}]


ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))
RANGES = st.one_of(
    st.ip_addresses(v=4).flatmap(lambda one: st.integers(0, 32).map(lambda bits: (one, bits))),
    st.ip_addresses(v=6).flatmap(lambda one: st.integers(0, 128).map(lambda bits: (one, bits))),
).map(lambda pair: str(ipaddress.ip_network(f"{pair[0]}/{pair[1]}", strict=False)))


@settings(max_examples=150)
@given(st.lists(RANGES, max_size=4), st.lists(RANGES, max_size=4), ADDRESSES)
def test_nothing_inner_is_open_to_the_world(cluster, seen, address):
    spec = KubernetesSpec.model_validate({"network": {"cluster_ranges": cluster}})
    (rule,) = policies(spec, seen=seen)[3]["spec"]["egress"]
    reached = any(
        within(str(address) + suffix_of(address), one["ipBlock"]["cidr"])
        and not any(within(str(address) + suffix_of(address), out) for out in one["ipBlock"].get("except", ()))
        for one in rule["to"]
    )
    inner = any(address in ipaddress.ip_network(one) for one in (*INNER_RANGES, *cluster, *seen))
    everything = any(one in (*cluster, *seen) for one in ("0.0.0.0/0", "::/0"))
    assert everything or reached != inner


@settings(max_examples=150)
@given(st.lists(RANGES, max_size=4), st.lists(RANGES, max_size=4))
def test_the_api_takes_every_exception(cluster, seen):
    """It refuses one that is not truly inside of its range."""
    spec = KubernetesSpec.model_validate({"network": {"cluster_ranges": cluster}})
    for manifest in policies(spec, seen=seen):
        for rule in manifest["spec"]["egress"]:
            for one in rule.get("to", ()):
                given_range = one.get("ipBlock", {})
                for out in given_range.get("except", ()):
                    assert out != given_range["cidr"]
                    assert within(out, given_range["cidr"])


def suffix_of(address):
    return f"/{address.max_prefixlen}"
