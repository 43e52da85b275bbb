"""What people try from inside of their servers and by what they send, on a real cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mlabhub.errors import MLabError
from tests.cluster.kubectl import get, kubectl
from tests.cluster.probe import __file__ as PROBE_FILE
from tests.cluster.site import Site
from tests.e2e.trespass import check_own_proxy, check_pages, check_twists
from tests.installation import wait_for
from tests.spawners.hostile import CLAIMS, NAS, make_objects

pytestmark = pytest.mark.timeout(300)

PROBE = Path(PROBE_FILE).read_text().partition("\nif __name__")[0]
SERVER, ODD = 8888, 7000
SECRET = "of-alice-only"

PEOPLE = (
    *("alice", "user-a", "user", "{username}", "{}", "{0.__class__}", "$(PATH)", "$$(PATH)", "%s", "../../etc", ".."),
    *("A", "a" * 255, "-", "---", "alice---x", "Ä", "李雷", "ａ", "o'neill", 'say "hi"', "a b", "a\tb", "a\nb: c", "#"),
    *("mlabhub/part=airlock", "a,b=c", "!!python/object", "\u202eecila", "null", "true", "0x10", "1e5", "~", "*", "&a"),
)
SERVERS = ("", "b", "a-b", "{servername}", "x" * 200, "../x")
GROUPS = ("vision", "{username}", "../..", "a/b", "研究", "x" * 200)


def test_the_cluster_takes_every_name(namespace: str) -> None:
    """Real admission, the restricted standard too, for every kind of profile and both kinds of volumes."""
    objects: list[dict[str, Any]] = []
    refused: list[str] = []
    for number, user in enumerate(PEOPLE):
        server, spec = SERVERS[number % len(SERVERS)], (NAS, CLAIMS)[number % 2]
        profile = ("cpu", "gpu", "board")[number % 3]
        try:
            pod, claims = make_objects(
                user,
                server,
                groups=GROUPS[number % len(GROUPS) :],
                options={"profile": profile},
                display_name=user,
                spec=spec,
                namespace=namespace,
            )
        except MLabError as error:
            refused.append(str(error))
            continue
        objects += [
            pod,
            *({**one.manifest, "metadata": {**one.manifest["metadata"], "namespace": namespace}} for one in claims),
        ]
    assert len(refused) < len(PEOPLE) / 2, refused
    once = {(one["kind"], one["metadata"]["name"]): one for one in objects}
    whole = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(once.values())})
    said = kubectl("create", "--dry-run=server", "-f", "-", stdin=whole)
    assert said.count("created (server dry run)") == len(once)


@dataclass(frozen=True)
class Neighbours:
    """Alice runs things that bob is to reach nothing of."""

    site: Site
    alice: str
    password: str
    """Of alice's account."""
    nodes: dict[str, str]
    api: str

    @property
    def machine(self) -> str:
        host: str = self.site.settings["hub_host"]
        return host

    def look(self, name: str, questions: dict[str, list[Any]], seconds: float = 60) -> dict[str, Any]:
        """Return what somebody sees from inside of their server."""
        printed = self.site.run_code(name, f"{PROBE}\nprint(json.dumps(look({questions!r})))", seconds=seconds)
        try:
            answers: dict[str, Any] = json.loads(printed)
        except ValueError:
            raise AssertionError(printed) from None
        return answers


@pytest.fixture(scope="module")
def neighbours(site: Site) -> Iterator[Neighbours]:
    passwords = {}
    for name, group in (("alice", "vision"), ("bob", "nlp")):
        passwords[name] = site.add_user(name, group)
        assert site.launch(name, profile="cpu").status_code == 201
    for name in ("alice", "bob"):
        site.wait_ready(name)
    started = f"""
import pathlib, subprocess, sys
pathlib.Path('/tmp/www').mkdir(exist_ok=True)
pathlib.Path('/tmp/www/secret.txt').write_text('{SECRET}')
quiet = dict(start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
subprocess.Popen([sys.executable, '-m', 'http.server', '{ODD}', '--directory', '/tmp/www'], **quiet)
"""
    site.run_code("alice", started)
    pod = site.pod("alice")
    assert pod is not None
    nodes = {
        node["metadata"]["name"]: entry["address"]
        for node in get("nodes")
        for entry in node["status"].get("addresses", ())  # a made-up node of another test has none
        if entry["type"] == "InternalIP"
    }
    (api,) = (one for one in get("services", "default") if one["metadata"]["name"] == "kubernetes")
    yield Neighbours(site, pod["status"]["podIP"], passwords["alice"], nodes, api["spec"]["clusterIP"])
    site.stop_all()


