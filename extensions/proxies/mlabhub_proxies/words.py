"""Languages of the tools' pages: which one a reader wants, and how a sentence is said in it.

Guarantees: an unknown or malformed wish for a language never fails, it gives English; a sentence without a translation
is said in English; values are inserted as text, so nothing that a person typed is ever read as a template. Translations
are read from ``locale/<language>/LC_MESSAGES/mlabhub_proxies.po`` when the language is first asked for.
"""

from __future__ import annotations

import gettext as gettext_module
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

LOCALE_DIR = Path(__file__).parent / "locale"
DOMAIN = "mlabhub_proxies"
DEFAULT_LANGUAGE = "en"
LANGUAGES = {"en": "English", "zh_CN": "简体中文"}
LANGUAGE_COOKIE = "mlabhub-language"
LANGUAGE_ARGUMENT = "lang"


def N_(template: str) -> str:
    """Mark a template for extraction by Babel without translating it here."""
    return template


@dataclass(frozen=True)
class Said:
    """A sentence that is decided in one place and spoken in any language: a template and the values that go into it.

    A value may be a `Said` itself: ``Said.of(N_("{tool} is starting."), tool=Said.of(tool.title))``.
    """

    template: str
    values: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def of(cls, template: str, /, **values: Any) -> Said:
        """Return the sentence with these values."""
        return cls(template, tuple(values.items()))


class Translator:
    """Says things in one language. Immutable; one per language is enough for all requests."""

    def __init__(self, language: str, translations: gettext_module.NullTranslations) -> None:
        self.language = language
        self._translations = translations

    @property
    def html_lang(self) -> str:
        """The language as HTML wants it: ``zh-CN``."""
        return self.language.replace("_", "-")

    def __call__(self, template: str, /, **values: Any) -> str:
        """Return the sentence; values may be sentences themselves, numbers or text."""
        if not template:
            return ""
        texts = {name: self.say(value) if isinstance(value, Said) else str(value) for name, value in values.items()}
        return self._translations.gettext(template).format_map(texts)

    def say(self, sentence: Said) -> str:
        """Return a sentence in this language."""
        return self(sentence.template, **dict(sentence.values))


def make_words(t: Translator, words: Mapping[str, str], places: tuple[str, ...] = ()) -> dict[str, str]:
    """Return sentences in the reader's language for a script, which fills the places in."""
    kept = {place: f"{{{place}}}" for place in places}
    return {name: t(template, **kept) for name, template in words.items()}


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


@cache
def get_translator(language: str) -> Translator:
    """Return the translator of one of `LANGUAGES`."""
    file = LOCALE_DIR / language / "LC_MESSAGES" / f"{DOMAIN}.po"
    if language not in LANGUAGES or not file.exists():
        return Translator(DEFAULT_LANGUAGE, gettext_module.NullTranslations())
    # Imported here: most servers answer in English, and Babel is large.
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import read_po

    with file.open("rb") as stream:
        catalog = read_po(stream, locale=language)
    compiled = io.BytesIO()
    write_mo(compiled, catalog)
    compiled.seek(0)
    return Translator(language, gettext_module.GNUTranslations(compiled))
