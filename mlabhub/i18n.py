"""Languages: which one a reader wants, and how sentences, amounts and times are said in it.

Guarantees: an unknown or malformed wish for a language never fails, it gives English; a sentence without a translation
is said in English; values are inserted as text, so nothing that a person typed is ever read as a template.
Translations are read from ``locale/<language>/LC_MESSAGES/mlabhub.po`` when the language is first asked for: there is
nothing to compile and nothing to install.
"""

from __future__ import annotations

import gettext as gettext_module
import io
import unicodedata
from collections.abc import Iterable
from datetime import date, datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from babel import Locale
from babel.dates import format_date, format_datetime, format_skeleton, format_time, format_timedelta
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal

from mlabhub.messages import N_, Message

LOCALE_DIR = Path(__file__).parent / "locale"
DOMAIN = "mlabhub"
DEFAULT_LANGUAGE = "en"
# Each under the name that its own readers look for.
LANGUAGES = {"en": "English", "zh_CN": "简体中文"}
LANGUAGE_COOKIE = "mlabhub-language"
LANGUAGE_ARGUMENT = "lang"

__all__ = ["LANGUAGES", "N_", "Translator", "choose_language", "get_translator", "join_sentences", "match_language"]


def match_language(wish: str | None) -> str | None:
    """Return the language we have that answers a tag such as ``zh-Hans-CN``, or None."""
    if not wish or len(wish) > 40:
        return None
    wanted = wish.strip().replace("-", "_").lower()
    for language in LANGUAGES:
        if wanted == language.lower():
            return language
    primary = wanted.split("_")[0]
    return next((language for language in LANGUAGES if language.lower().split("_")[0] == primary), None)


def choose_language(argument: str | None, cookie: str | None, accept: str | None) -> str:
    """Return the language of an answer: the address says it, else the cookie, else the browser, else English."""
    for wish in (argument, cookie, *_by_preference(accept or "")):
        if language := match_language(wish):
            return language
    return DEFAULT_LANGUAGE


def _by_preference(accept: str) -> Iterable[str]:
    """Return the tags of an ``Accept-Language`` header, best first."""
    weighted = []
    for place, part in enumerate(accept[:400].split(",")):
        tag, _, parameter = part.partition(";")
        try:
            weight = float(parameter.strip().removeprefix("q=")) if parameter.strip() else 1.0
        except ValueError:
            continue
        if weight > 0:
            weighted.append((-weight, place, tag.strip()))
    return [tag for _, _, tag in sorted(weighted)]


class Translator:
    """Says things in one language. Immutable; one per language is enough for all requests."""

    def __init__(self, language: str, translations: gettext_module.NullTranslations) -> None:
        self.language = language
        self.locale = Locale.parse(language)
        self._translations = translations

    @property
    def html_lang(self) -> str:
        """The language as HTML wants it: ``zh-CN``."""
        return self.language.replace("_", "-")

    def gettext(self, template: str) -> str:
        """Return the translated template, values not yet inserted."""
        return self._translations.gettext(template) if template else ""

    def __call__(self, template: str, /, **values: Any) -> str:
        """Return the sentence; values may be messages, numbers or text."""
        return Message.of(template, {name: self._value(value) for name, value in values.items()}).translate(
            self.gettext
        )

    def say(self, message: Message | str) -> str:
        """Return a message of any part of the product in this language."""
        return message.translate(self.gettext) if isinstance(message, Message) else self.gettext(message)

    def number(self, value: float) -> str:
        """Return a number with at most two decimals."""
        return _number(value, self.locale)

    def time(self, when: datetime) -> str:
        """Return the time of day with seconds: ``14:02:11``."""
        return str(format_time(when, "HH:mm:ss", locale=self.locale))

    def moment(self, when: datetime, now: datetime) -> str:
        """Return the time of day to the minute, ``14:02``; of another day with the date, too."""
        return _moment(_fields(when), when.date() == now.date(), self.locale)

    def day(self, when: date) -> str:
        """Return a day: ``Nov 27, 2026``."""
        return str(format_date(when, "medium", locale=self.locale))

    def short_day(self, when: date) -> str:
        """Return a day without its year: ``Nov 27``."""
        return str(format_skeleton("MMMd", datetime(when.year, when.month, when.day), locale=self.locale))

    def date_time(self, when: datetime) -> str:
        """Return date and time to the minute."""
        return _date_time(_fields(when), self.locale)

    def ago(self, when: datetime, now: datetime) -> str:
        """Return how long ago that was: ``3 hours ago``."""
        return str(format_timedelta(when - now, add_direction=True, locale=self.locale))

    def _value(self, value: Any) -> Any:
        return self.number(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


# Pages say the same few numbers and times over and over, and to lay one out takes longer than all else about a line of
# a table. Times are asked for by the fields that are shown: moments are equal whatever zone they are told in.
@lru_cache(maxsize=20_000, typed=True)
def _number(value: float, locale: Locale) -> str:
    return str(format_decimal(value, format="#,##0.##", locale=locale))


@lru_cache(maxsize=20_000)
def _moment(fields: datetime, today: bool, locale: Locale) -> str:
    clock = str(format_time(fields, "HH:mm", locale=locale))
    return clock if today else f"{format_skeleton('MMMd', fields, locale=locale)} {clock}"


@lru_cache(maxsize=20_000)
def _date_time(fields: datetime, locale: Locale) -> str:
    return str(format_datetime(fields, "medium", locale=locale))


def _fields(when: datetime) -> datetime:
    return when.replace(tzinfo=None)


def join_sentences(parts: Iterable[str]) -> str:
    """Return what there is of some sentences that are said already, one after the other.

    There is a blank between two of them, unless the first ends in a mark that has room of its own, as those of Chinese
    do. Sentences that are not said yet become one by `mlabhub.core.reasons.sentences`.
    """
    text = ""
    for part in filter(None, parts):
        text += part if not text or _has_room(text[-1]) else f" {part}"
    return text


def _has_room(mark: str) -> bool:
    return unicodedata.category(mark).startswith("P") and unicodedata.east_asian_width(mark) in ("F", "W")


@cache
def get_translator(language: str) -> Translator:
    """Return the translator of one of `LANGUAGES`."""
    file = LOCALE_DIR / language / "LC_MESSAGES" / f"{DOMAIN}.po"
    if language not in LANGUAGES or not file.exists():
        return Translator(DEFAULT_LANGUAGE, gettext_module.NullTranslations())
    with file.open("rb") as stream:
        catalog = read_po(stream, locale=language)
    compiled = io.BytesIO()
    write_mo(compiled, catalog)
    compiled.seek(0)
    return Translator(language, gettext_module.GNUTranslations(compiled))
