"""Tokens of questions that were asked."""

from __future__ import annotations

import pytest

from mlabhub.core.confirm_token import LIFETIME_S, ConfirmTokens

SUBJECT = ("alice", "stop", "alice", "exp")
NOW = 1_800_000_000.0


def test_a_token_is_good_once() -> None:
    tokens = ConfirmTokens()
    token = tokens.make(*SUBJECT, now=NOW)
    assert tokens.redeem(token, *SUBJECT, now=NOW + 5)
    assert not tokens.redeem(token, *SUBJECT, now=NOW + 6)


@pytest.mark.parametrize(
    "subject",
    [
        ("bob", "stop", "alice", "exp"),
        ("alice", "reset", "alice", "exp"),
        ("alice", "stop", "bob", "exp"),
        ("alice", "stop", "alice", ""),
        ("alice", "stop", "alicee", "xp"),
    ],
)
def test_a_token_is_for_one_act_only(subject: tuple[str, ...]) -> None:
    tokens = ConfirmTokens()
    assert not tokens.redeem(tokens.make(*SUBJECT, now=NOW), *subject, now=NOW)


def test_a_token_grows_old() -> None:
    tokens = ConfirmTokens()
    token = tokens.make(*SUBJECT, now=NOW)
    assert not tokens.redeem(token, *SUBJECT, now=NOW + LIFETIME_S + 2)
    assert not tokens.redeem(token, *SUBJECT, now=NOW - 60)


def test_another_process_does_not_know_it() -> None:
    assert not ConfirmTokens().redeem(ConfirmTokens().make(*SUBJECT, now=NOW), *SUBJECT, now=NOW)


@pytest.mark.parametrize("token", ["", ".", "..", "a.b", "a.b.c", "1.2.3.4", "é.ü.ß", "\ud800", "x" * 100_000])
def test_nonsense_is_no_token(token: str) -> None:
    assert not ConfirmTokens().redeem(token, *SUBJECT, now=NOW)


def test_used_tokens_are_forgotten_in_the_end() -> None:
    tokens = ConfirmTokens()
    for second in range(0, 4000, 10):
        assert tokens.redeem(tokens.make(*SUBJECT, now=NOW + second), *SUBJECT, now=NOW + second)
    assert len(tokens._used) <= 2 * LIFETIME_S / 10 + 2
