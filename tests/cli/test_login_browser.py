"""What listens for the browser: one address, one answer, and only the one that was asked for."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import httpx
import pytest

from mlabhub.cli.login_browser import Answer, Listener, wait
from mlabhub.core.terminal_login import make_word
from mlabhub.errors import NotPermitted

STATE, CODE = make_word(), make_word()


@pytest.fixture
def listener() -> Iterator[Listener]:
    one = Listener(STATE)
    yield one
    one.close()


def call(listener: Listener, path: str = "/", **query: str) -> httpx.Response:
    host = query.pop("host", f"127.0.0.1:{listener.port}")
    url = f"http://127.0.0.1:{listener.port}{path}"
    return httpx.get(url, params=query, headers={"Host": host, "Accept-Language": "en"}, trust_env=False)


def test_the_answer_is_taken_and_said_to_the_browser(listener: Listener) -> None:
    page = call(listener, code=CODE, state=STATE)
    assert page.status_code == 200
    assert "You can close this page" in page.text
    assert CODE not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert wait(listener, 60, typed=False) == Answer(code=CODE)


@pytest.mark.parametrize(
    "query",
    [
        {"code": CODE},
        {"code": CODE, "state": make_word()},
        {"code": CODE, "state": "é"},
        {"state": STATE},
        {"state": STATE, "code": "short"},
        {"error": "denied"},
    ],
    ids=["no state", "another state", "no word", "no code", "no real code", "a no of somebody else"],
)
def test_another_answer_is_refused_and_the_right_one_still_taken(listener: Listener, query: dict[str, str]) -> None:
    page = call(listener, **query)
    assert page.status_code == 400
    assert "not the answer" in page.text
    with pytest.raises(NotPermitted, match="Nobody said yes"):
        wait(listener, 0.05, typed=False)
    call(listener, code=CODE, state=STATE)
    assert wait(listener, 60, typed=False) == Answer(code=CODE)


def test_there_is_one_answer(listener: Listener) -> None:
    call(listener, code=CODE, state=STATE)
    assert call(listener, code=make_word(), state=STATE).status_code == 400
    assert wait(listener, 60, typed=False) == Answer(code=CODE)


@pytest.mark.parametrize(
    ("path", "host"), [("/favicon.ico", ""), ("/a", ""), ("/", "evil.example:1"), ("/", "localhost")]
)
def test_nothing_else_is_answered(listener: Listener, path: str, host: str) -> None:
    more = {"host": host} if host else {}
    assert call(listener, path, code=CODE, state=STATE, **more).status_code == 404
    assert listener.code is None


def test_only_getting_is_answered(listener: Listener) -> None:
    url = f"http://127.0.0.1:{listener.port}/?code={CODE}&state={STATE}"
    assert httpx.post(url, trust_env=False).status_code == 501
    assert listener.code is None


def test_other_machines_do_not_reach_it(listener: Listener) -> None:
    assert listener.socket.getsockname()[0] == "127.0.0.1"


def test_a_no_is_said(listener: Listener) -> None:
    assert "You said no" in call(listener, error="denied", state=STATE).text
    with pytest.raises(NotPermitted, match="You said no"):
        wait(listener, 60, typed=False)


def test_a_browser_that_only_connects_holds_nothing_up(listener: Listener) -> None:
    with contextlib.closing(socket.create_connection(("127.0.0.1", listener.port))):
        call(listener, code=CODE, state=STATE)
        assert wait(listener, 60, typed=False) == Answer(code=CODE)
