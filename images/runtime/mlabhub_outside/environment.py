"""The image's own environment, kept aside while our interpreter runs, and given back to kernels and terminals."""

from __future__ import annotations

import json
from collections.abc import Mapping

KEPT_ASIDE = "MLABHUB_IMAGE_ENVIRONMENT"
"""Variables of the image that would disturb our interpreter, as JSON; the hub has blanked them."""
OURS = ("JUPYTER_PATH", "LC_ALL", "OPENSSL_CONF", KEPT_ASIDE)
"""Variables that are there for our interpreter only."""


def restored(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment as the image has it."""
    kept: dict[str, str] = json.loads(environ.get(KEPT_ASIDE) or "{}")
    without = {name: value for name, value in environ.items() if name not in OURS and name not in kept}
    return {**without, **kept}
