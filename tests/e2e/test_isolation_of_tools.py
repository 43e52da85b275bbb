"""Two people at once with the same tools: neither reaches the other's, by no address, port, socket or display."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.e2e.place import PREFIX, Place
from tests.e2e.trespass import PORT, SECRET, check_own_proxy, check_pages, check_sockets, check_twists
from tests.installation import Installation, wait_for

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

OPEN = f"""
import os, socket, subprocess, sys
secret = {SECRET!r}
home = os.environ['MLABHUB_HOME']
os.makedirs('/tmp/.X11-unix', exist_ok=True)
for place in (home + '/secret.txt', '/tmp/secret.txt', '/dev/shm/secret'):
    open(place, 'w').write(secret)
code = '''
import http.server, os, socket, threading
def tell(address):
    line = socket.socket(socket.AF_UNIX)
    line.bind(address)
    line.listen()
    while True:
        one = line.accept()[0]
        one.sendall({SECRET!r}.encode())
        one.close()
for address in ("\\\\0/tmp/.X11-unix/X1", "\\\\0/tmp/dbus-secret", "/tmp/.X11-unix/X1", "/tmp/bus"):
    threading.Thread(target=tell, args=(address,)).start()
os.chdir(os.environ["MLABHUB_HOME"])
http.server.test(http.server.SimpleHTTPRequestHandler, http.server.ThreadingHTTPServer, port={PORT})
'''
quiet = dict(start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
subprocess.Popen([sys.executable, '-c', code], **quiet)
print(socket.gethostbyname(socket.gethostname()))
"""
"""What alice runs: a program at a port on all addresses, and sockets as an X server and a bus have them."""

REACH = f"""
import glob, json, os, socket
def hear(family, address):
    with socket.socket(family) as line:
        line.settimeout(1)
        try:
            line.connect(address)
            if family != socket.AF_UNIX:
                line.sendall(b'GET /secret.txt HTTP/1.0\\r\\n\\r\\n')
            return line.recv(4096).decode(errors='replace')
        except OSError:
            return ''
names = ('\\0/tmp/.X11-unix/X1', '\\0/tmp/dbus-secret', '/tmp/.X11-unix/X1', '/tmp/bus')
ports = (22, 80, 3389, 5900, 5901, 6001, 6006, {PORT}, 8080, 8888, 13337)
seen = {{
    'sockets': [name for name in names if hear(socket.AF_UNIX, name)],
    'abstract': [line.split()[-1] for line in open('/proc/net/unix') if 'X11-unix' in line or 'dbus-secret' in line],
    'ports': [port for port in ports for host in HOSTS if hear(socket.AF_INET, (host, port))],
    'files': [place for place in ('/tmp/secret.txt', '/dev/shm/secret', '/mnt/user/alice') if os.path.exists(place)],
    'run': [place for place in glob.glob('/run/*/*') + glob.glob('/tmp/*/*') if 'alice' in place],
}}
print(json.dumps(seen))
"""


@dataclass(frozen=True)
class Two:
    """Alice works; bob tries."""

    hub: Installation
    address: str
    bob_password: str
    tools: list[str]


@pytest.fixture(scope="module")
def two(hub: Installation, people: dict[str, str]) -> Iterator[Two]:
    for name in ("alice", "bob"):
        assert hub.launch(name, profile="cpu").status_code == 201
    for name in ("alice", "bob"):
        hub.wait_ready(name)
    address = hub.run_code("alice", OPEN).strip()
    with hub.api("alice") as alice:
        wait_for(lambda: SECRET in alice.get(f"user/alice/proxy/{PORT}/secret.txt").text, 30, "alice's own program")
        tools = [one["slug"] for one in alice.get("user/alice/mlabhub/api/tools").json()["tools"]]
        for slug in tools:
            alice.post(f"user/alice/mlabhub/api/tools/{slug}", json={"action": "start"})
    yield Two(hub, address, people["bob"], tools)
    hub.stop_server("alice")
    hub.stop_server("bob")


def test_both_have_the_same_tools(two: Two) -> None:
    with two.hub.api("bob") as bob:
        assert [one["slug"] for one in bob.get("user/bob/mlabhub/api/tools").json()["tools"]] == two.tools
    assert "lab" in two.tools


def test_a_neighbours_token_opens_none_of_her_pages_calls_and_websockets(two: Two) -> None:
    with two.hub.api("bob") as bob:
        check_pages(bob, "user/alice/")
        check_twists(bob)
    check_sockets(two.hub.url, "user/alice/", {"Authorization": f"token {two.hub.token('bob')}"})


def test_nor_does_a_neighbours_browser(two: Two) -> None:
    """Led through the hub's login, as a browser is."""
    with two.hub.log_in("bob", two.bob_password) as bob:
        check_pages(bob, "user/alice/")
        cookies = "; ".join(f"{one.name}={one.value}" for one in bob.cookies.jar)
    origin = two.hub.url.rstrip("/")
    check_sockets(two.hub.url, "user/alice/", {"Cookie": cookies, "Origin": origin, "Sec-Fetch-Mode": "websocket"})


def test_nor_who_has_no_login_or_the_servers_own_token_of_another(two: Two) -> None:
    own = two.hub.run_code("bob", "import os; print(os.environ['JUPYTERHUB_API_TOKEN'])").strip()
    for headers in ({"Authorization": f"token {own}"}, {"Authorization": "token 0"}):
        with httpx.Client(base_url=two.hub.url, headers=headers, follow_redirects=True, timeout=60) as stranger:
            for path in ("mlabhub/api/tools", f"proxy/{PORT}/secret.txt", "api/contents"):
                answer = stranger.get(f"user/alice/{path}")
                assert SECRET not in answer.text
                assert answer.status_code in (401, 403, 404) or "hub/login" in str(answer.url)
        check_sockets(two.hub.url, "user/alice/", headers)


def test_ones_own_server_reaches_nobody_for_one(two: Two) -> None:
    settings = two.hub.settings
    inner = [f"{two.address}:{port}" for port in (PORT, 8888, 5901)]
    number = int.from_bytes(bytes(int(part) for part in two.address.split(".")), "big")
    inner += [f"{number}:{PORT}", f"{hex(number)}:{PORT}", f"[::ffff:{two.address}]:{PORT}", f"alice:{PORT}"]
    inner += [
        f"{host}:{settings[name]}" for host in ("10.88.0.1", "10.90.0.1") for name in ("hub_port", "service_port")
    ]
    with two.hub.api("bob") as bob:
        check_own_proxy(bob, "user/bob/", inner)


def test_from_inside_nothing_of_hers_answers(two: Two) -> None:
    hosts = [two.address, "169.254.169.254"]
    seen: dict[str, Any] = json.loads(two.hub.run_code("bob", f"HOSTS = {hosts!r}\n{REACH}"))
    assert seen == {"sockets": [], "abstract": [], "ports": [], "files": [], "run": []}
    hers: dict[str, Any] = json.loads(two.hub.run_code("alice", f"HOSTS = [{two.address!r}]\n{REACH}"))
    assert len(hers["sockets"]) == 4, "what bob cannot reach must be there for the check to mean something"
    assert PORT in hers["ports"]


def test_sockets_of_tools_are_closed_to_other_accounts(two: Two) -> None:
    """Each tool's folder is 0700 and belongs to the person; nothing of a tool listens on TCP."""
    code = """
import json, os, stat
found = {}
for root in (os.environ.get('XDG_RUNTIME_DIR', ''), '/tmp'):
    for folder, _, names in os.walk(root) if root else ():
        for name in names:
            place = os.path.join(folder, name)
            if 'mlabhub' in folder and stat.S_ISSOCK(os.lstat(place).st_mode):
                found[place] = (oct(os.stat(folder).st_mode & 0o777), os.stat(folder).st_uid == os.getuid())
rows = [line.split() for file in ('/proc/net/tcp', '/proc/net/tcp6') for line in open(file) if ' 0A ' in line]
print(json.dumps([found, sorted({int(row[1].rpartition(':')[2], 16) for row in rows})]))
"""
    found, ports = json.loads(two.hub.run_code("alice", code))
    assert all(mode == ["0o700", True] for mode in found.values()), found
    tools_with_sockets = [slug for slug in two.tools if slug in ("vscode", "desktop", "tensorboard")]
    assert len(found) >= len(tools_with_sockets) - 1
    assert not set(ports) & {5900, 5901, 6001, 6006, 8080, 13337}, ports


def test_she_can_work_all_the_while(two: Two) -> None:
    with two.hub.api("alice") as alice:
        assert SECRET in alice.get(f"user/alice/proxy/{PORT}/secret.txt").text
        assert alice.get("user/alice/mlabhub/api/alive").status_code == 204
        findings = alice.get("user/alice/mlabhub/api/doctor").json()["findings"]
    assert not [one for one in findings if one["status"] in ("missing", "better")]
    assert {one["slug"] for one in findings if one["status"] == "ok"} >= {"neighbours", "home", "runtime", "tool-lab"}


def test_plain_processes_keep_logins_apart_too(place: Place) -> None:
    """Nothing else is kept apart there, see `docs/how-to/without-root.md`; what goes through the proxy is."""
    hub = place.hub
    hub.add_user("carol", "nlp")
    for name in ("alice", "carol"):
        assert hub.launch(name, profile="cpu").status_code == 201
    for name in ("alice", "carol"):
        hub.wait_ready(name)
    with hub.api("carol") as carol:
        check_pages(carol, "user/alice/")
        check_twists(carol, PREFIX)
        check_own_proxy(carol, "user/carol/", ())
    check_sockets(hub.url, "user/alice/", {"Authorization": f"token {hub.token('carol')}"})
    for name in ("alice", "carol"):
        hub.stop_server(name)
