"""Network policies as a cluster enforces them, from inside of pods with our labels; first without, then with them."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import json
import os
import socket
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mlabhub.cluster import labels, reach
from mlabhub.cluster.client import connect
from mlabhub.cluster.policies import get_network_policy_manifests, hub_outside
from mlabhub.core.kubernetes import KubernetesSpec
from tests.cluster.kubectl import create, get, kubectl
from tests.cluster.site import REGISTRY, make_name, remove_namespace
from tests.installation import wait_for

pytestmark = pytest.mark.timeout(300)

INSTANCE = "net01"
IMAGE = f"{REGISTRY or 'localhost/mlabhub'}/base:latest"
PROBE = (Path(__file__).parent / "probe.py").read_text()
SERVER, ODD, LAST, ECHO = 8888, 31337, 65535, 5353
AIRLOCK, REGISTRY_PORT = 2022, 5000
KUBELET, KUBE_PROXY, API = 10250, 10256, 6443
METADATA = "169.254.169.254"

LISTEN = """
import selectors, socket, sys
echo, *ports = map(int, sys.argv[1:])
heard = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
heard.bind(('', echo))
look = selectors.DefaultSelector()
for port in ports:
    one = socket.create_server(('', port), backlog=100)
    one.setblocking(False)
    look.register(one, selectors.EVENT_READ)
look.register(heard, selectors.EVENT_READ)
while True:
    for key, _ in look.select():
        if key.fileobj is heard:
            heard.sendto(*heard.recvfrom(10))
        else:
            try:
                key.fileobj.accept()[0].close()
            except OSError:
                pass
