"""A number that a person may choose: fixed, from a list, or from a range with a step.

Guarantees: the default is always one of the permitted values; `NumberOption.accepts` takes any object and answers only
yes or no.
"""

from __future__ import annotations

import math
from typing import Any

from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from mlabhub.core.schema import Amount, KeyFault, Model, Positive, Text, key_faults
from mlabhub.core.units import format_number, is_amount
from mlabhub.messages import N_, Message

_TOLERANCE = 1e-9


class NumberOption(Model):
    """What may be chosen for one quantity.

    In YAML: ``4`` (fixed), ``[1, 2, 4]`` or ``{choices: [1, 2, 4], default: 2}``, or
    ``{min: 1, max: 16, default: 2, step: 1}``. Without a default, the first choice or the least value is taken.
    """

    min: Amount = Field(description="The least that may be chosen.")
    max: Amount = Field(description="The most that may be chosen; the machine and the quotas bound it too.")
    default: Amount = Field(description="What is taken when nothing is chosen.")
    step: Positive = Field(default=1.0, description="Distance between two values, counted from min.")
    choices: tuple[Amount, ...] = Field(default=(), description="The only permitted values; instead of min and max.")
    unit: Text | None = Field(default=None, description="Shown behind the number.")

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, value: Any) -> Any:
        """Turn the short forms into the full one; what is malformed is left for the fields to name."""
        if is_amount(value):
            return {"min": value, "max": value, "default": value}
        if isinstance(value, list | tuple):
            value = {"choices": list(value)}
        if not isinstance(value, dict):
            return value
        full = dict(value)
        if full.get("choices") or ("choices" in full and "min" not in full):
            return _with_bounds(full)
        full.setdefault("default", full["min"] if is_amount(full.get("min")) else 0.0)
        return full

    @model_validator(mode="after")
    def _is_sound(self) -> NumberOption:
        values = {"low": format_number(self.min), "high": format_number(self.max)}
        if self.min > self.max:
            message = Message.of(N_("max {high} is less than min {low}; make it {low} or more"), values)
            raise key_faults([KeyFault(("max",), message)])
        if not self.accepts(self.default):
            message = Message.of(
                N_("the default {default} cannot be chosen; permitted: {permitted}"),
                default=format_number(self.default),
                permitted=self.describe(),
            )
            raise key_faults([KeyFault(("default",), message)])
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Describe the short forms too."""
        full = handler.resolve_ref_schema(handler(core_schema))
        number = {key: full["properties"]["min"][key] for key in ("type", "minimum", "maximum")}
        full.pop("required")
        full["anyOf"] = [{"required": ["choices"]}, {"required": ["min", "max"]}]
        return {
            "description": full.pop("description"),
            "anyOf": [number, {"type": "array", "items": number, "minItems": 1}, full],
        }

    @property
    def fixed(self) -> bool:
        """Whether there is nothing to choose."""
        return self.min == self.max

    def accepts(self, value: object) -> bool:
        """Whether ``value`` may be chosen."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not is_amount(value):
            return False
        if self.choices:
            return float(value) in self.choices
        if not self.min <= value <= self.max:
            return False
        steps = (value - self.min) / self.step
        return math.isfinite(steps) and abs(steps - round(steps)) <= _TOLERANCE * max(1.0, steps)

    def describe(self) -> Message | str:
        """Say what may be chosen: ``4``, ``1, 2, 4`` or ``1 to 16 in steps of 1``."""
        if self.fixed:
            return format_number(self.min)
        if self.choices:
            return ", ".join(format_number(choice) for choice in self.choices)
        return Message.of(
            N_("{low} to {high} in steps of {step}"),
            low=format_number(self.min),
            high=format_number(self.max),
            step=format_number(self.step),
        )

    def at_most(self, bound: float) -> NumberOption:
        """Return the option as a machine that has ``bound`` at most can serve it; the least value always stays."""
        if bound >= self.max:
            return self
        if self.choices:
            choices = tuple(choice for choice in self.choices if choice <= bound) or (self.min,)
            default = self.default if self.default in choices else max(choices)
            return NumberOption(
                min=min(choices), max=max(choices), default=default, step=self.step, choices=choices, unit=self.unit
            )
        steps = max(0, math.floor((bound - self.min) / self.step + _TOLERANCE))
        most = self.min + steps * self.step
        return NumberOption(min=self.min, max=most, default=min(self.default, most), step=self.step, unit=self.unit)


def _with_bounds(full: dict[str, Any]) -> dict[str, Any]:
    """Complete what is given as choices; a choice that is no number is left for its own field to name."""
    choices = full["choices"]
    if not isinstance(choices, list | tuple):
        return {"min": 0.0, "max": 0.0, "default": 0.0, **full}
    if not choices:
        raise key_faults([KeyFault(("choices",), Message(N_("is empty; list at least one number")))])
    numbers = [choice for choice in choices if is_amount(choice)] or [0.0]
    bounds = {"min": min(numbers), "max": max(numbers)}
    if any(full.get(key, bound) != bound for key, bound in bounds.items()):
        raise key_faults([KeyFault(("choices",), Message(N_("give either choices, or min and max")))])
    return {"default": numbers[0], **full, **bounds}
