"""What the launch form's fields say as launch options, and launch options as fields.

Guarantees: pure and total; whatever a form sends becomes options that `mlabhub.core.profiles.resolve` judges, so that
page, API and hub have one gate. What an address keeps, and what was launched once, gives the same options again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from mlabhub.core.forms import NUMBERS, read_number
from mlabhub.core.names import SAVED_PREFIX
from mlabhub.core.units import ANY_GPU

TEXTS = ("profile", "image", "group", "gpu_type")
FURTHER = "option-"
LISTED = "choice-"
GPU_IDS = "gpu_ids"
TYPED_IMAGE = "image_typed"
TYPED = ":typed"
"""What the list of images says when the image is typed in; no image can be called so."""

MOUNT_KEYS = ("share", "subfolder", "target", "read_only")
MOST_ROWS = 20
_MOUNT = re.compile(rf"mount-(\d{{1,2}})-({'|'.join(MOUNT_KEYS)})")
YES = "yes"

# What one field may hold (the gate says the rest), and an address as a whole.
LONGEST = 1000
LONGEST_GPU_IDS = 6500
LONGEST_ADDRESS = 8000

# What a button such as "Start with 2 now" may change of the form's choices.
TAKEN = frozenset({"profile", "image", "gpu_type", "gpus", "cpu", "memory_gib"})


def read_options(arguments: Mapping[str, str]) -> dict[str, Any]:
    """Return the launch options that a form's fields say. An empty field takes the profile's default."""
    options: dict[str, Any] = {}
    further: dict[str, Any] = {}
    for name, text in arguments.items():
        text = _cut(name, text)
        if not text:
            continue
        if name in TEXTS and not (name == "gpu_type" and text == ANY_GPU):
            options[name] = text
        elif name in NUMBERS:
            options[name] = read_number(text)
        elif name.startswith(FURTHER):
            further[name.removeprefix(FURTHER)] = read_number(text)
        elif name.startswith(LISTED):
            further[name.removeprefix(LISTED)] = text
    _read_image(arguments, options)
    if ids := [one for one in _cut(GPU_IDS, arguments.get(GPU_IDS, "")).split(",") if one]:
        options |= {"gpu_ids": ids, "gpus": len(ids)}
    if mounts := read_mounts(arguments):
        options["mounts"] = mounts
    return {**options, "options": further} if further else options


def _read_image(arguments: Mapping[str, str], options: dict[str, Any]) -> None:
    """What was typed counts, for whoever types means it; a browser with scripts sends it only if it is shown."""
    if typed := _cut(TYPED_IMAGE, arguments.get(TYPED_IMAGE, "")):
        options["image"] = typed
    elif options.get("image") == TYPED:
        del options["image"]


def mount_rows(arguments: Mapping[str, str]) -> list[dict[str, str]]:
    """Return the rows of the editor of mounts that say something, in their order, as they were typed."""
    rows: dict[int, dict[str, str]] = {}
    for name, text in arguments.items():
        if (match := _MOUNT.fullmatch(name)) and (text := _cut(name, text)):
            rows.setdefault(int(match[1]), {})[match[2]] = text
    said = [rows[number] for number in sorted(rows) if rows[number].keys() - {"read_only"}]
    return said[:MOST_ROWS]


def read_mounts(arguments: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the option ``mounts``; what is not marked as read-only is as its share is."""
    empty = {"share": "", "target": ""}
    return [{**empty, **row, **({"read_only": True} if "read_only" in row else {})} for row in mount_rows(arguments)]


def as_arguments(options: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields that say these launch options; what a form cannot say is left out."""
    arguments: dict[str, str] = {}
    for name, value in options.items():
        if name in (*TEXTS, *NUMBERS) and isinstance(value, str | int | float):
            arguments[name] = _text(value)
        elif name == "gpu_ids" and isinstance(value, list | tuple):
            arguments[GPU_IDS] = ",".join(map(str, value))
        elif name == "options" and isinstance(value, Mapping):
            kinds = {slug: LISTED if isinstance(chosen, str) else FURTHER for slug, chosen in value.items()}
            arguments |= {kinds[slug] + slug: _text(chosen) for slug, chosen in value.items()}
        elif name == "mounts" and isinstance(value, list | tuple):
            arguments |= _mount_arguments(value)
    image = arguments.get("image", "")
    if "/" in image and not image.startswith(SAVED_PREFIX):
        arguments |= {"image": TYPED, TYPED_IMAGE: image}
    return arguments


def _mount_arguments(mounts: Iterable[Any]) -> dict[str, str]:
    arguments = {}
    for number, mount in enumerate(one for one in mounts if isinstance(one, Mapping)):
        for key in MOUNT_KEYS:
            if value := mount.get(key):
                arguments[f"mount-{number}-{key}"] = YES if key == "read_only" else str(value)
    return arguments


def kept_arguments(arguments: Mapping[str, str]) -> dict[str, str]:
    """Return the choices of a form that an address can take along, so that nothing has to be chosen twice."""
    kept: dict[str, str] = {}
    length = 0
    for name, text in arguments.items():
        known = name in (*TEXTS, *NUMBERS, GPU_IDS, TYPED_IMAGE, "user", "server", "name", "entry")
        if text and len(name) < 100 and (known or name.startswith((FURTHER, LISTED)) or _MOUNT.fullmatch(name)):
            length += len(name) + len(text := _cut(name, text))
            if length > LONGEST_ADDRESS:
                break
            kept[name] = text
    return kept


def taken(arguments: Mapping[str, str]) -> dict[str, str]:
    """Return the form's fields with what the button that was pressed changes of them: ``take=gpus=2``."""
    changes = {name: text for name, text in parse_qsl(arguments.get("take", "")[:LONGEST]) if name in TAKEN}
    kept = {name: text for name, text in arguments.items() if name != "take"}
    if "gpus" in changes:
        kept.pop(GPU_IDS, None)
    if "image" in changes:
        kept.pop(TYPED_IMAGE, None)
    return {**kept, **changes}


def exact(number: float) -> str:
    """Return a number for a field to send back: nothing cut off, no needless fraction."""
    return str(int(number)) if float(number).is_integer() else repr(float(number))


def _text(value: Any) -> str:
    return exact(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _cut(name: str, text: str) -> str:
    return text.strip()[: LONGEST_GPU_IDS if name == GPU_IDS else LONGEST]