"""


def make_pod(name: str, namespace: str, marks: Mapping[str, str], ports: tuple[int, ...], node: str = "") -> Any:
    """Return a pod that listens, and in which one can look around; it passes the restricted standard."""
    container = {
        "name": "main",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-c", LISTEN, str(ECHO), *map(str, ports)],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    spec = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 0,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 200000,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        **({"nodeSelector": {"kubernetes.io/hostname": node}} if node else {}),
    }
    metadata = {"name": name, "namespace": namespace, "labels": dict(marks)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def marks_of(part: str, **more: str) -> dict[str, str]:
    return {labels.INSTANCE: INSTANCE, labels.PART: part, **more}


@dataclass
class Place:
    """Pods on a cluster, what listens on this machine, and what each pod saw before the policies were there."""

    namespace: str
    elsewhere: str
    machine: str
    public: int
    inner: int
    nodes: dict[str, str] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    before: dict[str, dict[str, Any]] = field(default_factory=dict)
    scanned: dict[str, list[int]] = field(default_factory=dict)
    lab_port: int = 0

    def ask(self, pod: str, questions: Mapping[str, list[object]]) -> dict[str, Any]:
        """Return what a pod says to each question."""
        where = ("-n", self.elsewhere if pod == "registry" else self.namespace, pod)
        printed = kubectl("exec", "-i", *where, "--", "python3", "-", json.dumps(questions), stdin=PROBE, seconds=240)
        answers: dict[str, Any] = json.loads(printed)
        return answers

    def closed_to_all(self) -> dict[str, list[object]]:
        """Return what no server may reach, whatever its egress."""
        asked: dict[str, list[Any]] = {
            "API service": ["reach", self.addresses["API service"], 443],
            "metadata": ["reach", METADATA, 80],
            "hub's inner port": ["reach", self.machine, self.inner],
            "stranger": ["reach", self.addresses["stranger"], SERVER],
            "stranger by UDP": ["hear", self.addresses["stranger"], ECHO],
            "registry's other port": ["reach", self.addresses["registry"], ODD],
            "airlock's other port": ["reach", self.addresses["airlock"], ODD],
            "neighbour's service": ["reach", self.addresses["neighbour's service"], SERVER],
        }
        for name, address in self.nodes.items():
            asked |= {
                f"kubelet of {name}": ["reach", address, KUBELET],
                f"kube-proxy of {name}": ["reach", address, KUBE_PROXY],
                f"neighbour through {name}": ["reach", address, int(self.addresses["node port"])],
            }
        for name in self.neighbours:
            address = self.addresses[name]
            asked |= {f"{name}:{port}": ["reach", address, port] for port in (SERVER, ODD, LAST)}
            asked[f"{name} by UDP"] = ["hear", address, ECHO]
        for number, address in enumerate(self.addresses["API"].split()):
            asked[f"API {number}"] = ["reach", *address.rsplit(":", 1)]
        return {name: [what, host, int(port)] for name, (what, host, port) in asked.items()}

    @property
    def neighbours(self) -> list[str]:
        return [name for name in self.addresses if name.startswith("bob")]

    def scans(self, first: int = 1) -> dict[str, list[object]]:
        """Return the question for every port of each neighbour."""
        return {name: ["scan", self.addresses[name], first] for name in self.neighbours}

    def open_to_some(self) -> dict[str, list[object]]:
        """Return what servers may reach, or some of them."""
        return {
            "DNS": ["resolve", "kubernetes.default.svc.cluster.local."],
            "hub": ["reach", self.machine, self.public],
            "airlock": ["reach", self.addresses["airlock"], AIRLOCK],
            "registry": ["reach", self.addresses["registry"], REGISTRY_PORT],
            "lab's machine": ["reach", self.machine, self.lab_port],
        }


@contextlib.contextmanager
def listening() -> Iterator[int]:
    """Listen on all addresses of this machine."""
    with http.server.ThreadingHTTPServer(("", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def find_nodes() -> tuple[tuple[reach.ClusterNode, ...], tuple[str, ...]]:
    """Return the nodes, and what the cluster says is its own."""

    async def find() -> Any:
        file = reach.find_kubeconfig(None)
        api = await connect(file, "")
        try:
            nodes = await reach.list_nodes(api)
            return nodes, await reach.own_ranges(api, nodes)
        finally:
            await api.close()

    found: tuple[tuple[reach.ClusterNode, ...], tuple[str, ...]] = asyncio.run(find())
    return found


@pytest.fixture(scope="module")
def place(kubeconfig: str) -> Iterator[Place]:
    namespace, elsewhere = make_name("people"), make_name("elsewhere")
    for one in (namespace, elsewhere):
        kubectl("create", "namespace", one)
    kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    nodes, seen = find_nodes()
    machine = os.environ.get("MLABHUB_TEST_HUB_HOST") or reach.find_own_address(nodes)
    assert machine, "this machine has no way to the nodes"
    try:
        with listening() as public, listening() as inner, listening() as lab:
            place = Place(namespace, elsewhere, machine, public, inner, lab_port=lab)
            place.nodes = {node.name: node.addresses[0] for node in nodes if node.addresses}
            run_pods(place)
            place.before = look_around(place)
            place.scanned = place.ask("open", place.scans(LAST - 1000))
            apply_policies(place, nodes, seen)
            yield place
    finally:
        remove_namespace(namespace)
        remove_namespace(elsewhere)


PROBERS = {"open": "open", "lab": "lab", "closed": "closed", "unmarked": "", "folders": ""}


def run_pods(place: Place) -> None:
    """Start them all, and wait until they listen."""
    own, ports = place.namespace, (SERVER, ODD, LAST)
    servers = {
        name: marks_of(labels.PART_SERVER, **({labels.EGRESS: egress} if egress else {}))
        for name, egress in PROBERS.items()
    }
    servers["folders"] = marks_of(labels.PART_FOLDERS)
    pods = [make_pod(name, own, marks, ports) for name, marks in servers.items()]
    bob = marks_of(labels.PART_SERVER, **{labels.EGRESS: "open"}, whose="bob")
    pods += [make_pod(f"bob-on-{node}", own, bob, ports, node) for node in place.nodes]
    pods += [
        make_pod("stranger", own, {"app": "other"}, ports),
        make_pod("airlock", own, marks_of(labels.PART_AIRLOCK), (AIRLOCK, ODD)),
        make_pod("registry", place.elsewhere, {"app": "registry"}, (REGISTRY_PORT, ODD)),
    ]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "bob", "namespace": own},
        "spec": {"type": "NodePort", "selector": {"whose": "bob"}, "ports": [{"port": SERVER}]},
    }
    create(service, *pods)
    for namespace in (own, place.elsewhere):
        kubectl("wait", "-n", namespace, "pod", "--all", "--for=condition=Ready", "--timeout=90s", seconds=100)
    for pod in (*get("pods", own), *get("pods", place.elsewhere)):
        place.addresses[pod["metadata"]["name"]] = pod["status"]["podIP"]
    (made,) = get("services", own)
    (api,) = (one for one in get("services", "default") if one["metadata"]["name"] == "kubernetes")
    place.addresses["API service"] = api["spec"]["clusterIP"]
    place.addresses["neighbour's service"] = made["spec"]["clusterIP"]
    place.addresses["node port"] = str(made["spec"]["ports"][0]["nodePort"])
    place.addresses["API"] = " ".join(
        f"{address}:{port['port']}"
        for one in get("endpointslices", "default", "-l", "kubernetes.io/service-name=kubernetes")
        for endpoint in one["endpoints"]
        for address in endpoint["addresses"]
        for port in one["ports"]
    )


def look_around(place: Place) -> dict[str, dict[str, Any]]:
    """Return what every prober and the stranger see."""
    questions = {**place.closed_to_all(), **place.open_to_some()}
    with ThreadPoolExecutor(6) as pool:
        answers = {name: pool.submit(place.ask, name, questions) for name in (*PROBERS, "stranger")}
        return {name: answer.result() for name, answer in answers.items()}


def apply_policies(place: Place, nodes: tuple[reach.ClusterNode, ...], seen: tuple[str, ...]) -> None:
    """Put the policies in place, and wait until the cluster's network has taken them up."""
    lab = [
        {"namespace": place.elsewhere, "pods": {"app": "registry"}, "ports": [REGISTRY_PORT]},
        {"cidr": place.machine, "ports": [place.lab_port]},
    ]
    spec = KubernetesSpec.model_validate({"network": {"lab": lab}})
    hub = hub_outside((place.machine, *reach.find_own_addresses(nodes)), place.public)
    create(*get_network_policy_manifests(spec, namespace=place.namespace, instance=INSTANCE, hub=hub, seen=seen))
    gone = {"it": place.closed_to_all()["hub's inner port"]}
    wait_for(
        lambda: not any(place.ask(name, gone)["it"] for name in PROBERS),
        30,
        "the cluster's network enforces network policies: a pod that they close still reaches this machine",
    )


