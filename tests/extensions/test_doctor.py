"""The doctor of a real server, through nginx as the documentation has it, and through nginx with its usual mistakes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from mlabhub.cli.doctor_probes import Target, look
from mlabhub_proxies.doctor.inside import is_alone, who_reaches_ports
from tests.extensions.server import BASE_URL, NAVIGATION, TOKEN, JupyterServer
from tests.full_home import full_home
from tests.nginx import NAME, run_nginx

Findings = dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def doctored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """Run a server to look at."""
    one = JupyterServer(
        tmp_path_factory.mktemp("doctored"), offer={"dies": ["say=Out of luck", "exit=3"], "absent": []}
    )
    yield one
    one.close()


def ask(url: str, *, language: str = "en", tls: ssl.SSLContext | None = None, **more: Any) -> Findings:
    """Do what `mlabhub doctor SERVER` does, and return its findings by slug."""
    target = Target(url, TOKEN, tls)
    seen = asyncio.run(look(target)) | more
    headers = {**target.headers, "Accept-Language": language}
    with httpx.Client(base_url=url, headers=headers, verify=tls or False, timeout=20) as client:
        answer = client.post("mlabhub/api/doctor", json={"seen": seen})
    assert answer.status_code == 200, answer.text
    return {one["slug"]: one for one in answer.json()["findings"]}


def wrong(findings: Findings) -> dict[str, str]:
    """Return what needs a hand."""
    return {slug: one["status"] for slug, one in findings.items() if one["status"] in ("missing", "better")}


@contextlib.contextmanager
def behind(server: JupyterServer, folder: Path, **more: Any) -> Iterator[str]:
    """Run nginx in front of a server, by http so that no name has to be looked up; give the server's address there."""
    with run_nginx(folder, server.port, tls=False, **more) as nginx:
        yield f"{nginx.origin}{BASE_URL}"


def test_nothing_is_wrong_with_the_documented_configuration(doctored: JupyterServer, tmp_path: Path) -> None:
    with behind(doctored, tmp_path) as url:
        findings = ask(url)
    assert set(wrong(findings)) <= {"neighbours"}
    assert findings["vnc"]["status"] in ("ok", "info")
    ok = {slug for slug, one in findings.items() if one["status"] == "ok"}
    assert ok >= {
        *("secure-context", "base-path", "host", "protocol", "websockets", "streams", "upload", "headers", "paths"),
        *("ports", "service-worker", "clock", "home", "runtime", "tool-lab"),
    }
    assert findings["tool-absent"]["found"] == "The image of this server does not have it."


def test_a_short_answer_starts_no_program(doctored: JupyterServer) -> None:
    seen = {"address": f"{doctored.url}mlabhub/doctor", "secure": True, "upload": {"ok": True, "said": "2 MiB"}}
    with doctored.client() as client:
        answer = client.post("mlabhub/api/doctor", json={"seen": seen, "short": True})
    slugs = {one["slug"] for one in answer.json()["findings"]}
    assert ("vnc" in slugs, {"upload", "home", "runtime"} <= slugs) == (False, True)


MISTAKES: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "no Upgrade": (
        {"changes": {"        proxy_set_header Upgrade $http_upgrade;\n": ""}},
        {"websockets": "proxy_set_header Upgrade $http_upgrade;"},
    ),
    "HTTP/1.0": (
        {"changes": {"        proxy_http_version 1.1;\n": ""}},
        {"websockets": "proxy_http_version 1.1;"},
    ),
    "no Host": (
        {"changes": {"        proxy_set_header Host $http_host;\n": ""}},
        {"host": "proxy_set_header Host $http_host;"},
    ),
    "a Host without its port": ({"changes": {"Host $http_host": "Host $host"}}, {"host": "with its port"}),
    "collecting and packing": (
        {"changes": {"proxy_buffering off;": "gzip on; gzip_proxied any; gzip_types text/event-stream;"}},
        {"streams": "proxy_buffering off;"},
    ),
    "small bodies": ({"changes": {"        client_max_body_size 0;\n": ""}}, {"upload": "client_max_body_size 0;"}),
    "small headers": ({"buffers": "4 1k"}, {"headers": "large_client_header_buffers 4 16k;"}),
    "no ports": ({"more": "location ~ /proxy/ { return 403; }"}, {"ports": "pass on all"}),
    "a script blocked": ({"more": "location ~ worker.js { return 403; }"}, {"service-worker": "Let .js files"}),
    "a script of another type": (
        {"more": "location ~ worker.js { default_type text/plain; return 200 x; }"},
        {"service-worker": "with their Content-Type"},
    ),
    "a wrong protocol": (
        {"changes": {"X-Forwarded-Proto $scheme": "X-Forwarded-Proto https"}},
        {"protocol": "proxy_set_header X-Forwarded-Proto $scheme;"},
    ),
    "a path tidied up": (
        {"changes": {"proxy_pass http": "rewrite ^(.*)$ $1 break; proxy_pass http"}},
        {"paths": "`proxy_pass` without a path"},
    ),
    "no websockets at all": (
        {"more": "location ~ /echo$ { return 502; }"},
        {"websockets": "Over https most let them pass."},
    ),
}


