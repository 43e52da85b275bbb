"""Faults of the configuration folder, as ``FILE:LINE: key.path: what is wrong, what would be right``.

Guarantees: one line per fault, whatever stands in the file; the text says what would be right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_core import ErrorDetails

from mlabhub.core.choices import LIST, NUMBER, NumberVariable
from mlabhub.core.options import NumberOption
from mlabhub.core.quote import plain, quote
from mlabhub.core.schema import FAULT
from mlabhub.errors import InvalidConfiguration
from mlabhub.messages import N_, Message

KeyPath = tuple[str | int, ...]
SECRET = object()
"""In place of a value that is not to be repeated."""
_NOT_KEYS = frozenset({"[key]", NUMBER, LIST})


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong. ``line`` counts from 1, which also stands for the file as a whole."""

    file: Path
    line: int
    path: KeyPath
    message: Message

    @property
    def line_text(self) -> Message:
        """The fault in one line, to be said in any language."""
        file = str(self.file) if str(self.file).isprintable() else plain(str(self.file))
        place = f"{file}:{self.line}: {key_path(self.path)}" if self.path else f"{file}:{self.line}"
        return Message.of("{place}: {message}", place=place, message=self.message)

    def __str__(self) -> str:
        return str(self.line_text)

    def to_dict(self) -> dict[str, Any]:
        """Return the fault as JSON types."""
        return {
            "file": str(self.file),
            "line": self.line,
            "path": key_path(self.path),
            "message": str(self.message),
        }


class InvalidCatalog(InvalidConfiguration):
    """The configuration folder has faults: its text lists all of them, one a line."""

    def __init__(self, directory: Path, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        message = Message.of(
            N_("The configuration in {directory} cannot be used; faults: {count}.\n{faults}"),
            directory=directory,
            count=len(faults),
            faults="\n".join(str(fault) for fault in faults),
        )
        super().__init__(message, faults=[fault.to_dict() for fault in faults])


def key_path(path: KeyPath) -> str:
    """Print a path of keys: ``profiles.gpu.images[1]``."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            shown = key if key and key.isprintable() and len(key) <= 80 else quote(key)
            text += f".{shown}" if text else shown
    return text


def clean_path(location: Sequence[str | int]) -> KeyPath:
    """Return the keys of a place in a file: what a validator adds to tell its own parts apart is left out."""
    return tuple(key for key in location if key not in _NOT_KEYS)


def read_error(error: ErrorDetails, *, secret: bool = False) -> list[tuple[KeyPath, Message]]:
    """Turn one of pydantic's errors into paths and sentences of ours. A ``secret`` value is not repeated."""
    path = clean_path(error["loc"])
    if error["type"] == FAULT:
        return [((*path, *fault.at), fault.message) for fault in error["ctx"]["faults"]]
    value = SECRET if secret else error["input"]
    return [(path, _describe(error["type"], error.get("ctx", {}), value, str(error["msg"])))]


_NOUNS = {
    "float_type": N_("a number, such as 2 or 0.5"),
    "int_type": N_("a whole number"),
    "int_from_float": N_("a whole number"),
    "string_type": N_("text; put it in quotes if it looks like a number"),
    "bool_type": N_("true or false"),
    "dict_type": N_("a mapping of keys to values"),
    "model_type": N_("a mapping of keys to values"),
    "model_attributes_type": N_("a mapping of keys to values"),
    "tuple_type": N_("a list, such as [a, b]"),
    "list_type": N_("a list, such as [a, b]"),
    "finite_number": N_("a finite number"),
    "literal_error": N_("one of {expected}"),
    "greater_than": N_("more than {gt}"),
    "greater_than_equal": N_("{ge} or more"),
    "less_than": N_("less than {lt}"),
    "less_than_equal": N_("{le} or less"),
}

_PATTERNS = {
    r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$": N_(
        "a name as Kubernetes takes it: lower-case letters, digits, - and ., such as rook-ceph-block"
    ),
    r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$": N_(
        "a namespace's name: lower-case letters, digits and hyphens, such as mlabhub"
    ),
    r"^[a-z0-9.-]+/[A-Za-z0-9._*-]+$": N_("a resource of nodes, such as nvidia.com/gpu"),
    r"^([a-z0-9.-]+/)?[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$": N_("a label's key, such as nvidia.com/gpu.product"),
    r"^([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)?$": N_(
        'a label\'s value: letters, digits, -, _ and ., such as "true" in quotes'
    ),
    "^[a-z0-9]+(-[a-z0-9]+)*$": N_("lower-case letters, digits and single hyphens, such as cpu or a100-train"),
    "^[a-z0-9]+(?:[-.][a-z0-9]+)*$": N_("a GPU type in lower case, such as a100, or any"),
    "^[a-z][a-z0-9]*([_-][a-z0-9]+)*$": N_(
        "an option's slug: lower-case letters, digits, - and _, such as num_workers"
    ),
    "^[a-z0-9]+([._-][a-z0-9]+)*$": N_("a choice's slug: lower-case letters, digits, single ., - and _, such as bf16"),
}


def _describe(kind: str, context: Mapping[str, Any], value: object, text: str) -> Message:
    if kind == "missing":
        return Message(N_("is missing; add it"))
    if kind == "string_pattern_mismatch" and context.get("pattern") in _PATTERNS:
        return _must_be(Message(_PATTERNS[context["pattern"]]), value)
    if context.get("class_name") == NumberVariable.__name__:
        return _must_be(Message(N_("a mapping of keys to values")), value)
    if context.get("class_name") == NumberOption.__name__:
        return _must_be(Message(N_("a number, a list of numbers, or {{min: 1, max: 8}}")), value)
    if kind in _NOUNS:
        return _must_be(Message.of(_NOUNS[kind], context), value)
    if kind in ("string_too_long", "string_too_short"):
        bounds = {"least": context.get("min_length", 0), "most": context.get("max_length", "-")}
        if kind == "string_too_long":
            return Message.of(N_("is too long; at most {most} characters"), bounds)
        return Message(N_("is empty; write something"))
    if kind == "too_short":
        return Message(N_("is empty; list at least one"))
    if value is SECRET:
        return Message.of(N_("cannot be this: {text}"), text=text)
    return Message.of(N_("cannot be {value}: {text}"), value=quote(value), text=text)


def _must_be(what: Message, value: object) -> Message:
    if value is SECRET:
        return Message.of(N_("must be {what}"), what=what)
    return Message.of(N_("must be {what}; it is {value}"), what=what, value=quote(value))