def api_endpoints() -> list[tuple[str, int]]:
    return [
        (address, port["port"])
        for one in get("endpointslices", "default", "-l", "kubernetes.io/service-name=kubernetes")
        for endpoint in one["endpoints"]
        for address in endpoint["addresses"]
        for port in one["ports"]
    ]


def test_from_a_server_nothing_inner_answers(neighbours: Neighbours) -> None:
    settings = neighbours.site.settings
    own = {"odd": ["reach", neighbours.alice, ODD], "server": ["reach", neighbours.alice, SERVER]}
    wait_for(lambda: all(neighbours.look("alice", own).values()), 20, "alice's own ports answer herself")
    inner = {name: settings[name] for name in ("hub_port", "proxy_api_port", "service_port")}
    questions: dict[str, list[Any]] = {
        **{f"alice's {name}": question for name, question in own.items()},
        **{name: ["reach", neighbours.machine, port] for name, port in inner.items()},
        **{f"API {address}": ["reach", address, port] for address, port in api_endpoints()},
        "API service": ["reach", neighbours.api, 443],
        "API by name": ["reach", "kubernetes.default.svc.cluster.local", 443],
        "metadata": ["reach", "169.254.169.254", 80],
        "ssh": ["reach", neighbours.machine, 22],
    }
    for name, address in neighbours.nodes.items():
        questions |= {f"kubelet of {name}": ["reach", address, 10250], f"ssh of {name}": ["reach", address, 22]}
    seen = neighbours.look("bob", questions)
    assert {name: answer for name, answer in seen.items() if answer} == {}
    works = {
        "DNS": ["resolve", "kubernetes.default.svc.cluster.local."],
        "hub": ["reach", neighbours.machine, neighbours.site.port],
    }
    assert neighbours.look("bob", works) == {"DNS": True, "hub": True}


def test_no_port_of_hers_answers(neighbours: Neighbours) -> None:
    own = {"odd": ["reach", neighbours.alice, ODD], "server": ["reach", neighbours.alice, SERVER]}
    assert neighbours.look("alice", own) == {"odd": True, "server": True}
    assert neighbours.look("bob", {"hers": ["scan", neighbours.alice]}, 120) == {"hers": []}


def test_his_server_reaches_none_for_him(neighbours: Neighbours) -> None:
    """By ``/proxy/`` neither, however an address is written."""
    hosts = [
        f"{neighbours.alice}:{SERVER}",
        f"{neighbours.alice}:{ODD}",
        f"{neighbours.api}:443",
        "kubernetes.default.svc:443",
    ]
    hosts += [f"{address}:{port}" for address, port in api_endpoints()]
    hosts += [f"{address}:10250" for address in neighbours.nodes.values()]
    hosts += [f"{neighbours.machine}:{neighbours.site.settings['service_port']}"]
    with neighbours.site.api("bob") as bob:
        check_own_proxy(bob, "user/bob/", hosts)
        check_pages(bob, "user/alice/")
        check_twists(bob)


def test_the_token_of_his_server_is_no_key(neighbours: Neighbours) -> None:
    """Neither to her server, nor to the hub's and the service's API beyond what is his."""
    site = neighbours.site
    token = site.run_code("bob", "import os; print(os.environ['JUPYTERHUB_API_TOKEN'])").strip()
    assert len(token) >= 32
    with site.api("bob") as session:
        session.headers["Authorization"] = f"token {token}"
        assert session.get("user/alice/api/contents").status_code == 403
        assert session.get("hub/api/users/alice").status_code in (403, 404)
        assert session.get("hub/api/users").status_code == 403
        assert session.delete("hub/api/users/alice/server").status_code in (403, 404)
        assert session.post("hub/api/users/bob/servers/more", json={}).status_code in (403, 404)
        assert session.post("hub/api/users/alice/servers/more", json={}).status_code in (403, 404)
        assert session.post("hub/api/users/bob/tokens", json={}).status_code in (403, 404)
        base = "services/mlabhub/api/v1"
        for path, body in (
            (f"{base}/servers/alice/_/stop", {}),
            (f"{base}/launches", {"user": "alice", "user_options": {}}),
            (f"{base}/launches", {"user_options": {}}),
            (f"{base}/reservations/alice/_/held", {"launch_id": "0" * 26}),
            (f"{base}/reservations/alice/_/placed", {"launch_id": "0" * 26, "node": "node1"}),
            (f"{base}/reservations/bob/_/released", {"launch_id": "0" * 26}),
        ):
            assert session.post(path, json=body).status_code in (401, 403, 404), path
        assert session.put(f"{base}/reservations/bob/x", json={}).status_code in (401, 403, 404)
    assert site.server("alice"), "hers runs on"
    assert len(site.pods()) == 2


