"""From inside one person's server, nothing of another's and nothing of the hub's can be reached."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.installation import Installation, wait_for

pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True)
class Neighbours:
    """Alice runs things that bob is to find nothing of."""

    hub: Installation
    alice_address: str
    gateway: str

    def as_bob(self, code: str) -> Any:
        """Run code in bob's server that prints one JSON document."""
        printed = self.hub.run_code("bob", code)
        try:
            return json.loads(printed)
        except ValueError:
            raise AssertionError(printed) from None


@pytest.fixture(scope="module")
def neighbours(hub: Installation, people: dict[str, str]) -> Iterator[Neighbours]:
    assert hub.launch("alice", profile="gpu", gpu_type="a100", gpus=1).status_code == 201
    assert hub.launch("bob", profile="cpu").status_code == 201
    hub.wait_ready("alice")
    hub.wait_ready("bob")
    alice, gateway = hub.run_code("alice", _ALICE).split()
    yield Neighbours(hub, alice, gateway)
    hub.stop_server("alice")
    hub.stop_server("bob")


_ALICE = """
import http.server, os, socket, subprocess, sys
open('/mnt/user/alice/secret.txt', 'w').write('of alice')
open('/mnt/share/vision/secret.txt', 'w').write('of vision')
open('/tmp/secret.txt', 'w').write('of alice')
open('/dev/shm/secret', 'w').write('of alice')
quiet = dict(start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
subprocess.Popen([sys.executable, '-m', 'http.server', '7000'], **quiet)
subprocess.Popen(['sleep', '98765'], **quiet)
route = [line.split() for line in open('/proc/net/route')][1]
gateway = socket.inet_ntoa(bytes.fromhex(route[2])[::-1])
print(socket.gethostbyname(socket.gethostname()), gateway)
"""

_CONNECT = """
import json, socket
def reach(host, port):
    try:
        socket.create_connection((host, port), timeout=2).close()
        return True
    except OSError:
        return False
"""


def test_her_files_are_not_there(neighbours: Neighbours) -> None:
    seen = neighbours.as_bob(
        """
import glob, json, os
print(json.dumps({
    'user': os.listdir('/mnt/user'), 'share': os.listdir('/mnt/share'), 'tmp': os.path.exists('/tmp/secret.txt'),
    'shm': os.path.exists('/dev/shm/secret'), 'uid': os.getuid(),
}))"""
    )
    assert seen["user"] == ["bob"]
    assert seen["share"] == ["nlp"]
    assert not seen["tmp"]
    assert not seen["shm"]
    assert seen["uid"] == (neighbours.hub.state / "nas" / "user" / "bob").stat().st_uid


def test_a_read_only_data_set_cannot_be_written_and_a_private_one_is_not_there(neighbours: Neighbours) -> None:
    seen = neighbours.as_bob(
        """
import json, os
def fails(act):
    try:
        act()
    except OSError as error:
        return error.strerror
print(json.dumps({
    'data': os.listdir('/mnt/data'), 'read': open('/mnt/data/open/one').read(),
    'write': fails(lambda: open('/mnt/data/open/one', 'a')), 'make': fails(lambda: os.mkdir('/mnt/data/open/x')),
    'delete': fails(lambda: os.unlink('/mnt/data/open/one')), 'scratch': fails(lambda: open('/mnt/fast/bobs', 'w')),
}))"""
    )
    assert seen.pop("scratch") is None
    refused = "Read-only file system"
    assert seen == {"data": ["open"], "read": "1", "write": refused, "make": refused, "delete": refused}
    hers = neighbours.hub.run_code(
        "alice", "import os; print(sorted(os.listdir('/mnt/data')), open('/mnt/data/xray/one').read())"
    )
    assert hers.strip() == "['open', 'xray'] 1"


def test_a_scratch_disk_is_named_so(neighbours: Neighbours) -> None:
    with neighbours.hub.api("bob") as bob:
        folders = bob.get("services/mlabhub/api/v1/storage").json()["folders"]
    tiers = {one["target"]: (one["tier"], one["read_only"], one["display_name"]) for one in folders}
    assert tiers["/mnt/fast"] == ("scratch", False, "Fast disk")
    assert tiers["/mnt/data/open"] == ("protected", True, "Open data")
    assert "/mnt/data/xray" not in tiers


def test_her_processes_are_not_there(neighbours: Neighbours) -> None:
    lines = neighbours.as_bob(
        """
import glob, json
print(json.dumps([open(f, 'rb').read().decode(errors='replace') for f in glob.glob('/proc/[0-9]*/cmdline')]))"""
    )
    assert any("jupyter" in line for line in lines)
    assert not any("98765" in line or "configurable" in line or "mlabhub.service" in line for line in lines)


def test_her_ports_do_not_answer_and_both_may_use_the_same(neighbours: Neighbours) -> None:
    address = neighbours.alice_address
    seen = neighbours.as_bob(
        f"""{_CONNECT}
import http.server, subprocess, sys, time
quiet = dict(start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
subprocess.Popen([sys.executable, '-m', 'http.server', '7000'], **quiet)
time.sleep(2)
hers = [port for port in (7000, 8888) if reach('{address}', port)]
print(json.dumps({{'hers': hers, 'own': reach('127.0.0.1', 7000)}}))"""
    )
    assert seen == {"hers": [], "own": True}
    inside = neighbours.hub.run_code("alice", f"{_CONNECT}\nprint(json.dumps(reach('{address}', 7000)))")
    assert inside.strip() == "true", "the port that bob cannot reach must be open for the check to mean something"


