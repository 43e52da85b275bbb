"""The JSON schema of the configuration folder, for editors and other tools.

Guarantees: made from the models that validate the files, so it cannot disagree with them on keys and types.
"""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from mlabhub.catalog.folder import FILES
from mlabhub.catalog.notifications import FILE as NOTIFICATIONS_FILE
from mlabhub.core.notifications import Notifications
from mlabhub.core.schema import Model

REQUIRED = ("profiles.yaml",)


def folder_schema() -> dict[str, Any]:
    """Return one schema: an object with a property for each file."""
    files: dict[str, type[Model]] = {**FILES, NOTIFICATIONS_FILE: Notifications}
    models, definitions = models_json_schema(
        [(model, "validation") for model in files.values()], ref_template="#/$defs/{model}"
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration folder of mlabhub",
        "type": "object",
        "properties": {name: models[model, "validation"] for name, model in files.items()},
        "required": list(REQUIRED),
        "additionalProperties": False,
        "$defs": definitions["$defs"],
    }