@pytest.mark.long
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_of_nginx_is_named_with_what_mends_it(doctored: JupyterServer, tmp_path: Path, mistake: str) -> None:
    change, expected = MISTAKES[mistake]
    with behind(doctored, tmp_path, **change) as url:
        findings = ask(url)
    assert set(wrong(findings)) - {"neighbours"} == set(expected)
    for slug, words in expected.items():
        assert words in findings[slug]["fix"], findings[slug]


@pytest.mark.long
def test_a_path_that_a_proxy_cuts_off(doctored: JupyterServer, tmp_path: Path) -> None:
    with run_nginx(
        tmp_path, doctored.port, tls=False, path="/lab/", changes={f"{doctored.port};": f"{doctored.port}/;"}
    ) as nginx:
        findings = ask(f"{nginx.origin}/lab{BASE_URL}")
    assert "`--base-url /lab/`" in findings["base-path"]["fix"]
    assert findings["base-path"]["status"] == "missing"


@pytest.mark.long
def test_plain_http_under_another_name_than_localhost(doctored: JupyterServer) -> None:
    """As a browser in another room has it."""
    address = f"http://{NAME}:{doctored.port}{BASE_URL}mlabhub/doctor"
    findings = ask(doctored.url, secure=False, address=address, worker={"ok": False})
    assert "--tls-cert" in findings["secure-context"]["fix"]
    assert findings["secure-context"]["status"] == "missing"
    assert findings["service-worker"]["status"] == "info"
    assert findings["host"]["status"] == "missing"


@pytest.mark.long
@pytest.mark.parametrize("ahead", [-3600.0, 3600.0])
def test_a_clock_that_is_wrong(doctored: JupyterServer, ahead: float) -> None:
    clock = ask(doctored.url, clock=ahead)["clock"]
    assert clock["status"] == "better"
    assert "3600 seconds apart" in clock["found"]
    assert "timedatectl" in clock["fix"]


SPEAK = """
import socket, sys
line = socket.socket(socket.AF_UNIX)
line.bind(sys.argv[sys.argv.index("-rfbunixpath") + 1])
line.listen()
while True:
    one = line.accept()[0]
    try:
        one.sendall({greeting!r})
    except OSError:
        pass
"""
VNC = {
    "works": (SPEAK.format(greeting=b"RFB 003.008\n"), "ok", "speaks RFB 003.008"),
    "dies": ("raise SystemExit('no screens found')", "missing", "has ended with status 1. no screens found"),
    "hangs": ("import time; time.sleep(60)", "missing", "did not answer within 8 s"),
    "is another": (SPEAK.format(greeting=b"SSH-2.0-x\r\n"), "missing", "does not speak VNC"),
}


@pytest.mark.long
@pytest.mark.parametrize("kind", VNC)
def test_the_vnc_server_of_the_image(tmp_path: Path, kind: str) -> None:
    """A program stands in for the one of the image: it starts, dies, hangs or is another; nothing of it is left."""
    code, status, words = VNC[kind]
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "Xtigervnc"
    program.write_text(f"#!/usr/bin/env python3\n{code}\n")
    program.chmod(0o755)
    server = JupyterServer(tmp_path / "s", environ={"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"})
    try:
        with server.client() as client:
            found = {one["slug"]: one for one in client.get("mlabhub/api/doctor").json()["findings"]}["vnc"]
        assert found["status"] == status, found
        assert words in found["found"]
        assert (status == "ok") == (found["fix"] == "")
        assert not [one for one in psutil.process_iter(["cmdline"]) if str(program) in (one.info["cmdline"] or [])]
    finally:
        server.close()


