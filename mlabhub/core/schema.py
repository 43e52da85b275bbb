"""What the catalogue's models share: frozen, no unknown keys, strict numbers, faults that know their key.

Guarantees: a model never changes once made; ``true``, ``"1"``, NaN and infinity are not numbers; a fault found by
comparing keys names the key that it is about, so that the loader can point at its line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from mlabhub.core.units import GPU_TYPE_PATTERN
from mlabhub.messages import Message

FAULT = "mlabhub_fault"

Amount = Annotated[float, Field(strict=True, ge=0, le=1e12, allow_inf_nan=False)]
Positive = Annotated[float, Field(strict=True, gt=0, le=1e12, allow_inf_nan=False)]
Slug = Annotated[str, Field(strict=True, pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=40)]
GpuType = Annotated[str, Field(strict=True, pattern=rf"^{GPU_TYPE_PATTERN}$", max_length=40)]
Text = Annotated[str, Field(strict=True, min_length=1, max_length=200)]
ShortText = Annotated[str, Field(strict=True, min_length=1, max_length=100)]
Paragraph = Annotated[str, Field(strict=True, max_length=2000)]


class Model(BaseModel):
    """A part of the catalogue."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True)
class KeyFault:
    """What is wrong with one key below the model that found it."""

    at: tuple[str | int, ...]
    message: Message


def key_faults(faults: Sequence[KeyFault]) -> PydanticCustomError:
    """Return the error for a model's validator to raise."""
    context: dict[str, Any] = {"faults": tuple(faults), "text": "; ".join(str(fault.message) for fault in faults)}
    return PydanticCustomError(FAULT, "{text}", context)
