"""Sentences that are decided in one place and spoken in any language.

Guarantees: a `Message` is a value (hashable, comparable); building one never fails because of what a user typed; the
values are inserted as text, never as templates, so ``{}`` in a name stays ``{}``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


def N_(template: str) -> str:
    """Mark a template for extraction by Babel without translating it here."""
    return template


@dataclass(frozen=True)
class Message:
    """A template in English and the values that go into it; a value may itself be a `Message`."""

    template: str
    values: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def of(cls, template: str, values: Mapping[str, Any] | None = None, /, **more: Any) -> Message:
        """Build a message: ``Message.of(N_("{group} holds {used} of {limit}"), group="vision", used=6, limit=6)``."""
        return cls(template, tuple({**(values or {}), **more}.items()))

    def translate(self, gettext: Callable[[str], str]) -> str:
        """Return the sentence in the language of ``gettext``."""
        texts = {name: _text(value, gettext) for name, value in self.values}
        return gettext(self.template).format_map(texts)

    def __str__(self) -> str:
        return self.translate(lambda template: template)


def _text(value: Any, gettext: Callable[[str], str]) -> str:
    if isinstance(value, Message):
        return value.translate(gettext)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)