@pytest.fixture(scope="module")
def after(place: Place) -> dict[str, dict[str, Any]]:
    return look_around(place)


def test_without_policies_all_of_it_is_open(place: Place) -> None:
    """Else nothing below would mean anything."""
    never = {"metadata"}
    expected = {name: True for name in {**place.closed_to_all(), **place.open_to_some()} if name not in never}
    for name, seen in place.before.items():
        assert {key: value for key, value in seen.items() if key not in never} == expected, name


@pytest.mark.parametrize("name", PROBERS)
def test_closed_to_every_server(place: Place, after: dict[str, dict[str, Any]], name: str) -> None:
    reached = [question for question in place.closed_to_all() if after[name][question]]
    assert reached == []


@pytest.mark.parametrize(
    ("name", "reached"),
    [
        ("open", ["DNS", "hub", "airlock", "registry", "lab's machine"]),
        ("lab", ["DNS", "hub", "airlock", "registry", "lab's machine"]),
        ("closed", ["DNS", "hub", "airlock"]),
        ("unmarked", ["DNS", "hub", "airlock"]),
        ("folders", []),
    ],
)
def test_open_by_egress(place: Place, after: dict[str, dict[str, Any]], name: str, reached: list[str]) -> None:
    assert [question for question in place.open_to_some() if after[name][question]] == reached


def test_pods_that_are_not_ours_are_left_alone(place: Place, after: dict[str, dict[str, Any]]) -> None:
    closed = {name for name in place.closed_to_all() if name.startswith(("bob", "neighbour", "airlock"))}
    expected = {name: name not in closed for name in place.before["stranger"] if name != "metadata"}
    assert {name: after["stranger"][name] for name in expected} == expected
    assert place.ask("registry", {"it": ["reach", place.addresses["stranger"], SERVER]}) == {"it": True}


def test_no_port_of_a_neighbour_answers(place: Place) -> None:
    """All 65,535 of them, on the same node and on another one."""
    assert place.scanned == {name: [LAST] for name in place.neighbours}, "without policies a scan finds what is open"
    assert place.ask("open", place.scans()) == {name: [] for name in place.neighbours}


def test_the_hub_reaches_a_servers_own_port_alone(place: Place) -> None:
    addresses = [address for name, address in place.addresses.items() if name in (*place.neighbours, "lab")]
    closed = [(place.addresses["folders"], SERVER), *((address, port) for address in addresses for port in (ODD, LAST))]
    with ThreadPoolExecutor(20) as pool:
        assert all(pool.map(reaches, addresses, [SERVER] * len(addresses)))
        if place.machine not in place.nodes.values():  # a node reaches its own pods, whatever policies say
            assert not any(pool.map(reaches, *zip(*closed, strict=True)))


def reaches(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=2).close()
    except OSError:
        return False
    return True