@pytest.mark.long
@pytest.mark.engine
def test_a_full_home(tmp_path: Path) -> None:
    server = JupyterServer(tmp_path, offer={})
    try:
        with full_home(server.home, os.geteuid()), server.client() as client:
            found = {one["slug"]: one for one in client.get("mlabhub/api/doctor").json()["findings"]}["home"]
        assert found["status"] == "missing"
        assert "No space left on device" in found["found"]
        assert "du -sh" in found["fix"]
    finally:
        server.close()


@pytest.mark.long
@pytest.mark.engine
def test_no_room_for_the_tools_sockets(tmp_path: Path) -> None:
    server = JupyterServer(tmp_path, offer={})
    try:
        with full_home(server.runtime, os.geteuid()), server.client() as client:
            found = {one["slug"]: one for one in client.get("mlabhub/api/doctor").json()["findings"]}["runtime"]
        assert found["status"] == "missing"
        assert "No space left on device" in found["found"]
        assert "No tool starts without it" in found["fix"]
    finally:
        server.close()


@pytest.mark.parametrize(
    ("environ", "status"),
    [({"MLABHUB_HOME": "/mnt/user/alice"}, "ok"), ({"MLABHUB_HOME": "/x", "MLABHUB_INSTANCE": "1"}, "better")],
    ids=["container", "plain process"],
)
def test_who_reaches_ports(environ: dict[str, str], status: str) -> None:
    assert who_reaches_ports(is_alone(environ)).status == status


def test_a_tool_that_failed_is_named_and_a_report_has_no_secret(doctored: JupyterServer) -> None:
    with doctored.client() as client:
        client.get("dies/")
        assert "/user/alice/mlabhub/doctor" in client.get("dies/", headers=NAVIGATION).text
        answer = client.get("mlabhub/api/doctor")
    findings = {one["slug"]: one for one in answer.json()["findings"]}
    assert findings["tool-dies"]["status"] == "missing"
    assert findings["tool-dies"]["fix"] == "Look into the log, then try again."
    assert TOKEN not in answer.text


PATHS = ["", "/time/x", "/stream", "/headers", "/worker/worker.js", "/echo"]


@pytest.mark.parametrize("path", PATHS)
def test_nobody_looks_without_a_login(doctored: JupyterServer, path: str) -> None:
    with doctored.stranger() as stranger:
        assert stranger.get(f"mlabhub/api/doctor{path}").status_code == 403
        upgrade = {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": "x",
            "Sec-WebSocket-Version": "13",
        }
        assert stranger.get(f"mlabhub/api/doctor{path}", headers=upgrade).status_code == 403
        assert stranger.get("mlabhub/doctor", headers=NAVIGATION).status_code == 302


@pytest.mark.parametrize("path", ["", "/upload", "/port"])
def test_no_other_page_posts(doctored: JupyterServer, path: str) -> None:
    with doctored.stranger() as stranger:
        assert stranger.post(f"mlabhub/api/doctor{path}", content=b"{}").status_code == 403


ADDRESS = "http://127.0.0.1/user/alice/mlabhub/doctor"
HOSTILE: list[Any] = [
    None,
    [],
    "x",
    {},
    {"address": "javascript:alert(1)"},
    {"address": "http://"},
    {"address": "http://[::1"},
    {"address": 5},
    {"address": ADDRESS, "clock": True},
    {"address": ADDRESS, "clock": "1"},
    {"address": ADDRESS, "stream": [1]},
    {"address": ADDRESS, "stream": [1, "2"]},
    {"address": ADDRESS, "upload": {"status": -1}},
    {"address": ADDRESS, "upload": {"status": 1e9}},
    {"address": ADDRESS, "upload": []},
    {"address": ADDRESS, "trial": {}},
]


@pytest.mark.parametrize("seen", HOSTILE, ids=str)
def test_what_no_client_sees_is_refused_in_words(doctored: JupyterServer, seen: Any) -> None:
    with doctored.client() as client:
        answer = client.post("mlabhub/api/doctor", json={"seen": seen})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("This is not what a doctor sees")


def test_what_a_client_says_is_cut_short_and_shown_as_text(doctored: JupyterServer) -> None:
    said = "<script>\x1b[31m\u202e{origin}{0.__class__}" + "x" * 10_000
    seen = {"address": ADDRESS, "secure": True, "worker": {"ok": False, "said": said}}
    with doctored.client() as client:
        answer = client.post("mlabhub/api/doctor", json={"seen": seen})
    [found] = [one["found"] for one in answer.json()["findings"] if one["slug"] == "service-worker"]
    assert "<script> [31m {origin}{0.__class__}" in found
    assert len(found) < 500