ATTEMPTS: dict[str, dict[str, Any]] = {
    "volumes": {"volumes": [{"name": "x", "hostPath": {"path": "/"}}]},
    "environment": {"environment": {"NVIDIA_VISIBLE_DEVICES": "all"}},
    "node": {"node_selector": {"kubernetes.io/hostname": "node1"}},
    "ids": {"uid": 0, "fs_gid": 0, "run_as_uid": 0},
    "overrides": {"kubespawner_override": {"privileged": True}},
    "image of the form": {"profile": "cpu", "image--unlisted-choice": "evil"},
    "image": {"profile": "cpu", "image": "registry.example.org/evil:1"},
    "claims": {"profile": "cpu", "mounts": [{"share": "home", "target": "/data/x", "claim": "nas"}]},
    "egress": {"profile": "cpu", "egress": "open"},
    "service account": {"service_account": "default"},
    "somebody's folder": {"profile": "cpu", "mounts": [{"share": "home", "target": "/data/x", "subfolder": "../bob"}]},
    "no object": {"": ""},
    "account": {"profile": "cpu", "options": {"MLABHUB_UID": "0"}},
}


@pytest.mark.parametrize("options", ATTEMPTS.values(), ids=ATTEMPTS.keys())
def test_no_option_leads_around_the_plan(neighbours: Neighbours, options: dict[str, Any]) -> None:
    """By the hub's REST API, by options that are stored there before the start, by the service's, by the hub's form."""
    site = neighbours.site
    before = set(site.pods())
    hub = "hub/api/users/alice/servers"
    with site.api("alice") as alice:
        answers = [
            alice.post(f"{hub}/sly", json=options),
            alice.post("services/mlabhub/api/v1/launches", json={"server_name": "sly", "user_options": options}),
        ]
        stored = {"display_name": "later", "user_options": options}
        assert alice.put(f"{hub}/later", json=stored).status_code == 201
        answers.append(alice.post(f"{hub}/later"))
        assert alice.patch(f"{hub}/later", json={"user_options": options}).status_code == 200
        answers.append(alice.post(f"{hub}/later"))
        assert alice.request("DELETE", f"{hub}/later", json={"remove": True}).status_code == 204
    for answer in answers:
        assert 400 <= answer.status_code < 500, answer.text
        assert "Traceback" not in answer.text
        assert answer.json()["error" if "error" in answer.json() else "message"]
    form = {name: one if isinstance(one, str) else json.dumps(one) for name, one in options.items()}
    with site.log_in("alice", neighbours.password) as browser:
        xsrf = {"X-XSRFToken": str(browser.cookies.get("_xsrf", path="/hub/"))}
        page = browser.post("hub/spawn/alice/sly", data=form, headers=xsrf)
    assert 400 <= page.status_code < 500, page.text
    assert "Traceback" not in page.text
    assert "spawn-error-msg" in page.text, "refused by the gate, with a sentence"
    assert set(site.pods()) == before
    assert not [one for one in site.reservations() if one["server_name"] in ("sly", "later")]


def test_there_is_nothing_of_the_cluster_in_a_server(neighbours: Neighbours) -> None:
    """No service account, no address of a service, no other person's folder, no way to more rights."""
    seen = json.loads(
        neighbours.site.run_code(
            "bob",
            """
import json, os
status = dict(line.split(':\\t', 1) for line in open('/proc/self/status').read().splitlines() if ':\\t' in line)
print(json.dumps({
    'account': os.path.exists('/var/run/secrets/kubernetes.io'),
    'services': [name for name in os.environ if name.endswith('_SERVICE_HOST')],
    'folders': sorted(line.split()[1] for line in open('/proc/mounts') if line.split()[1].startswith('/mnt/')),
    'rights': [status[name] for name in ('CapEff', 'CapBnd', 'NoNewPrivs', 'Seccomp')],
    'uid': os.getuid(), 'gpus': os.environ['NVIDIA_VISIBLE_DEVICES'],
}))""",
        )
    )
    assert seen.pop("uid") >= 1000
    assert seen == {
        "account": False,
        "services": ["KUBERNETES_SERVICE_HOST"],  # the kubelet gives it to every pod
        "folders": ["/mnt/share/nlp", "/mnt/user/bob"],
        "rights": ["0" * 16, "0" * 16, "1", "2"],
        "gpus": "void",
    }
