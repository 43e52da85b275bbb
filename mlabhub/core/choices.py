"""A profile's further options: numbers, or one of a list, which programs in the server read as variables.

Guarantees: what an option puts into the environment is a permitted number or stands in the catalogue; a value that a
person sends is compared, never inserted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any

from pydantic import Discriminator, Field, GetJsonSchemaHandler, Tag, model_validator
from pydantic_core import CoreSchema

from mlabhub.core.gate import read_choice, read_number
from mlabhub.core.options import NumberOption
from mlabhub.core.schema import KeyFault, Model, Paragraph, Text, key_faults
from mlabhub.core.units import from_micro, to_micro
from mlabhub.core.variables import Variable, VariableValue
from mlabhub.messages import N_, Message

NUMBER, LIST = "[number]", "[list]"
"""Which of the two forms a fault is about; never a key of a file."""

OptionSlug = Annotated[str, Field(strict=True, pattern=r"^[a-z][a-z0-9]*([_-][a-z0-9]+)*$", max_length=40)]
ChoiceSlug = Annotated[str, Field(strict=True, pattern=r"^[a-z0-9]+([._-][a-z0-9]+)*$", max_length=40)]


class Choice(Model):
    """One of the values of an option. A word alone, in YAML, is its display name."""

    display_name: Text = Field(description="What people see.")
    environment: dict[Variable, VariableValue] = Field(
        default_factory=dict, description="Further variables that are set where this is chosen."
    )

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, value: Any) -> Any:
        return {"display_name": value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Describe the short form too."""
        full = handler.resolve_ref_schema(handler(core_schema))
        name = {key: full["properties"]["display_name"][key] for key in ("type", "minLength", "maxLength")}
        return {"description": full.pop("description"), "anyOf": [name, full]}


class NumberVariable(NumberOption):
    """An option that is a number: ``{min: 0, max: 16, step: 1}`` or ``{choices: [1, 2, 4]}``."""

    display_name: Text = Field(description="What people see.")
    description: Paragraph = Field(default="", description="One sentence about what it does.")
    variable: Variable = Field(description="The environment variable that gets the number.")

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Describe the long form only: an option has a name."""
        full = handler.resolve_ref_schema(handler(core_schema))
        full["required"] = ["display_name", "variable"]
        full["anyOf"] = [{"required": ["choices"]}, {"required": ["min", "max"]}]
        return full

    def environment_of(self, value: float | str) -> dict[str, str]:
        """Return the variables for a value that `read_option` returned."""
        number = from_micro(to_micro(float(value)))
        return {self.variable: str(int(number)) if number.is_integer() else repr(number)}

    @property
    def variables(self) -> tuple[str, ...]:
        """Every variable that it may set."""
        return (self.variable,)


class ListVariable(Model):
    """An option that is one of a list: ``{choices: {fp32: Full, bf16: bfloat16}}``."""

    display_name: Text = Field(description="What people see.")
    description: Paragraph = Field(default="", description="One sentence about what it does.")
    variable: Variable | None = Field(default=None, description="The environment variable that gets the choice's slug.")
    choices: dict[ChoiceSlug, Choice] = Field(
        min_length=1,
        max_length=100,
        description="What may be chosen, by slug.",
        json_schema_extra={"additionalProperties": False},
    )
    default: ChoiceSlug | None = Field(
        default=None, description="What is taken when nothing is chosen; absent: the first."
    )

    @model_validator(mode="after")
    def _is_sound(self) -> ListVariable:
        faults = []
        if self.default is not None and self.default not in self.choices:
            message = Message.of(
                N_("the default {default} cannot be chosen; permitted: {permitted}"),
                default=self.default,
                permitted=", ".join(self.choices),
            )
            faults.append(KeyFault(("default",), message))
        if not self.variables:
            message = Message(N_("is missing, so that the choice would change nothing; add it, or environment"))
            faults.append(KeyFault(("variable",), message))
        if faults:
            raise key_faults(faults)
        return self

    @property
    def first(self) -> str:
        """What is taken when nothing is chosen."""
        return self.default or next(iter(self.choices))

    def environment_of(self, value: float | str) -> dict[str, str]:
        """Return the variables for a value that `read_option` returned."""
        own = {} if self.variable is None else {self.variable: str(value)}
        return {**self.choices[str(value)].environment, **own}

    @property
    def variables(self) -> tuple[str, ...]:
        """Every variable that it may set."""
        own = () if self.variable is None else (self.variable,)
        further = (name for choice in self.choices.values() for name in choice.environment)
        return tuple(dict.fromkeys((*own, *further)))


def _form_of(value: object) -> str:
    choices = value.get("choices") if isinstance(value, Mapping) else getattr(value, "choices", None)
    return LIST if isinstance(choices, Mapping) else NUMBER


FurtherOption = Annotated[
    Annotated[NumberVariable, Tag(NUMBER)] | Annotated[ListVariable, Tag(LIST)], Discriminator(_form_of)
]


def read_option(slug: str, option: NumberOption | ListVariable, value: object) -> float | str:
    """Return a permitted value of an option; the default if there is none."""
    if not isinstance(option, ListVariable):
        return read_number(slug, value, option)
    return read_choice(slug, option.first if value is None else value, tuple(option.choices))


def option_faults(options: Mapping[str, FurtherOption], taken: Iterable[str]) -> Iterator[KeyFault]:
    """Find options that are called as another key is, and variables that two of them would set."""
    reserved = frozenset(taken)
    seen: dict[str, str] = {}
    for slug, option in options.items():
        if slug in reserved:
            yield KeyFault(("options", slug), Message(N_("is the name of another launch option; choose another one")))
        for variable in option.variables:
            if variable in seen:
                message = Message.of(
                    N_("sets {variable}, as {other} does; give each a variable of its own"),
                    variable=variable,
                    other=seen[variable],
                )
                yield KeyFault(("options", slug), message)
        seen.update(dict.fromkeys(option.variables, slug))
