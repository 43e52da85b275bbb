"""The cluster's spawner in a real hub on a real cluster: starts and stops, and everything that comes in between them.

The servers are a few lines of Python instead of Jupyter, so that a start takes a second. The hub reaches the cluster by
a line that tests can cut.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from mlabhub.catalog import default_directory
from mlabhub.cluster import labels, reach
from mlabhub.cluster.client import connect
from mlabhub.settings import Settings
from tests.cluster.kubectl import create, get, kubectl, try_kubectl
from tests.cluster.site import REGISTRY, make_name
from tests.cutline import CutLine
from tests.spawners.hub import Hub, make_hub_settings, wait_for
from tests.spawners.service import Book, serve

pytestmark = pytest.mark.asyncio(loop_scope="module")
SPAWNER = "mlabhub.spawners.kube.MLabSpawner"
INSTANCE = "spawner"
POD = f"mlabhub-{INSTANCE}-alice"
SERVER = """
import http.server, os, signal, sys, time
mode = os.environ.get("TEST_MODE")
if mode != "stubborn":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
if mode == "die":
    sys.exit("No module named jupyterlab")
if mode == "silent":
    time.sleep(3600)
if mode == "slow":
    time.sleep(8)
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("X-JupyterHub-Version", "6.1.1")
        self.end_headers()
http.server.ThreadingHTTPServer(("", 8888), Answer).serve_forever()
"""
CONFIG = """
c.JupyterHub.hub_bind_url = "http://0.0.0.0:{port}"
c.Spawner.start_timeout = 150
c.MLabSpawner.answer_timeout = 12
def instead_of_jupyter(spawner, pod):
    pod["spec"]["containers"][0]["command"] = ["python3", "-u", "-c", {server!r}]
    return pod
