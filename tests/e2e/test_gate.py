"""One gate for launch page, REST body, query and admin: whatever is typed, a sentence, and nothing is left behind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.installation import Installation, wait_for

pytestmark = pytest.mark.timeout(300)

HOSTILE: dict[str, dict[str, Any]] = {
    "unknown profile": {"profile": "nope"},
    "unknown key": {"profile": "cpu", "colour": "red"},
    "unknown choice": {"profile": "cpu", "image": "docker.io/evil/image:latest"},
    "another group's payer": {"profile": "cpu", "group": "nlp"},
    "negative": {"profile": "cpu", "cpu": -1},
    "huge": {"profile": "cpu", "cpu": 10**400},
    "huge float": {"profile": "cpu", "memory_gib": 1e308},
    "string for a number": {"profile": "cpu", "cpu": "1"},
    "bool for a number": {"profile": "gpu", "gpus": True},
    "list for a profile": {"profile": ["cpu"]},
    "null": {"profile": None, "cpu": {}},
    "trait cmd": {"profile": "cpu", "cmd": ["sh"]},
    "trait environment": {"profile": "cpu", "environment": {"LD_PRELOAD": "/x"}},
    "trait volumes": {"profile": "cpu", "volumes": {"/": "/host"}},
    "option is a variable": {"profile": "cpu", "options": {"NVIDIA_VISIBLE_DEVICES": "all"}},
    "option is another variable": {"profile": "cpu", "options": {"CUDA_VISIBLE_DEVICES": "0"}},
    "option with a template": {"profile": "cpu", "options": {"{workers}": 4}},
    "option as text": {"profile": "cpu", "options": {"workers": "4"}},
    "option true": {"profile": "cpu", "options": {"workers": True}},
    "option look-alike": {"profile": "cpu", "options": {"wоrkers": 4}},
    "choice with a newline": {"profile": "cpu", "options": {"precision": "fp32\nLD_PRELOAD=/x"}},
    "choice as an object": {"profile": "cpu", "options": {"precision": {"environment": {"LD_PRELOAD": "/x"}}}},
    "slug look-alike": {"profile": "cpu", "image": "bаse"},
    "slug in upper case": {"profile": "cpu", "image": "Base"},
    "image of another port": {"profile": "cpu", "image": "master0:5001/eflops/x:1"},
    "image with a digest cut off": {"profile": "cpu", "image": "master0:5000/eflops/x@sha256:0123"},
    "image with a newline": {"profile": "cpu", "image": "master0:5000/eflops/x:1\n"},
    "image in upper case": {"profile": "cpu", "image": "master0:5000/eflops/X"},
    "image in unicode": {"profile": "cpu", "image": "master0:5000/eflорs/x"},
    "image by traversal": {"profile": "cpu", "image": "master0:5000/eflops/../secret"},
    "image with an account": {"profile": "cpu", "image": "master0:5000@evil.example/eflops/x"},
    "image that others saved": {"profile": "cpu", "image": "localhost/mlabhub-saved/cafe0123/bob:base"},
    "saved image of another": {"profile": "cpu", "image": "saved/../bob"},
    "nested": {"profile": "cpu", "options": {"workers": [[[[[[[[4]]]]]]]]}},
    "template": {"profile": "{username}"},
    "markup": {"profile": "<script>alert(1)</script>"},
    "newline": {"profile": "cpu\ncpu"},
    "long": {"profile": "x" * 100_000},
    "forged launch_id": {"profile": "cpu", "launch_id": "01J00000000000000000000000"},
    "malformed launch_id": {"profile": "cpu", "launch_id": "../../etc/passwd"},
    "more GPUs than any machine": {"profile": "gpu", "gpus": 400},
}


@pytest.fixture(scope="module")
def alice(hub: Installation, people: dict[str, str]) -> Iterator[httpx.Client]:
    with hub.api("alice") as client:
        yield client
    _nothing_left(hub)


def _nothing_left(hub: Installation) -> None:
    wait_for(lambda: not hub.reservations(), 40, f"no reservation: {hub.reservations()}")
    assert hub.containers(running=False) == {}


def _is_a_sentence(text: str) -> None:
    assert len(text) > 20, text
    assert " " in text
    assert text.rstrip().endswith((".", ")", "?")), text
    assert "Traceback" not in text
    assert "Error(" not in text


@pytest.mark.parametrize("options", HOSTILE.values(), ids=HOSTILE)
def test_rest_body_of_the_service(alice: httpx.Client, options: dict[str, Any]) -> None:
    answer = alice.post("services/mlabhub/api/v1/launches", content=json.dumps({"user_options": options}))
    assert 400 <= answer.status_code < 500, answer.text
    _is_a_sentence(answer.json()["error"]["message"])


@pytest.mark.parametrize("options", HOSTILE.values(), ids=HOSTILE)
def test_rest_body_of_the_hub_and_its_replay(alice: httpx.Client, hub: Installation, options: dict[str, Any]) -> None:
    """The hub stores what it was sent before it asks: an empty POST brings the same options again, to the same gate."""
    for body in ({"user_options": options}, None):
        content = json.dumps(body) if body else ""
        answer = alice.post("hub/api/users/alice/server", content=content)
        assert 400 <= answer.status_code < 500, f"{body}: {answer.status_code} {answer.text}"
        _is_a_sentence(answer.json()["message"])
    assert hub.containers(running=False) == {}


@pytest.mark.parametrize("body", [b'{"user_options": {"cpu": NaN}}', b"[1]", b"{", b"\xff", b'"x"', b"[" * 100_000])
def test_malformed_bodies(alice: httpx.Client, body: bytes) -> None:
    answer = alice.post("services/mlabhub/api/v1/launches", content=body)
    assert 400 <= answer.status_code < 500, answer.text
    _is_a_sentence(answer.json()["error"]["message"])


def test_ten_megabytes(alice: httpx.Client, hub: Installation) -> None:
    body = b'{"user_options": {"profile": "' + b"x" * 10_000_000 + b'"}}'
    answer = alice.post("services/mlabhub/api/v1/launches", content=body)
    assert answer.status_code == 413
    answer = alice.post("hub/api/users/alice/server", content=body)
    assert 400 <= answer.status_code < 500


def test_query_spawns_go_through_the_gate(hub: Installation, people: dict[str, str]) -> None:
    with hub.log_in("alice", people["alice"]) as session:
        answer = session.get("hub/spawn/alice", params={"opt-profile": "nope"})
        assert "nope" in answer.text
        assert "Traceback" not in answer.text
        answer = session.get("hub/spawn", params={"opt-profile": "<script>alert(1)</script>"})
        assert "<script>alert(1)" not in answer.text
    assert hub.containers(running=False) == {}


def test_a_used_launch_id_is_refused(hub: Installation, alice: httpx.Client) -> None:
    answer = hub.launch("alice", profile="cpu", options={"workers": 8})
    launch_id = answer.json()["launch_id"]
    hub.wait_ready("alice")
    (container,) = hub.containers()
    inside = hub.podman("exec", container, "env").splitlines()
    assert {"NUM_WORKERS=8", "PRECISION=fp32"} <= set(inside)  # what was chosen, and what is the option's default
    hub.stop_server("alice")
    replayed = alice.post(
        "hub/api/users/alice/server", json={"user_options": {"profile": "cpu", "launch_id": launch_id}}
    )
    assert replayed.status_code in (403, 409, 422), replayed.text
    assert launch_id in replayed.json()["message"]
    stolen = hub.launch("bob", profile="cpu")
    hub.wait_ready("bob")
    forged = alice.post(
        "hub/api/users/alice/server",
        json={"user_options": {"profile": "cpu", "launch_id": stolen.json()["launch_id"]}},
    )
    assert 400 <= forged.status_code < 500, forged.text
    hub.stop_server("bob")


def test_an_admins_empty_start_repeats_valid_options_afresh(hub: Installation, alice: httpx.Client) -> None:
    """The admin page's Start sends no body: the last options that worked are admitted again, as a launch of its own."""
    assert hub.launch("alice", profile="gpu", gpus=2).status_code == 201
    hub.wait_ready("alice")
    hub.stop_server("alice")
    wait_for(lambda: not hub.reservations(), 30, "released")
    admin, _ = hub.first_admin()
    with hub.api(admin) as client:
        answer = client.post("hub/api/users/alice/server")
        assert answer.status_code in (201, 202), answer.text
    hub.wait_ready("alice")
    (row,) = hub.reservations()
    assert row["gpus"] == 2 or len(row["gpus"]) == 2
    hub.stop_server("alice")


def test_refusal_names_who_holds_what(hub: Installation, alice: httpx.Client) -> None:
    """Beyond what is there: numbers, names, and no count toward the hub's failure limit however often."""
    assert hub.launch("alice", profile="gpu", gpu_type="a100", gpus=4).status_code == 201
    hub.wait_ready("alice")
    with hub.api("bob") as bob:
        for _ in range(7):
            answer = bob.post("hub/api/users/bob/server", json={"user_options": {"profile": "gpu", "gpu_type": "a100"}})
            assert 400 <= answer.status_code < 500
            assert "A100" in answer.json()["message"]
    assert httpx.get(f"{hub.url}hub/login").status_code == 200
    hub.stop_server("alice")


def test_five_bad_starts_do_not_stop_the_hub(hub: Installation, alice: httpx.Client) -> None:
    log = hub.state / "log" / "hub.log"
    before = log.stat().st_size
    for _ in range(12):
        alice.post("hub/api/users/alice/server", json={"user_options": {"profile": "nope"}})
    assert alice.get("hub/api/").status_code == 200
    assert "Traceback" not in log.read_text()[before:]
