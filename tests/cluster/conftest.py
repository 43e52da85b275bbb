"""What tests on a Kubernetes share. Run them with `make test-cluster`; `setup/test cluster` says how to get a cluster.

    kubeconfig   KUBECONFIG, and the cluster answers; without one a test fails, it is never skipped
    namespace    a fresh one, Pod Security enforced as restricted; deleted afterwards
    narrow       the same, for an account that may do less (`tests.cluster.accounts.account`)
    nas          a folder that this machine and all nodes see under one path (MLABHUB_TEST_NAS)
    site         a running hub (`tests.cluster.site.Site`), one for each module: begin with `site.stop_all()`
    two_nodes    names of two nodes, by the slug of their GPUs' type; for tests of `COUNTS_GPUS`
    tool         stops and restarts a program of the cluster (MLABHUB_TEST_CLUSTER_TOOL)

A test of its own configuration: `site = make_site(tmp_path, nas, kubernetes={...}, files={"profiles.yaml": ...})`, then
`start_site(site)` and at the end `site.close()`. In a site:

    alice = site.add_user("alice", "vision")           # returns the password
    pod = site.start_server("alice", profile="gpu", gpus=1, gpu_type="t4")
    site.run_code("alice", "print(1)")                 # in a kernel of the server
    site.launch("alice", "second", profile="cpu")      # the HTTP answer, for refusals
    site.stop_server("alice"); site.wait_clean()       # no pod, reservation, route is left
    site.reservations(); site.pods(); site.log("hub"); kubectl("get", "events", "-n", site.namespace)
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from mlabhub.inventory.gpus import gpu_type_of
from tests.cluster.accounts import forget
from tests.cluster.kubectl import get, kubectl, try_kubectl
from tests.cluster.site import Site, make_name, make_site, start_site

NO_CLUSTER = (
    "KUBECONFIG names no cluster. `setup/test` says at its top how to get one: kind, k3s, or a lab's own; "
    "then KUBECONFIG=FILE make test-cluster"
)
NAS = os.environ.get("MLABHUB_TEST_NAS", "/var/tmp/mlabhub-test-nas")
TOOL = os.environ.get("MLABHUB_TEST_CLUSTER_TOOL", "")
COUNTS_GPUS = ("test_journey.py", "test_away.py", "test_lost_node.py", "test_gpus_that_somebody_else_takes_in_between")
"""Tests that count on GPUs of the nodes being free, or taken: of those only one runs at a time."""


@dataclass(frozen=True)
class Tool:
    """A program that ends and brings back programs of the cluster, such as kube-apiserver, node2-kubelet."""

    path: str

    def __call__(self, *arguments: str, seconds: float = 120) -> str:
        """Run it with a verb: ``stop NAME [--kill]``, ``restart NAME``, ``load ARCHIVE``, ``status``."""
        done = subprocess.run(
            [self.path, *arguments],
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, f"{self.path} {' '.join(arguments)}: {done.stderr}{done.stdout}"
        return done.stdout


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs a cluster, and what takes the tool needs one that lets its programs be stopped."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.cluster)
            if "tool" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.tool)
                item.add_marker(pytest.mark.alone)


class Groups(LoadScopeScheduling):
    """Which tests run one after the other: those of a module, since they share a site, and those that count GPUs."""

    def _split_scope(self, nodeid: str) -> str:
        """Return a test's group."""
        return "GPUs" if any(part in nodeid for part in COUNTS_GPUS) else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Groups:
    """Return who tells each worker what it runs."""
    return Groups(config, log)


@pytest.fixture(scope="session")
def kubeconfig() -> str:
    """Return KUBECONFIG once the cluster has answered."""
    file = os.environ.get("KUBECONFIG", "")
    assert file, NO_CLUSTER
    assert shutil.which("kubectl"), "these tests look at the cluster with kubectl, which is not on PATH"
    done = try_kubectl("get", "nodes", "--request-timeout=20s")
    assert done.returncode == 0, f"{NO_CLUSTER}\n{done.stderr}"
    return file


@pytest.fixture
def namespace(kubeconfig: str) -> Iterator[str]:
    """Return a fresh namespace that enforces the restricted Pod Security standard."""
    name = make_name("ns")
    kubectl("create", "namespace", name)
    kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def narrow(namespace: str) -> Iterator[str]:
    """Return a namespace for `tests.cluster.accounts.account`, and forget the account afterwards."""
    yield namespace
    forget(namespace)


@pytest.fixture(scope="session")
def nas(kubeconfig: str) -> Path:
    """Return a folder that this machine and all nodes see."""
    folder = Path(NAS)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def two_nodes(kubeconfig: str) -> dict[str, str]:
    """Return the names of nodes with GPUs, by the slug of their GPUs' type. Fails unless there are two types."""
    found: dict[str, str] = {}
    for node in get("nodes"):
        product = node["metadata"]["labels"].get("nvidia.com/gpu.product")
        if product and not node["spec"].get("taints"):
            found.setdefault(gpu_type_of(product), node["metadata"]["name"])
    assert len(found) >= 2, f"needs two nodes with GPUs of two types, labelled nvidia.com/gpu.product; there is {found}"
    return found


@pytest.fixture(scope="session")
def tool(kubeconfig: str) -> Tool:
    """Return what ends programs of the cluster."""
    assert TOOL, "MLABHUB_TEST_CLUSTER_TOOL names no program that stops and restarts programs of the cluster"
    return Tool(TOOL)


@pytest.fixture(scope="module")
def site(kubeconfig: str, nas: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Return a running hub."""
    site = make_site(tmp_path_factory.mktemp("site"), nas)
    start_site(site)
    try:
        yield site
    finally:
        site.close()
