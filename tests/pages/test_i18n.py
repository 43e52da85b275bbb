"""Languages, and catalogues in step with the code."""

from __future__ import annotations

import string
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from mlabhub.core.reasons import BETWEEN, joined
from mlabhub.i18n import LANGUAGES, choose_language, get_translator, join_sentences, match_language
from mlabhub.locale import TEMPLATE, catalogues, extract, load
from mlabhub.messages import Message


@pytest.mark.parametrize(
    ("argument", "cookie", "accept", "language"),
    [
        pytest.param(None, None, None, "en", id="nothing said"),
        pytest.param("zh_CN", "en", "en", "zh_CN", id="the address first"),
        pytest.param(None, "zh_CN", "en", "zh_CN", id="then the cookie"),
        pytest.param(None, None, "de-DE,zh-CN;q=0.8,en;q=0.7", "zh_CN", id="then the browser's best that we have"),
        pytest.param(None, None, "en;q=0.5,zh;q=0.9", "zh_CN", id="by weight, not by place"),
        pytest.param(None, None, "zh-Hant-TW", "zh_CN", id="a neighbour is nearer than English"),
        pytest.param(None, None, "zh;q=0", "en", id="weight zero means not this"),
        pytest.param("xx", "../../etc", "zh", "zh_CN", id="nonsense is passed over"),
        pytest.param("z" * 9999, None, "," * 9999, "en", id="endless nonsense"),
        pytest.param(None, None, "zh;q=much,en;q=nan", "en", id="weights that are none"),
    ],
)
def test_which_language(argument: str | None, cookie: str | None, accept: str | None, language: str) -> None:
    assert choose_language(argument, cookie, accept) == language


def test_only_known_languages_match() -> None:
    assert [match_language(wish) for wish in ("EN-us", "zh-cn", "de", "", None)] == ["en", "zh_CN", None, None, None]


@pytest.mark.parametrize(
    ("language", "said"),
    [
        pytest.param("en", "No server runs. The queue does not move.", id="a blank between them"),
        pytest.param("zh_CN", "没有运行中的服务器。队列停滞不前。", id="their marks have room of their own"),
    ],
)
def test_sentences_one_after_the_other(language: str, said: str) -> None:
    zh = {"No server runs.": "没有运行中的服务器。", "The queue does not move.": "队列停滞不前。"}
    assert join_sentences(text if language == "en" else zh[text] for text in zh) == said


def test_sentences_of_two_languages_and_none() -> None:
    assert join_sentences(["A description.", "", "可以打开：终端。"]) == "A description. 可以打开：终端。"
    assert join_sentences(["（见说明）", "Then this."]) == "（见说明）Then this."
    assert join_sentences([]) == join_sentences([""]) == ""


def test_a_sentence_with_a_message_inside() -> None:
    zh = get_translator("zh_CN")
    assert zh.say(Message.of("{reason}", reason=Message("Starts now"))) == "可立即启动"
    assert get_translator("en").say(Message.of("{reason}", reason=Message("Starts now"))) == "Starts now"


def test_what_stands_between_messages_is_the_languages_own() -> None:
    parts = [Message("free"), Message("none"), Message("free")]
    said = {
        between: (str(joined(between, parts)), get_translator("zh_CN").say(joined(between, parts)))
        for between in BETWEEN
    }
    assert said == {
        " ": ("free none free", "空闲无空闲"),
        ", ": ("free, none, free", "空闲、无、空闲"),
        "; ": ("free; none; free", "空闲；无；空闲"),
    }
    assert str(joined(" ", [])) == ""


def test_values_are_text_never_templates() -> None:
    assert get_translator("zh_CN")("Stop {server}?", server="{server.__class__} {0} %s") == (
        "停止 {server.__class__} {0} %s？"
    )


def test_an_unknown_sentence_stays_english() -> None:
    assert get_translator("zh_CN")("No such sentence {n}", n=1.5) == "No such sentence 1.5"


def test_numbers_and_times() -> None:
    en, zh = get_translator("en"), get_translator("zh_CN")
    now = datetime(2026, 11, 22, 14, 2, 11, tzinfo=timezone.utc)
    assert (en.number(1234.5), zh.number(2.0)) == ("1,234.5", "2")
    assert en.time(now) == zh.time(now) == "14:02:11"
    assert en.ago(now - timedelta(hours=3), now) == "3 hours ago"
    assert zh.ago(now - timedelta(hours=3), now) == "3小时前"
    assert "2026" in zh.date_time(now)


def test_html_language() -> None:
    assert [get_translator(language).html_lang for language in LANGUAGES] == ["en", "zh-CN"]


def test_the_template_is_in_step_with_the_code() -> None:
    here = {message.id for message in load(TEMPLATE) if message.id}
    there = {message.id for message in extract() if message.id}
    hint = "run `python -m mlabhub.locale`, then translate what came in empty"
    assert (there - here, here - there) == (set(), set()), hint


@pytest.mark.parametrize(("language", "file"), catalogues())
def test_every_sentence_is_translated(language: str, file: Path) -> None:
    """Of pages, of the hub's templates and JavaScript, and of what is logged or told by the API."""
    has = {message.id: message.string for message in load(file, language)}
    wanted = {message.id: message.locations for message in load(TEMPLATE) if message.id}
    assert [(sentence, places) for sentence, places in wanted.items() if not has.get(sentence)] == []


@pytest.mark.parametrize(("language", "file"), catalogues())
def test_translations_say_the_same_values(language: str, file: Path) -> None:
    def values(text: str) -> set[str | None]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}

    wrong = [
        (message.id, message.string)
        for message in load(file, language)
        if message.id and message.string and values(str(message.id)) != values(str(message.string))
    ]
    assert wrong == []


def test_there_is_a_catalogue_for_each_language_but_english() -> None:
    assert {language for language, _ in catalogues()} == set(LANGUAGES) - {"en"}
