"""The image's own environment, kept aside while our interpreter runs, and given back to kernels and terminals."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, MutableMapping

KEPT_ASIDE = "MLABHUB_IMAGE_ENVIRONMENT"
"""Variables of the image that would disturb our interpreter, as JSON; the hub has blanked them."""
GIVEN = "MLABHUB_GIVEN"
"""Names, with commas, of variables that `DISTURBING` fits and that are nevertheless the hub's own."""
DISTURBING = re.compile(
    r"(LD|PYTHON|JUPYTER|GCONV|GLIBC|MALLOC|OPENSSL)_.*|PYTHON\w*|LC_ALL|LOCPATH|NLSPATH|SSL_CERT_(FILE|DIR)"
)
OURS = ("JUPYTER_PATH", "LC_ALL", "OPENSSL_CONF", KEPT_ASIDE, GIVEN)
"""Variables that are there for our interpreter only."""


def restored(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment as the image has it."""
    kept: dict[str, str] = json.loads(environ.get(KEPT_ASIDE) or "{}")
    without = {name: value for name, value in environ.items() if name not in OURS and name not in kept}
    return {**without, **kept}


def set_aside(environ: MutableMapping[str, str]) -> None:
    """Set the image's variables aside where the hub could not, as it knows an image only once its pod runs."""
    if KEPT_ASIDE in environ:
        return
    given = environ.pop(GIVEN, "").split(",")
    found = {name: value for name, value in environ.items() if DISTURBING.fullmatch(name) and name not in given}
    for name in found:
        del environ[name]
    environ[KEPT_ASIDE] = json.dumps({name: value for name, value in found.items() if value})
    environ.setdefault("LC_ALL", "C")
    environ["OPENSSL_CONF"] = "/opt/mlabhub/etc/empty"