def test_the_hubs_inner_ports_do_not_answer(neighbours: Neighbours) -> None:
    settings = neighbours.hub.settings
    inner = {name: settings[name] for name in ("hub_port", "proxy_api_port", "service_port")}
    seen = neighbours.as_bob(
        f"""{_CONNECT}
gateway = '{neighbours.gateway}'
route = [line.split() for line in open('/proc/net/route')][1]
own = socket.inet_ntoa(bytes.fromhex(route[2])[::-1])
inner = {inner!r}
print(json.dumps({{
    'public': reach(own, {neighbours.hub.port}),
    'inner': [name for name, port in inner.items() for host in (own, gateway, '127.0.0.1') if reach(host, port)],
    'ssh': reach(own, 22),
}}))"""
    )
    assert seen == {"public": True, "inner": [], "ssh": False}


def test_the_hubs_secrets_and_sockets_are_not_there(neighbours: Neighbours) -> None:
    state = neighbours.hub.state
    seen = neighbours.as_bob(
        f"""
import glob, json, os
places = ['{state}', '{state}/secrets', '/var/lib/mlabhub/secrets', '/var/lib/mlabhub/ledger.sqlite']
places += ['/run/podman/podman.sock', '/var/run/docker.sock', '/run/dbus/system_bus_socket']
print(json.dumps({{
    'places': [place for place in places if os.path.exists(place)],
    'environment': json.dumps(dict(os.environ)),
    'mounts': [line.split()[1] for line in open('/proc/mounts')],
}}))"""
    )
    assert seen["places"] == []
    for name in ("spawner", "service-token", "proxy-token", "supervisor-token", "command-line-token", "cookie"):
        assert (state / "secrets" / name).read_text() not in seen["environment"]
    # What is bound from the machine into the container is bob's own and his group's, and nothing above it.
    mounted = sorted(m for m in seen["mounts"] if m.startswith("/mnt/"))
    assert mounted == ["/mnt/data/open", "/mnt/fast", "/mnt/share/nlp", "/mnt/user/bob"]


def test_no_way_to_more_rights(neighbours: Neighbours) -> None:
    seen = neighbours.as_bob(
        """
import ctypes, json, os, subprocess
status = dict(line.split(':\\t', 1) for line in open('/proc/self/status').read().splitlines() if ':\\t' in line)
def fails(*argv):
    return subprocess.run(argv, capture_output=True).returncode != 0
print(json.dumps({
    'effective': int(status['CapEff'], 16), 'bounding': int(status['CapBnd'], 16), 'no_new_privs': status['NoNewPrivs'],
    'mount': fails('mount', '-t', 'tmpfs', 'x', '/mnt'), 'mknod': fails('mknod', '/tmp/sda', 'b', '8', '0'),
    'sudo': fails('sudo', '-n', 'true'), 'dmesg': fails('dmesg', '-C'),
}))"""
    )
    assert seen["effective"] == 0
    assert seen["bounding"] == 0
    assert seen["no_new_privs"] == "1"
    assert all(seen[name] for name in ("mount", "mknod", "sudo", "dmesg"))


def test_her_token_and_gpu_are_not_his(neighbours: Neighbours) -> None:
    """Bob's own token opens neither alice's server nor the hub's administration; her GPU is not in his container."""
    hub = neighbours.hub
    with hub.api("bob") as bob:
        assert bob.get("user/alice/api/status").status_code == 403
        assert bob.get("hub/api/users/alice").status_code in (403, 404)
        assert bob.delete("hub/api/users/alice/server").status_code in (403, 404)
        assert bob.post("services/mlabhub/api/v1/servers/alice/_/stop").status_code in (403, 404)
        launched = bob.post("services/mlabhub/api/v1/launches", json={"user": "alice", "user_options": {}})
        assert launched.status_code == 403
    seen = neighbours.as_bob("import glob, json, os; print(json.dumps([glob.glob('/dev/mlabgpu*'), dict(os.environ)]))")
    assert seen[0] == []
    assert not any("SIM_GPU" in name for name in seen[1])
    hers = hub.run_code("alice", "import glob; print(glob.glob('/dev/mlabgpu*'))")
    assert hers.strip() == "['/dev/mlabgpu0']"


def test_a_fork_bomb_stays_inside(neighbours: Neighbours) -> None:
    """The process limit answers; the hub and the neighbour do not notice."""
    bomb = """
import os, signal
children, refused = [], False
try:
    while len(children) < 100000:
        pid = os.fork()
        if pid == 0:
            signal.pause()
        children.append(pid)
except OSError:
    refused = True
finally:
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
print('true' if refused else 'false')
"""
    seen = neighbours.as_bob(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {bomb!r}])")
    assert seen is True
    wait_for(lambda: neighbours.hub.server("alice"), 10, "the hub answers")
