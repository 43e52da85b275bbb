"""A home that lets no server start: safe mode is offered, starts, runs nothing of it, and mends it from inside."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.test_storage import home_of
from tests.full_home import full_home
from tests.installation import Installation, run_in_terminal, wait_for

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
UID = 201_301
API = "services/mlabhub/api/v1"
CONFIG = ".jupyter/jupyter_server_config.py"
MARK = "open('/tmp/ran-{}', 'w').close()\n"
LOOK = """
import glob, json, os, random, sys
print(json.dumps({
    'ran': glob.glob('/tmp/ran-*'), 'path': [one for one in sys.path if one.startswith('/mnt')],
    'safe': os.environ.get('MLABHUB_SAFE'), 'gpus': os.environ.get('MLABHUB_GPUS'),
    'ipython': get_ipython().profile_dir.startup_dir,
}))"""


@pytest.fixture(scope="module")
def hana(hub: Installation) -> Iterator[str]:
    hub.add_user("hana", "vision")
    yield "hana"
    if hub.server("hana"):
        hub.stop_server("hana")


def broken(hub: Installation) -> dict[str, str]:
    """Return start-up files of a home, each of which says that it ran, and ends what runs it."""
    python = ("--entrypoint", "/opt/venv/bin/python", "localhost/mlabhub/base")
    ask = "import sys; print('%d.%d' % sys.version_info[:2])"
    version = hub.podman(
        "run", "--rm", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", *python, "-c", ask
    )
    assert version, "the image has a Python"
    packages = f".local/lib/python{version}/site-packages"
    ends = "raise SystemExit('broken')\n"
    return {
        CONFIG: MARK.format("config") + ends,
        ".jupyter/jupyter_server_config.d/own.json": '{"ServerApp": {"port": "not a number"}}',
        ".bashrc": "touch /tmp/ran-bashrc\nexit 1\n",
        ".profile": "touch /tmp/ran-profile\nexit 1\n",
        ".bash_profile": "touch /tmp/ran-bash-profile\nexit 1\n",
        ".ipython/profile_default/startup/00.py": MARK.format("ipython") + ends,
        f"{packages}/usercustomize.py": MARK.format("usercustomize"),
        f"{packages}/first.pth": "import sys; sys.path.insert(0, '/mnt/user/hana/first')\n",
        "first/tornado.py": MARK.format("tornado") + "raise ImportError('not the tornado that Jupyter needs')\n",
        "random.py": MARK.format("random") + ends,
    }


def view(hub: Installation, name: str) -> dict[str, Any]:
    with hub.api(name) as client:
        servers = client.get(f"{API}/servers").json()["servers"]
    return next((one for one in servers if one["server_name"] == ""), {})


def fails(hub: Installation, name: str) -> dict[str, Any]:
    """Start a server that does not come up; return how it is shown then."""
    answer = hub.launch(name, profile="gpu", gpus=1)
    assert answer.status_code in (201, 409), answer.text
    wait_for(lambda: not hub.server(name) and view(hub, name).get("state") == "stopped", 120, "the start fails")
    return view(hub, name)


def contents(client: httpx.Client, name: str, path: str) -> str:
    return f"user/{name}/api/contents/user/{name}/{path}"


def test_a_home_that_lets_nothing_start_is_mended_in_safe_mode(hub: Installation, hana: str) -> None:
    files = broken(hub)
    with full_home(home_of(hub, hana, UID), UID, files) as home:
        first = fails(hub, hana)
        assert first["safe_mode_offered"] is False, first
        second = fails(hub, hana)
        assert second["safe_mode_offered"] is True, second

        with hub.api(hana) as client:
            answer = client.post(f"{API}/servers/{hana}/_/safe-mode")
            assert answer.status_code == 201, answer.text
            hub.wait_ready(hana)
            seen = view(hub, hana)
            assert (seen["safe"], seen["safe_mode_offered"], seen["gpus"], seen["profile"]) == (True, False, 0, "cpu")
            page = client.get(f"user/{hana}/lab")
            assert page.status_code == 200
            assert "jupyter-config-data" in page.text
            inside = json.loads(hub.run_code(hana, LOOK))
            assert (inside["ran"], inside["path"], inside["safe"], inside["gpus"]) == ([], [], "1", "")
            assert inside["ipython"].startswith("/tmp/mlabhub-safe-")
            said = run_in_terminal(hub, hana, "cd ~ && python -c 'import random' && ls -d /tmp/ran-* ; echo $((6*7))")
            assert "42" in said
            assert "/tmp/ran-" not in said.replace("/tmp/ran-*", "")
            assert "Safe mode: your start-up files are not read" in said
            assert "it is full" in said
            mend(client, hub, hana)
        assert not (home / CONFIG).read_text()
        hub.stop_server(hana)

        assert view(hub, hana)["safe_mode_offered"] is False
        assert hub.launch(hana, profile="cpu").status_code == 201
        hub.wait_ready(hana)
        assert json.loads(hub.run_code(hana, LOOK))["safe"] is None
        assert view(hub, hana)["safe"] is False
        hub.stop_server(hana)


def mend(client: httpx.Client, hub: Installation, name: str) -> None:
    """Make room and mend the configuration in JupyterLab, as its page does; the rest in its terminal."""
    assert client.delete(contents(client, name, "big")).status_code == 204
    path = contents(client, name, CONFIG)
    assert "broken" in client.get(path).json()["content"]
    answer = client.put(path, json={"type": "file", "format": "text", "content": ""})
    assert answer.status_code == 200, answer.text
    rest = "rm -r .bashrc .profile .bash_profile .ipython .local first random.py .jupyter/jupyter_server_config.d"
    assert "done 0" in run_in_terminal(hub, name, f"cd ~ && {rest}; echo done $?")
