"""A login from a terminal: what may be asked for, where a browser is led, and what a code buys."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from mlabhub.core.terminal_login import (
    CODE_S,
    DAY_S,
    USUAL_S,
    Ask,
    Codes,
    Granted,
    choose_lifetime,
    lifetimes,
    make_challenge,
    make_word,
    read_ask,
)

STATE, VERIFIER = "s" * 43, "v" * 43
GIVEN = {"port": "40123", "state": STATE, "challenge": make_challenge(VERIFIER), "machine": "laptop"}
GRANTED = Granted("alice", "session", "laptop", DAY_S, make_challenge(VERIFIER))


def test_the_challenge_is_the_one_of_the_standard() -> None:
    """RFC 7636, appendix B."""
    assert make_challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk") == (
        "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    )


def test_what_a_command_sends_is_read_and_written_alike() -> None:
    ask = read_ask(GIVEN)
    assert ask == Ask(40123, STATE, make_challenge(VERIFIER), "laptop")
    assert ask.words == GIVEN
    to = urlsplit(ask.answer(code="c&d"))
    assert (to.scheme, to.netloc, to.path) == ("http", "127.0.0.1:40123", "/")
    assert parse_qs(to.query) == {"code": ["c&d"], "state": [STATE]}


@pytest.mark.parametrize(
    "port", ["", "80", "1023", "65536", "99999", "040123", "-5000", "4e4", "٤٠١٢٣", "5000@a.b", "x"]
)
def test_a_port_that_no_command_listens_on(port: str) -> None:
    assert read_ask({**GIVEN, "port": port}) is None


@pytest.mark.parametrize("name", ["state", "challenge"])
@pytest.mark.parametrize("text", ["", "short", STATE[:-1], STATE + "A", STATE[:-1] + "&", STATE[:-1] + "\n"])
def test_a_word_that_is_none(name: str, text: str) -> None:
    assert read_ask({**GIVEN, name: text}) is None


def test_a_machine_has_a_name_that_cannot_deceive() -> None:
    assert read_ask({**GIVEN, "machine": " "}) is None
    ask = read_ask({**GIVEN, "machine": "a\u202eb\n" + "x" * 500})
    assert ask is not None
    assert ask.machine.isprintable()
    assert len(ask.machine) == 80
    assert read_ask(ask.words) == ask


@pytest.mark.parametrize("port", ["1024", "65535"])
def test_the_outermost_ports(port: str) -> None:
    assert read_ask({**GIVEN, "port": port})


def test_a_code_is_good_once() -> None:
    codes = Codes()
    code = codes.make(GRANTED, 100.0)
    assert codes.redeem(code, VERIFIER, 100.0 + CODE_S - 0.1) == GRANTED
    assert codes.redeem(code, VERIFIER, 100.0) is None


def test_a_code_is_good_for_a_minute() -> None:
    codes = Codes()
    code = codes.make(GRANTED, 100.0)
    assert codes.redeem(code, VERIFIER, 100.0 + CODE_S) is None


@pytest.mark.parametrize("verifier", ["", "w" * 43, make_challenge(VERIFIER)])
def test_a_wrong_verifier_uses_the_code_up(verifier: str) -> None:
    codes = Codes()
    code = codes.make(GRANTED, 100.0)
    assert codes.redeem(code, verifier, 101.0) is None
    assert codes.redeem(code, VERIFIER, 101.0) is None


def test_what_was_never_made_buys_nothing() -> None:
    assert Codes().redeem(make_word(), VERIFIER, 0.0) is None


@pytest.mark.parametrize(
    ("typed", "most", "seconds"),
    [
        (str(DAY_S), 0, DAY_S),
        ("", 0, USUAL_S),
        ("1e9", 0, USUAL_S),
        (str(365 * DAY_S), 7 * DAY_S, 7 * DAY_S),
        ("", 3600, 3600),
    ],
)
def test_a_token_is_good_no_longer_than_the_hub_allows(typed: str, most: int, seconds: int) -> None:
    assert choose_lifetime(typed, most) == seconds
    assert seconds in lifetimes(most)
