"""The launch form: which fields it shows for a profile.

Guarantees: pure; what a person chose is shown again, also when it was refused; the first form of a profile is one that
the gate lets pass.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mlabhub.core.choices import ListVariable, NumberVariable
from mlabhub.core.forms import read_number
from mlabhub.core.options import NumberOption
from mlabhub.core.profiles import Profile
from mlabhub.core.units import ANY_GPU, format_gpu_type, format_number
from mlabhub.i18n import N_, Translator, join_sentences
from mlabhub.service.pages.choices import FURTHER, LISTED, exact
from mlabhub.service.views import CatalogView

# A range with so few values is shown as buttons.
MOST_BUTTONS = 8

LABELS = {
    "cpu": N_("CPU cores"),
    "memory_gib": N_("Memory"),
    "gpus": N_("GPUs"),
    "gpu_type": N_("GPU type"),
    "group": N_("Group that pays"),
    "shm_gib": N_("Shared memory (/dev/shm)"),
}
UNITS = {"memory_gib": "GiB", "shm_gib": "GiB"}


@dataclass(frozen=True)
class Choice:
    """One of several values."""

    value: str
    label: str
    selected: bool


@dataclass(frozen=True)
class Field:
    """One thing to choose. ``kind``: ``number``, ``buttons``, ``select``, or ``fixed`` where there is no choice."""

    name: str
    label: str
    kind: str
    value: str
    text: str
    unit: str = ""
    help: str = ""
    choices: tuple[Choice, ...] = ()
    low: str = ""
    high: str = ""
    step: str = ""


def make_fields(profile: Profile, view: CatalogView, arguments: Mapping[str, str], t: Translator) -> dict[str, Field]:
    """Return the profile's fields by name, in the page's order."""
    fields: dict[str, Field] = {}
    if profile.gpus.max > 0:
        fields["gpus"] = _gpus_field(profile, view, arguments.get("gpus", ""), t)
        fields["gpu_type"] = _gpu_type_field(profile, view, arguments.get("gpu_type", ""), t)
    fields["cpu"] = number_field("cpu", profile.cpu, arguments.get("cpu", ""), t)
    fields["memory_gib"] = number_field("memory_gib", profile.memory_gib, arguments.get("memory_gib", ""), t)
    for slug, option in profile.further.items():
        fields[slug] = option_field(slug, option, arguments, t)
    if view.groups:
        payer = arguments.get("group") or view.default_group or ""
        fields["group"] = choice_field("group", [(group, group) for group in view.groups], payer, t, "select")
    return fields


def _gpus_field(profile: Profile, view: CatalogView, typed: str, t: Translator) -> Field:
    """Return the field of the number of GPUs; of a range that ends where the largest machine does, it says so."""
    field = number_field("gpus", profile.gpus, typed, t)
    most = max((view.most_gpus.get(one, 0) for one in profile.offered_gpu_types(view.gpu_types)), default=0)
    if profile.gpus.choices or profile.gpus.max != most:
        return field
    return replace(field, help=t(N_("No machine has more than {most}."), most=most))


def option_field(slug: str, option: NumberOption | ListVariable, arguments: Mapping[str, str], t: Translator) -> Field:
    """Return the field of one of a profile's further options."""
    if isinstance(option, ListVariable):
        offered = [(key, choice.display_name) for key, choice in option.choices.items()]
        field = choice_field(LISTED + slug, offered, arguments.get(LISTED + slug, option.first), t, "select")
        return replace(field, label=option.display_name, help=option.description)
    field = number_field(slug, option, arguments.get(FURTHER + slug, ""), t, prefix=FURTHER)
    if not isinstance(option, NumberVariable):
        return field
    said = join_sentences((option.description, field.help))
    return replace(field, label=option.display_name, help=said)


def number_field(name: str, option: NumberOption, typed: str, t: Translator, *, prefix: str = "") -> Field:
    """Return the field for a number: fixed, a few buttons, or a number with bounds."""
    label, unit = t(LABELS.get(name, name)), option.unit or UNITS.get(name, "")
    text = f"{format_number(option.default)} {unit}".strip()
    if option.fixed:
        return Field(prefix + name, label, "fixed", exact(option.default), text)
    value = typed or exact(option.default)
    if values := option.choices or _few_values(option):
        choices = tuple(Choice(exact(one), format_number(one), selected=_same_number(value, one)) for one in values)
        return Field(prefix + name, label, "buttons", value, text, unit=unit, choices=choices)
    low, high, step = exact(option.min), exact(option.max), exact(option.step)
    bounds = t(N_("{low} to {high} {unit}"), low=option.min, high=option.max, unit=unit).strip()
    return Field(prefix + name, label, "number", value, text, unit=unit, low=low, high=high, step=step, help=bounds)


def choice_field(
    name: str, offered: Sequence[tuple[str, str]], chosen: str, t: Translator, kind: str = "buttons"
) -> Field:
    """Return the field for one of some named values; with one value there is nothing to choose."""
    value = chosen if chosen in [slug for slug, _ in offered] else (offered[0][0] if offered else "")
    text = dict(offered).get(value, "")
    choices = tuple(Choice(slug, label, selected=slug == value) for slug, label in offered)
    return Field(name, t(LABELS.get(name, name)), kind if len(offered) > 1 else "fixed", value, text, choices=choices)


def _gpu_type_field(profile: Profile, view: CatalogView, chosen: str, t: Translator) -> Field:
    types = profile.offered_gpu_types(view.gpu_types)
    offered = [(slug, view.gpu_type_names.get(slug, format_gpu_type(slug))) for slug in types]
    if profile.any_gpu_type and len(offered) > 1:
        offered.insert(0, (ANY_GPU, t(N_("any"))))
    return choice_field("gpu_type", offered, chosen or view.default_gpu_types.get(profile.slug) or "", t)


def _few_values(option: NumberOption) -> tuple[float, ...]:
    count = math.floor((option.max - option.min) / option.step + 1e-9) + 1
    return tuple(option.min + index * option.step for index in range(count)) if count <= MOST_BUTTONS else ()


def _same_number(text: str, number: float) -> bool:
    typed = read_number(text)
    return not isinstance(typed, str) and math.isclose(typed, number)
