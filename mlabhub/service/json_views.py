"""Views as JSON, and their shapes as JSON schemas, both from the same dataclasses."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from mlabhub.messages import Message

_PLAIN: dict[Any, dict[str, Any]] = {
    Any: {},
    str: {"type": "string"},
    Message: {"type": "string", "description": "A sentence for a person."},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    NoneType: {"type": "null"},
}


def to_json(value: Any) -> bytes:
    """Return a view, or anything made of views, as JSON; messages in English."""
    return json.dumps(value, default=_plainly, separators=(",", ":")).encode()


def _plainly(value: Any) -> Any:
    """Return one level of what `json` does not know; it asks again for what is inside."""
    if isinstance(value, Message):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not a view")


def schema_of(kind: Any) -> dict[str, Any]:
    """Return the JSON schema of what `to_json` makes of a value of this type."""
    if kind in _PLAIN:
        return _PLAIN[kind]
    if dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        properties = {field.name: schema_of(hints[field.name]) for field in dataclasses.fields(kind)}
        return {"type": "object", "properties": properties, "required": list(properties)}
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return {"type": "string", "enum": list(arguments)}
    if origin in (Union, UnionType):
        return {"anyOf": [schema_of(one) for one in arguments]}
    if origin in (tuple, list):
        return {"type": "array", "items": schema_of(arguments[0])}
    if origin is not None and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": schema_of(arguments[1])}
    return {"type": "object"}
