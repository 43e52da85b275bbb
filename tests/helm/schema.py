"""The chart's own JSON schema, which is not kept here: where it is looked for, and what happens without it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parents[2]
VARIABLE = "Z2JH_SCHEMA"
BESIDE = Path("shared/third_party/z2jh-chart/values.schema.json")


def find_schema() -> Path | None:
    """Return the file: the one that ``Z2JH_SCHEMA`` names, else in the checkout or beside a folder around it."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named)
    return next((found for parent in (CHECKOUT, *CHECKOUT.parents) if (found := parent / BESIDE).is_file()), None)


def load_schema(file: Path) -> dict[str, Any]:
    """Return the schema for values that are not merged with the chart's defaults: nothing in it is required."""
    assert file.is_file(), f"{file} is not there: let {VARIABLE} name the chart's values.schema.json"
    return without_required(json.loads(file.read_text()))


def without_required(part: Any) -> Any:
    """Return a schema without the lists of what must be there. A key of the values may be called ``required``, too."""
    if isinstance(part, dict):
        return {
            key: without_required(value)
            for key, value in part.items()
            if not (key == "required" and isinstance(value, list))
        }
    return [without_required(one) for one in part] if isinstance(part, list) else part
