"""Which language a reader of the tools' pages gets, and how sentences are put together."""

from __future__ import annotations

import pytest

from mlabhub_proxies.words import Said, choose_language, get_translator


@pytest.mark.parametrize(
    ("argument", "cookie", "accept", "language"),
    [
        (None, None, None, "en"),
        ("zh-CN", "en", "en", "zh_CN"),
        (None, "zh_CN", "en", "zh_CN"),
        (None, None, "fr, zh-Hans-CN;q=0.8, en;q=0.5", "zh_CN"),
        (None, None, "zh;q=0, en", "en"),
        ("../../etc", "\0", "q=nan,;;;,zh;q=inf;q", "en"),
        ("z" * 50, "", ",", "en"),
    ],
)
def test_choice(argument: str | None, cookie: str | None, accept: str | None, language: str) -> None:
    assert choose_language(argument, cookie, accept) == language


def test_values_are_never_templates() -> None:
    t = get_translator("en")
    assert t("{tool} is {state}", tool=Said.of("VS Code"), state="{tool}") == "VS Code is {tool}"
    assert t.say(Said.of("{one}", one=Said.of("{two}", two="<b>"))) == "<b>"
    assert t("") == ""
    assert get_translator("xx").language == "en"
