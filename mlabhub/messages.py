"""Sentences that are decided in one place and spoken in any language.

Guarantees: a `Message` is a value (hashable, comparable); building one never fails because of what a user typed; the
values are inserted as text, never as templates, so ``{}`` in a name stays ``{}``. One that came through `read_message`
can be spoken, and is short.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Any

LONGEST = 2000
"""How many characters a message from elsewhere may have."""
DEEPEST = 8
"""How many messages may be in one another, with the outermost."""


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


def message_json(message: Message) -> dict[str, Any]:
    """Return a message as JSON that `message_of` understands, so that it can be spoken in any language later."""
    return {"text": message.template, "values": {name: _value_json(value) for name, value in message.values}}


def message_of(data: Mapping[str, Any]) -> Message:
    """Return the message that `message_json` wrote."""
    return Message(data["text"], tuple((name, _value_of(value)) for name, value in data["values"].items()))


def read_message(data: Any) -> Message:
    """Return the message in JSON that came from elsewhere. Raises `ValueError` if it is wrong or long."""
    message = _read(data, DEEPEST)
    if len(str(message)) > LONGEST:
        raise ValueError(f"a sentence has at most {LONGEST} characters")
    return message


def _read(data: Any, levels: int) -> Message:
    if not isinstance(data, dict) or set(data) != {"text", "values"} or not levels:
        raise ValueError(f"a sentence has text and values and nothing else, and {DEEPEST - 1} others below it at most")
    text, given = data["text"], data["values"]
    if not isinstance(text, str) or len(text) > LONGEST or not isinstance(given, dict):
        raise ValueError(f"a sentence's text has at most {LONGEST} characters, and its values are an object")
    names = _names(text)
    values = {name: value for name, value in given.items() if name in names}
    if len(values) != len(names):
        raise ValueError("a sentence has a value for each of its names, which it says once")
    plain = (str, int, float)
    return Message.of(
        text, {name: value if isinstance(value, plain) else _read(value, levels - 1) for name, value in values.items()}
    )


def _names(template: str) -> list[str]:
    names = []
    for _, name, how, conversion in Formatter().parse(template):
        if name is not None:
            if how or conversion or not name.isidentifier():
                raise ValueError("a sentence's values are inserted as they are, by name")
            names.append(name)
    return names


def _value_json(value: Any) -> Any:
    if isinstance(value, Message):
        return message_json(value)
    return value if isinstance(value, (str, int, float)) else str(value)


def _value_of(value: Any) -> Any:
    return message_of(value) if isinstance(value, dict) else value
