"""Mounts at places of one's choice, and homes that are full, in a real server."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.full_home import full_home
from tests.installation import Installation

UID = 201234
LOOK = """
import json, os
def fails(act):
    try:
        act()
    except OSError as error:
        return error.strerror
print(json.dumps({
    'data': os.listdir('/mnt/work/data'), 'mine': os.listdir('/mnt/work/mine'),
    'write': fails(lambda: open('/mnt/work/data/x', 'w')), 'tightened': fails(lambda: open('/mnt/work/mine/x', 'w')),
}))"""


@pytest.fixture(scope="module")
def gina(hub: Installation) -> Iterator[str]:
    hub.add_user("gina", "vision")
    yield "gina"
    if hub.server("gina"):
        hub.stop_server("gina")


def home_of(hub: Installation, name: str, uid: int = UID) -> Path:
    """Return somebody's home on this machine, made for them."""
    home = hub.state / "nas" / "user" / name
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.chown(home, uid, uid)
    return home


def mount(**values: object) -> dict[str, object]:
    return {"share": "xray", "subfolder": "train", "target": "/mnt/work/data", **values}


def refusal(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    message: str = answer.json()["error"]["message"]
    return message


def test_somebody_mounts_what_is_theirs_where_they_want_it_and_works_with_a_full_home(
    hub: Installation, gina: str
) -> None:
    assert "is mounted already" in refusal(hub.launch(gina, mounts=[mount(), mount()]), 422)
    assert "read_only cannot be false" in refusal(hub.launch(gina, mounts=[mount(read_only=False)]), 403)
    assert "Nothing can be mounted at" in refusal(hub.launch(gina, mounts=[mount(target="/etc/x")]), 422)
    assert "does not let you mount" in refusal(hub.launch(gina, profile="gpu", mounts=[mount()]), 403)
    with full_home(home_of(hub, gina), UID):
        own = {"share": "user", "target": "/mnt/work/mine", "read_only": True}
        assert hub.launch(gina, profile="cpu", mounts=[mount(), own]).status_code == 201
        hub.wait_ready(gina)
        seen = json.loads(hub.run_code(gina, LOOK))
        refused = "Read-only file system"
        assert seen == {"data": [], "mine": ["big"], "write": refused, "tightened": refused}
        with hub.api(gina) as client:
            folders = client.get("services/mlabhub/api/v1/storage").json()["folders"]
            assert [one["full"] for one in folders if one["share"] == "user"] == [True]
            [server] = client.get("services/mlabhub/api/v1/servers").json()["servers"]
            assert "Without /mnt/data/away: " in server["notes"][0]
            assert client.delete(f"user/{gina}/api/contents/user/{gina}/big").status_code == 204
        hub.stop_server(gina)


def test_what_was_asked_for_and_is_away_is_a_sentence(hub: Installation, gina: str) -> None:
    answer = hub.launch(gina, profile="cpu", mounts=[mount(subfolder="gone")])
    sentence = 'The subfolder "gone" of "xray" cannot be mounted: it is not there.'
    assert sentence in refusal(answer, 409), "the hub waits a little for a start that fails at once"
    assert not hub.server(gina)
