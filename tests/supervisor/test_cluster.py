"""What can be known of a cluster before there is one: files, contexts, addresses, and how its silence is told."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mlabhub.cluster import reach
from mlabhub.cluster.apply import object_path
from mlabhub.cluster.namespace import get_namespace_manifest, is_too_strict, pod_security_level
from mlabhub.cluster.reach import ClusterNode, PodPort
from mlabhub.core.kubernetes import KubernetesSpec
from mlabhub.errors import ClusterUnavailable, InvalidConfiguration
from mlabhub.settings import Settings
from mlabhub.spawners.kube.manifest import hosts_of
from mlabhub.supervisor.backend import Backend, ClusterOptions
from mlabhub.supervisor.cluster import ClusterBackend, choose_hub_host, find_context, prepare_cluster
from mlabhub.supervisor.up import moved
from tests.installation import free_port

NFS = {"folder": "/srv/nas", "claim": "nas"}


def make_kubeconfig(file: Path, server: str, *contexts: str) -> Path:
    """Write a kubeconfig whose first context is the current one."""
    file.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": contexts[0],
                "clusters": [{"name": "here", "cluster": {"server": server}}],
                "users": [{"name": "me", "user": {"token": "secret"}}],
                "contexts": [{"name": name, "context": {"cluster": "here", "user": "me"}} for name in contexts],
            }
        )
    )
    return file


def test_the_kubeconfig_is_the_named_one_else_the_variables_else_the_usual_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(InvalidConfiguration, match=f"no kubeconfig at {tmp_path}/.kube/config.*--kubeconfig.*k3s"):
        reach.find_kubeconfig(None)
    (tmp_path / ".kube").mkdir()
    usual = make_kubeconfig(tmp_path / ".kube" / "config", "https://a:1", "usual")
    one, other = (make_kubeconfig(tmp_path / name, "https://a:1", name) for name in ("one", "other"))
    assert reach.find_kubeconfig(None) == usual
    monkeypatch.setenv("KUBECONFIG", f"{one}:{tmp_path / 'not-there'}:{other}")
    assert str(reach.find_kubeconfig(None)) == f"{one}:{other}"
    assert reach.find_kubeconfig(other) == other
    with pytest.raises(InvalidConfiguration, match=r"no kubeconfig at .*/missing"):
        reach.find_kubeconfig(tmp_path / "missing")


def test_a_pod_needs_no_kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    assert reach.find_kubeconfig(None) is None
    assert find_context(None, "") == ""


def test_the_context_is_decided_at_the_start(tmp_path: Path) -> None:
    file = make_kubeconfig(tmp_path / "config", "https://a:1", "lab", "home")
    assert find_context(file, "") == "lab"
    assert find_context(file, "home") == "home"
    with pytest.raises(InvalidConfiguration, match=r"no context 'labb'; there are: lab, home.*--context"):
        find_context(file, "labb")
    file.write_text("{")
    with pytest.raises(
        InvalidConfiguration, match=r"cannot be used: .*[^.]\. Mend it, or name another one with --kubeconfig\.$"
    ):
        find_context(file, "")


@pytest.mark.parametrize("text", ["", "[]", "word", "apiVersion: v1\nkind: Config\n", "contexts: 3\n"])
def test_what_is_no_kubeconfig_is_said_to_be_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "config"
    file.write_text(text)
    with pytest.raises(InvalidConfiguration, match=str(file)):
        find_context(file, "")


def test_a_cluster_that_does_not_answer_is_told_with_what_to_do(tmp_path: Path) -> None:
    file = make_kubeconfig(tmp_path / "config", f"https://127.0.0.1:{free_port()}", "lab")
    with pytest.raises(
        ClusterUnavailable, match=r"127\.0\.0\.1.*context lab of .* does not answer: .*refused.*kubectl"
    ):
        prepare_cluster(ClusterOptions(kubeconfig=file), KubernetesSpec(), "")


def test_another_web_server_is_no_cluster(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        file = make_kubeconfig(tmp_path / "config", f"http://127.0.0.1:{listening.getsockname()[1]}", "lab")

        async def both() -> None:
            async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                writer.close()

            async with await asyncio.start_server(answer, sock=listening):
                await asyncio.to_thread(prepare_cluster, ClusterOptions(kubeconfig=file), KubernetesSpec(), "")

        with pytest.raises(ClusterUnavailable, match="no Kubernetes that this account may use: 404"):
            asyncio.run(both())


def test_this_machines_address_is_the_one_on_the_way_to_the_nodes() -> None:
    own = reach.find_own_address([ClusterNode("n1", ("127.0.0.1",), "")])
    assert own is None, "a loopback address leads nowhere from a pod"
    with pytest.raises(InvalidConfiguration, match=r"no way to the cluster's nodes \(n1 127\.0\.0\.1\).*--hub-host"):
        choose_hub_host((ClusterNode("n1", ("127.0.0.1",), ""),), "")
    with pytest.raises(InvalidConfiguration, match="it has none"):
        choose_hub_host((), "")


def test_a_hub_that_listens_on_one_address_is_reached_by_that() -> None:
    nodes = (ClusterNode("n1", ("192.0.2.1",), ""),)
    assert choose_hub_host(nodes, "192.0.2.9") == "192.0.2.9"
    with pytest.raises(InvalidConfiguration, match=r"--host 127\.0\.0\.1.*pods would not reach.*--hub-host"):
        choose_hub_host(nodes, "127.0.0.1")


async def test_a_port_that_refuses_is_reached_and_one_that_is_silent_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "CONNECT_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.create_server(("127.0.0.1", 0)) as there:
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())  # the queue is full after that: later ones are not answered at all
        ports = [
            PodPort("open", "127.0.0.1", there.getsockname()[1]),
            PodPort("shut", "127.0.0.1", free_port()),
            PodPort("lost", "127.0.0.1", full.getsockname()[1]),
        ]
        lost = await reach.find_unreachable(ports)
        for one in waiting:
            one.close()
    assert [port.node for port in lost] == ["lost"]
    nodes = [ClusterNode("lost", ("10.0.0.7",), "10.244.7.0/24"), ClusterNode("open", ("10.0.0.8",), "10.244.8.0/24")]
    assert reach.route_commands(nodes, lost) == ("ip route add 10.244.7.0/24 via 10.0.0.7",)


@pytest.mark.parametrize(
    ("spec", "level"),
    [
        ({}, "restricted"),
        ({"make_folders": "pod"}, "restricted"),
        ({"volumes": [NFS]}, "baseline"),
        ({"volumes": [{"folder": "/srv/home", "claim_per_folder": {"size_gib": 1}}]}, "restricted"),
        ({"volumes": [NFS], "make_folders": "hub"}, "restricted"),
        ({"volumes": [NFS], "make_folders": "nobody", "allow": ["sudo"]}, "baseline"),
        ({"allow": ["sudo", "host_path"]}, "privileged"),
    ],
)
def test_the_namespace_is_as_strict_as_it_can_be(spec: Mapping[str, Any], level: str) -> None:
    wanted = KubernetesSpec.model_validate({key: tuple(v) if isinstance(v, list) else v for key, v in spec.items()})
    assert pod_security_level(wanted) == level
    assert get_namespace_manifest("mlabhub", wanted) == {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "mlabhub", "labels": {"pod-security.kubernetes.io/enforce": level}},
    }


def test_a_namespace_without_a_standard_refuses_nothing() -> None:
    assert is_too_strict("restricted", "baseline")
    assert is_too_strict("baseline", "privileged")
    assert not is_too_strict("baseline", "baseline")
    assert not is_too_strict("privileged", "restricted")
    assert not is_too_strict(None, "privileged")
    assert not is_too_strict("something of the future", "privileged")


@pytest.mark.parametrize(
    ("version", "kind", "path"),
    [
        ("v1", "Namespace", "/api/v1/namespaces/x"),
        ("v1", "PersistentVolumeClaim", "/api/v1/namespaces/n/persistentvolumeclaims/x"),
        ("apps/v1", "Deployment", "/apis/apps/v1/namespaces/n/deployments/x"),
        ("networking.k8s.io/v1", "NetworkPolicy", "/apis/networking.k8s.io/v1/namespaces/n/networkpolicies/x"),
        ("storage.k8s.io/v1", "StorageClass", "/apis/storage.k8s.io/v1/storageclasses/x"),
        ("scheduling.k8s.io/v1", "PriorityClass", "/apis/scheduling.k8s.io/v1/priorityclasses/x"),
    ],
)
def test_where_objects_are(version: str, kind: str, path: str) -> None:
    assert object_path({"apiVersion": version, "kind": kind, "metadata": {"name": "x", "namespace": "n"}}) == path


def test_another_namespace_than_before_is_told(tmp_path: Path) -> None:
    def backend(namespace: str) -> ClusterBackend:
        return ClusterBackend("kube", None, [], tmp_path / "config", "lab", namespace, "10.0.0.1", "v1.34.4")

    common = {"public_url": "http://x/", "hub_port": 1, "proxy_api_port": 2, "service_port": 3}
    values = {**common, "instance": "0123abcd", "state_dir": tmp_path, "config_dir": tmp_path, "backend": "kube"}
    assert moved(tmp_path, backend("one")) == [], "the first start"
    Settings.model_validate({**values, **backend("one").settings()}).save()
    assert moved(tmp_path, backend("one")) == []
    [said] = moved(tmp_path, backend("two"))
    assert "`kubectl --context lab get pods -n one -l mlabhub/instance=0123abcd`" in said
    assert moved(tmp_path, Backend("process")) == []


@pytest.mark.parametrize(
    ("tls_name", "hub_host", "hosts"),
    [
        ("", "10.0.0.1", ()),
        ("lab.example.org", "10.0.0.1", (("lab.example.org", "10.0.0.1"),)),
        ("lab.example.org", "lab.example.org", ()),
    ],
)
def test_the_name_in_the_certificate_leads_pods_to_this_machine(
    tls_name: str, hub_host: str, hosts: tuple[tuple[str, str], ...]
) -> None:
    assert hosts_of(tls_name, hub_host) == hosts
