"""Which language a reader of the tools' pages gets, how sentences are put together, and whether all are translated."""

from __future__ import annotations

import string
from pathlib import Path

import pytest

from mlabhub_proxies.locale import TEMPLATE, catalogues, extract, load
from mlabhub_proxies.words import LANGUAGES, Said, choose_language, get_translator


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


def test_a_sentence_is_said_in_chinese_with_a_sentence_inside() -> None:
    t = get_translator("zh_CN")
    assert (t.html_lang, t("{tool} is starting.", tool=Said.of("Desktop"))) == ("zh-CN", "桌面 正在启动。")


def test_the_template_is_in_step_with_the_code() -> None:
    here = {message.id for message in load(TEMPLATE) if message.id}
    there = {message.id for message in extract() if message.id}
    hint = "run `python -m mlabhub_proxies.locale`, then translate what came in empty"
    assert (there - here, here - there) == (set(), set()), hint


def test_there_is_a_catalogue_for_each_language_but_english() -> None:
    assert {language for language, _ in catalogues()} == set(LANGUAGES) - {"en"}


@pytest.mark.parametrize(("language", "file"), catalogues())
def test_every_sentence_is_translated(language: str, file: Path) -> None:
    has = {message.id: message.string for message in load(file, language)}
    assert [message.id for message in load(TEMPLATE) if message.id and not has.get(message.id)] == []


@pytest.mark.parametrize(("language", "file"), catalogues())
def test_translations_say_the_same_values(language: str, file: Path) -> None:
    def values(text: str) -> set[str | None]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}

    wrong = [
        (message.id, message.string)
        for message in load(file, language)
        if message.id and values(str(message.id)) != values(str(message.string))
    ]
    assert wrong == []
