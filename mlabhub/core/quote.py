"""Show a value that someone else chose inside one of our sentences.

Guarantees: one line, at most 80 characters, only printable ones, whatever the value is; never an exception.
"""

from __future__ import annotations

from collections.abc import Iterable

MOST = 80


def quote(value: object) -> str:
    """Return ``value`` as JSON and YAML readers know it, cut to 80 characters: ``"alice"``, ``true``, ``-1``."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{_cut(printable(value[: MOST + 1]), MOST - 2)}"'
    if isinstance(value, int) and abs(value) >= 10**MOST:
        return "a number of more than 80 digits"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, dict):
        return "{}" if not value else _cut("{" + ", ".join(quote(key) for key in list(value)[:10]) + ", …}", MOST)
    if isinstance(value, list | tuple | set | frozenset):
        items = [_shallow(item) for item in list(value)[:10]]
        return _cut("[" + ", ".join(items) + (", …]" if len(value) > 10 else "]"), MOST)
    return f"a {printable(type(value).__name__)}"


def plain(text: str) -> str:
    """Return a name without quotation marks, made fit for a line."""
    return _cut(printable(text[: MOST + 1]), MOST)


def quote_all(values: Iterable[str], most: int = 12) -> str:
    """Return names one after the other, ``a, b, c``, the first ``most`` of them; ``-`` when there are none."""
    names = [plain(value) for value in values]
    shown = ", ".join(names[:most])
    return f"{shown}, …" if len(names) > most else shown or "-"


def _shallow(item: object) -> str:
    if isinstance(item, dict):
        return "{…}" if item else "{}"
    if isinstance(item, list | tuple | set | frozenset):
        return "[…]" if item else "[]"
    return quote(item)


def printable(text: str) -> str:
    """Return a text in which every character that cannot be seen, or turns a line around, is a replacement mark."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
