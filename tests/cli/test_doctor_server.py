"""`mlabhub doctor SERVER` before it asks anything: names, addresses, and what a browser takes for secure."""

from __future__ import annotations

import asyncio

import pytest

from mlabhub.cli.doctor_probes import Target, is_secure
from mlabhub.cli.doctor_server import Hub, ask, check_url, split_server
from mlabhub.errors import InvalidConfiguration, Unavailable

HUB = Hub("http://127.0.0.1:9/hub/api/", "http://127.0.0.1:9/", "x", here=True)


@pytest.mark.parametrize(
    ("url", "secure"),
    [
        ("https://lab.example.org/user/alice/", True),
        ("http://localhost:8000/", True),
        ("http://alice.localhost/", True),
        ("http://127.0.0.1:8000/", True),
        ("http://127.9.9.9/", True),
        ("http://[::1]:8000/", True),
        ("http://lab.example.org/", False),
        ("http://10.1.2.3/", False),
        ("http://localhost.example.org/", False),
    ],
)
def test_what_a_browser_takes_for_a_secure_context(url: str, secure: bool) -> None:
    assert is_secure(url) is secure


@pytest.mark.parametrize(
    ("server", "owner", "name"),
    [("alice/", "alice", ""), ("alice/train", "alice", "train"), ("a@b.org/My_work", "a@b.org", "My_work")],
)
def test_a_server_of_somebody(server: str, owner: str, name: str) -> None:
    assert split_server(server, HUB) == (owner, name)


@pytest.mark.parametrize("server", ["", "/", "/x", "a/b/c", "//"])
def test_what_is_no_server(server: str) -> None:
    with pytest.raises(InvalidConfiguration, match="is no server"):
        split_server(server, HUB)


def test_no_hub_to_ask_whose_it_is() -> None:
    with pytest.raises(Unavailable, match="Start it with `mlabhub up`"):
        split_server("train", HUB)


@pytest.mark.parametrize(
    "url", ["", "lab.example.org", "ftp://lab/", "http://", "http://lab:99999/", "http://lab/?a=b"]
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(InvalidConfiguration, match="no address of a hub"):
        check_url(url)


def test_nobody_answers() -> None:
    with pytest.raises(Unavailable, match="--url names another one"):
        asyncio.run(ask(Target("http://127.0.0.1:9/user/alice/", "x", None)))
