"""Check what a file says against the model that it should be.

Guarantees: every fault that pydantic finds becomes a sentence at its line; contradictions between two keys are found
even where a third key beside them is wrong.
"""

from __future__ import annotations

import copy
import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from mlabhub.catalog.faults import KeyPath, clean_path, read_error
from mlabhub.catalog.yaml_file import Document
from mlabhub.core.choices import LIST, NUMBER, ListVariable, NumberVariable
from mlabhub.core.quote import quote_all
from mlabhub.core.schema import FAULT, Model
from mlabhub.messages import N_, Message

FORMS: Mapping[str, type[Model]] = {NUMBER: NumberVariable, LIST: ListVariable}
AnyModel = TypeVar("AnyModel", bound=Model)


def validated(document: Document, model: type[AnyModel], *, secret: bool = False) -> AnyModel | None:
    """Return the file's content as a model; what is wrong goes into the document's faults.

    With ``secret`` no fault repeats a value.
    """
    data = document.data
    if document.faults and data is None:
        return None
    if data is None:
        data = {}
    unread = {fault.path for fault in document.faults}
    try:
        validated = model.model_validate(data)
    except ValidationError as error:
        details = _first_causes(error.errors(include_url=False))
        for detail in details:
            if detail["type"] == "extra_forbidden":
                document.blame(clean_path(detail["loc"]), _unknown_key(model, detail["loc"]))
                continue
            for path, message in read_error(detail, secret=secret):
                if detail["input"] is not None or path not in unread:  # what could not be read stands there as null
                    document.blame(path, message)
        _look_behind(document, model, data, details, secret)
        return None
    return None if document.faults else validated


def _first_causes(details: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """Leave out lists that are short only because an item in them is wrong."""
    parents = {detail["loc"][:-1] for detail in details}
    return [detail for detail in details if detail["type"] != "too_short" or detail["loc"] not in parents]


def _look_behind(
    document: Document, model: type[Model], data: Any, details: Sequence[ErrorDetails], secret: bool
) -> None:
    """Blame contradictions between keys that are hidden while a key beside them is wrong by itself."""
    pruned = copy.deepcopy(data)
    removed: set[KeyPath] = set()
    for detail in details:
        contradiction = detail["type"] == FAULT and any(fault.at for fault in detail["ctx"]["faults"])
        if not contradiction:
            removed.add(clean_path(detail["loc"]))
            _prune(pruned, clean_path(detail["loc"]))
    try:
        model.model_validate(pruned)
    except ValidationError as error:
        known = {(fault.path, fault.message) for fault in document.faults}
        found = [detail for detail in error.errors(include_url=False) if detail["type"] == FAULT]
        for path, message in (pair for detail in found for pair in read_error(detail, secret=secret)):
            if (path, message) not in known and path not in removed:
                document.blame(path, message)


def _prune(data: Any, path: KeyPath) -> None:
    """Remove the key at a path, if it is one of a mapping."""
    for key in path[:-1]:
        data = data.get(key) if isinstance(data, dict) else None
    if path and isinstance(data, dict):
        data.pop(path[-1], None)


def _unknown_key(model: type[Model], path: KeyPath) -> Message:
    parent = _model_at(model, path[:-1])
    fields = parent.model_fields if parent is not None else {}
    known = [field.alias or name for name, field in fields.items()]
    close = difflib.get_close_matches(str(path[-1]), known, 1)
    if close:
        return Message.of(
            N_("is not a known key; did you mean {close}? Known: {known}"), close=close[0], known=quote_all(known, 20)
        )
    return Message.of(N_("is not a known key; known: {known}"), known=quote_all(known, 20))


def _model_at(model: type[Model], path: KeyPath) -> type[Model] | None:
    """Return the model whose keys stand at a path."""
    annotation: Any = model
    for key in path:
        if key in FORMS:
            annotation = FORMS[str(key)]
            continue
        found = _model_in(annotation)
        if typing.get_origin(annotation) in (dict, Mapping):
            annotation = typing.get_args(annotation)[1]
        elif isinstance(key, int) and typing.get_origin(annotation) is tuple:
            annotation = typing.get_args(annotation)[0]
        elif found is not None and key in found.model_fields:
            annotation = found.model_fields[str(key)].annotation
    return _model_in(annotation)


def _model_in(annotation: Any) -> type[Model] | None:
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return annotation
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return next((found for found in map(_model_in, typing.get_args(annotation)) if found is not None), None)
    return None
