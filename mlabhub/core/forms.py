"""What the fields of a form or of an address say, as launch options.

Guarantees: pure and total; nothing is judged here: what is no number stays text, what is unknown stays in, for
`mlabhub.core.profiles.resolve` to refuse with its sentence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

NUMBERS = ("cpu", "memory_gib", "gpus")


def read_number(text: str) -> float | int | str:
    """Return the number that a field holds, or the text if it holds none."""
    try:
        number = float(text)
    except ValueError:
        return text
    if not math.isfinite(number):
        return text
    return int(number) if number.is_integer() else number


def read_query(arguments: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the launch options of the hub's own form or query: each name's last value, numbers as numbers."""
    return {
        name: read_number(values[-1]) if name in NUMBERS else values[-1] for name, values in arguments.items() if values
    }