c.KubeSpawner.modify_pod_hook = instead_of_jupyter
# What a chart's own configuration, or a site's, may try to expand.
c.KubeSpawner.pod_name_template = "{{username}}-{{unescaped_username}}"
c.KubeSpawner.profile_list = [{{"display_name": "S", "slug": "small", "kubespawner_override": {{"image": "evil"}}}}]
c.KubeSpawner.extra_labels = {{"hub.jupyter.org/network-access-hub": "true"}}
"""


@dataclass
class Place:
    """Hub, service and a namespace, and the line between the hub and the cluster."""

    hub: Hub
    book: Book
    namespace: str
    line: CutLine

    def pods(self) -> list[dict[str, Any]]:
        """Return the pods of servers."""
        selector = f"{labels.INSTANCE}={INSTANCE},{labels.PART}={labels.PART_SERVER}"
        return get("pods", self.namespace, "-l", selector)

    def nothing_is_left(self) -> bool:
        """Return whether pods and reservations are gone."""
        return not self.pods() and not set(self.book.held) - set(self.book.released)

    def all_is_given_back(self) -> bool:
        """Return whether nothing is left, and every launch that was asked for was released."""
        asked = {one["launch_id"] for one in self.book.asked}
        return self.nothing_is_left() and asked == set(self.book.released)


def line_to_cluster(folder: Path) -> tuple[CutLine, Path]:
    """Return a line to the API server that the kubeconfig names, and a kubeconfig that leads there."""
    config = json.loads(kubectl("config", "view", "--raw", "--minify", "-o", "json"))
    cluster = config["clusters"][0]["cluster"]
    host, _, port = cluster["server"].removeprefix("https://").partition(":")
    line = CutLine(int(port or 443), host=host)
    cluster["server"] = f"https://127.0.0.1:{line.port}"
    if host != "127.0.0.1":
        cluster.setdefault("tls-server-name", host)
    file = folder / "kubeconfig"
    file.write_text(json.dumps(config))
    return line, file


async def own_address() -> str:
    """Return this machine's address for pods."""
    api = await connect(Path(os.environ["KUBECONFIG"]), "")
    try:
        found = reach.find_own_address(await reach.list_nodes(api))
    finally:
        await api.close()
    assert found is not None
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(kubeconfig: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    state = tmp_path_factory.mktemp("hub")
    namespace = make_name("spawner")
    kubectl("create", "namespace", namespace)
    kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    shutil.copytree(default_directory(), state / "conf")
    (state / "conf" / "kubernetes.yaml").write_text(json.dumps({"registry": REGISTRY} if REGISTRY else {}))
    line, file = line_to_cluster(state)
    usual = Settings(
        instance=INSTANCE,
        state_dir=state,
        config_dir=state / "conf",
        backend="kube",
        public_url="http://localhost/",
        hub_port=1,
        proxy_api_port=2,
        service_port=3,
        kubeconfig=file,
        namespace=namespace,
        hub_host=await own_address(),
    )
    settings = make_hub_settings(usual, state, "kube")
    settings = settings.model_copy(update={"port": settings.hub_port})
    settings.save()
    book = Book(settings, "localhost/mlabhub/base:latest")
    service = serve(book)
    hub = Hub(settings, SPAWNER, CONFIG.format(port=settings.hub_port, server=SERVER))
    yield Place(hub, book, namespace, line)
    await hub.close()
    service.stop()
    line.close()
    kubectl("delete", "namespace", namespace, "--wait=false")


@pytest_asyncio.fixture(loop_scope="module")
async def place(running: Place) -> AsyncIterator[Place]:
    """The place as if it were new."""
    running.line.restore()
    running.book.renew()
    await running.hub.renew()
    yield running
    running.line.restore()
    await running.hub.stop_all()
    kubectl("delete", "resourcequotas", "--all", "-n", running.namespace)
    try_kubectl("delete", "pods", "--all", "-n", running.namespace, "--grace-period=0", "--force", "--wait")


async def test_start_and_stop_and_nothing_is_left(place: Place) -> None:
    answer = await place.hub.spawn({"profile": "small", "launch_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV"})
    assert answer.status_code == 201, answer.text
    [pod] = place.pods()
    assert pod["metadata"]["name"] == POD
    assert pod["metadata"]["labels"][labels.LAUNCH] == "01ARZ3NDEKTSV4RRFFQ69G5FAV"
    assert pod["metadata"]["labels"]["hub.jupyter.org/network-access-hub"] == "true"
    assert "evil" not in json.dumps(pod)
    assert place.book.held == ["01ARZ3NDEKTSV4RRFFQ69G5FAV"]
    assert place.book.placed == [("01ARZ3NDEKTSV4RRFFQ69G5FAV", pod["spec"]["nodeName"])], "the plan said another one"
    assert (await place.hub.stop()).status_code == 204
    assert not place.pods(), "a stop is over when the pod is gone"
    await wait_for(place.all_is_given_back, 10, "nothing left")
    assert place.book.reasons == []


async def test_options_reach_the_service_and_nothing_else(place: Place) -> None:
    reaching = {
        "image": "docker.io/evil",
        "environment": {"EVIL": "1"},
        "volumes": {"x": {"hostPath": {"path": "/"}}},
        "node_selector": {"evil": "yes"},
        "uid": 0,
        "kubespawner_override": {"image": "evil"},
        "profile": "{username}",
    }
    assert (await place.hub.spawn(reaching)).status_code == 201
    [pod] = place.pods()
    assert "evil" not in json.dumps(pod).lower()
    assert pod["spec"]["securityContext"]["runAsUser"] == 200001
    assert place.book.asked[0]["user_options"] == reaching
    assert "no profile_lists" not in place.hub.log
    assert "user_options" not in place.hub.log


async def test_a_server_that_ends_at_once_is_told_with_its_last_words(place: Place) -> None:
    place.book.mode = "die"
    for _ in range(4):  # One more than the hub's limit of failures.
        answer = await place.hub.spawn({})
        assert answer.status_code == 409
        assert "No module named jupyterlab" in answer.json()["message"]
    await wait_for(place.all_is_given_back, 10, "nothing left")
    assert "No module named jupyterlab" in place.book.reasons[0]


async def test_a_server_that_does_not_answer_leaves_no_pod_and_no_reservation(place: Place) -> None:
    place.book.mode = "silent"
    answer = await place.hub.spawn({})
    assert answer.status_code == 409
    assert "did not answer within 12 seconds" in answer.json()["message"]
    await wait_for(place.all_is_given_back, 20, "nothing left")


async def test_a_start_that_is_given_up_by_its_person_leaves_nothing(place: Place) -> None:
    place.book.mode = "silent"
    starting = asyncio.ensure_future(place.hub.spawn({}))
    await wait_for(place.pods, 20, "a pod")
    assert (await place.hub.stop()).status_code in (202, 204)
    await starting
    await wait_for(place.all_is_given_back, 40, "nothing left")


async def _has_none(place: Place) -> bool:
    return await place.hub.server() is None


async def test_what_a_hub_killed_in_a_start_left_behind_gives_way(place: Place) -> None:
    place.book.mode = "stubborn"
    starting = asyncio.ensure_future(place.hub.spawn({}))
    await wait_for(place.pods, 20, "a pod")
    place.hub.kill()
    await asyncio.gather(starting, return_exceptions=True)
    [orphan] = place.pods()
    place.book.mode = ""
    await place.hub.start()
    answer = await place.hub.spawn({})
    assert answer.status_code == 201, answer.text
    [pod] = place.pods()
    assert pod["metadata"]["uid"] != orphan["metadata"]["uid"]
    assert "An earlier server of this name is still ending" in place.hub.log


async def test_a_hub_killed_in_a_stop_ends_with_nothing_left(place: Place) -> None:
    place.book.mode = "stubborn"
    assert (await place.hub.spawn({})).status_code == 201
    stopping = asyncio.ensure_future(place.hub.stop())
    await wait_for(lambda: any(pod["metadata"].get("deletionTimestamp") for pod in place.pods()), 10, "a stop")
    place.hub.kill()
    await asyncio.gather(stopping, return_exceptions=True)
    await place.hub.start()
    await wait_for(place.all_is_given_back, 40, "nothing left")
    await wait_for(lambda: _has_none(place), 20, "no server")


async def test_a_start_waits_for_an_earlier_pod_that_is_still_ending(place: Place) -> None:
    place.book.mode = "stubborn"
    assert (await place.hub.spawn({})).status_code == 201
    deleting = asyncio.create_task(asyncio.to_thread(kubectl, "delete", "pod", POD, "-n", place.namespace))
    await wait_for(lambda: any(pod["metadata"].get("deletionTimestamp") for pod in place.pods()), 10, "an end")
    place.hub.kill()
    for file in place.hub.settings.state_dir.glob("hub.sqlite*"):
        file.unlink()  # A hub that knows nothing of it, as after a restored backup.
    await place.hub.start()
    place.book.mode = ""
    answer = await place.hub.spawn({})
    assert answer.status_code == 201, answer.text
    assert len(place.pods()) == 1
    await deleting


async def test_a_pod_that_does_not_go_is_told_and_its_place_is_kept(place: Place) -> None:
    assert (await place.hub.spawn({})).status_code == 201
    finalizer = json.dumps({"metadata": {"finalizers": ["tests/stuck"]}})
    kubectl("patch", "pod", POD, "-n", place.namespace, "--type=merge", "-p", finalizer)
    await place.hub.stop()
    await wait_for(lambda: "could not be stopped" in place.hub.log, 70, "a stop that failed")
    assert "does not say that it is gone" in place.hub.log
    assert place.book.released == []
    kubectl("patch", "pod", POD, "-n", place.namespace, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')


async def test_a_pod_of_the_name_that_somebody_else_made_is_left_alone(place: Place) -> None:
    closed = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {"name": "x", "image": "registry.invalid/x", "imagePullPolicy": "Never", "securityContext": closed}
    security = {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {"containers": [container], "securityContext": security}
    metadata = {"name": POD, "namespace": place.namespace}
    create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    [theirs] = get("pods", place.namespace)
    began = time.monotonic()
    answer = await place.hub.spawn({})
    assert answer.status_code == 409
    assert "A server of this name is still there" in answer.json()["message"]
    assert f"The pod {POD} was not made by this hub" in place.hub.log
    assert time.monotonic() - began < 20, "it is not tried again and again"
    [left] = get("pods", place.namespace)
    assert (left["metadata"]["uid"], "deletionTimestamp" in left["metadata"]) == (theirs["metadata"]["uid"], False)
    await wait_for(place.all_is_given_back, 10, "nothing of ours")


async def test_a_stop_is_over_when_the_pod_is_gone_also_while_the_watch_is_late(place: Place) -> None:
    place.book.mode = "stubborn"
    place.line.freeze()
    assert (await place.hub.spawn({})).status_code in (201, 202)
    await wait_for(lambda: place.book.held, 60, "a server")
    assert (await place.hub.stop()).status_code in (202, 204)
    await wait_for(lambda: place.book.released, 60, "given back")
    assert not place.pods()


async def test_a_quota_of_the_cluster_refuses_in_words(place: Place) -> None:
    kubectl("create", "quota", "people", "-n", place.namespace, "--hard=requests.memory=128Mi")
    answer = await place.hub.spawn({})
    assert answer.status_code == 409
    said = answer.json()["message"]
    assert "quota people" in said
    assert "requests.memory 0 of 128Mi are taken, and this server needs 256Mi" in said
    await wait_for(place.all_is_given_back, 10, "nothing left")
    kubectl("delete", "quota", "people", "-n", place.namespace)
    assert (await place.hub.spawn({})).status_code == 201


async def test_many_starts_at_once_under_a_quota_all_pass(place: Place) -> None:
    kubectl("create", "quota", "people", "-n", place.namespace, "--hard=pods=50")
    names = [f"s{number}" for number in range(8)]
    answers = await asyncio.gather(*(place.hub.spawn({}, server=name) for name in names))
    assert [answer.status_code for answer in answers] == [201] * len(names)
    await asyncio.gather(*(place.hub.stop(server=name) for name in names))
    await wait_for(place.all_is_given_back, 30, "nothing left")


async def test_a_namespace_that_is_stricter_than_the_profile_refuses_in_words(place: Place) -> None:
    place.book.sudo = True
    answer = await place.hub.spawn({})
    assert answer.status_code == 409
    assert "does not allow" in answer.json()["message"]
    file = place.hub.settings.config_dir / "kubernetes.yaml"
    usual = file.read_text()
    file.write_text(json.dumps({**json.loads(usual), "allow": ["sudo"]}))
    try:
        answer = await place.hub.spawn({})
    finally:
        file.write_text(usual)
    assert answer.status_code == 409
    assert "admits only pods of the Pod Security standard restricted" in answer.json()["message"]
    await wait_for(place.all_is_given_back, 10, "nothing left")


async def test_a_cluster_that_is_away_for_a_minute_in_a_start_and_a_stop(place: Place) -> None:
    assert (await place.hub.spawn({}, user="bob")).status_code == 201
    place.book.mode = "slow"
    starting = asyncio.ensure_future(place.hub.spawn({}))
    await wait_for(lambda: len(place.pods()) == 2, 20, "a second pod")
    place.line.drop()
    stopping = asyncio.ensure_future(place.hub.stop(user="bob"))
    await asyncio.sleep(60)
    place.line.restore()
    answers = await asyncio.gather(starting, stopping)
    assert [answer.is_success for answer in answers] == [True, True], [answer.text for answer in answers]
    await wait_for(lambda: _is_ready(place, "alice"), 60, "a ready server")
    await wait_for(lambda: len(place.pods()) == 1, 60, "one server")
    assert (await place.hub.stop()).status_code == 204
    await wait_for(place.all_is_given_back, 30, "nothing left")
    assert (await place.hub.spawn({})).status_code == 201


async def _is_ready(place: Place, user: str) -> bool:
    server = await place.hub.server(user)
    return bool(server and server["ready"])


async def test_running_servers_stay_while_the_cluster_does_not_answer(place: Place) -> None:
    assert (await place.hub.spawn({})).status_code == 201
    place.line.drop()
    place.hub.kill(signal.SIGTERM)
    await place.hub.start()
    assert await place.hub.server() is not None
    assert "counts as running" in place.hub.log
    place.line.restore()
    assert (await place.hub.stop()).status_code in (202, 204)
    await wait_for(place.all_is_given_back, 30, "nothing left")


async def test_a_watch_that_says_nothing_any_more_is_noticed(place: Place) -> None:
    assert (await place.hub.spawn({}, user="bob")).status_code == 201
    place.line.freeze()
    kubectl("delete", "pod", f"mlabhub-{INSTANCE}-bob", "-n", place.namespace)
    await wait_for(place.all_is_given_back, 60, "given back")
