"""Environment variables that options may set: a name that programs can read, and none that our own parts rely on.

Guarantees: no option can reach the loader, Python's start, the account, the GPUs that were handed out, or what mlabhub
and JupyterHub tell a server about itself.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from mlabhub.core.schema import KeyFault, key_faults
from mlabhub.messages import N_, Message

RESERVED = frozenset(
    {
        "BASH_ENV",
        "CUDA_DEVICE_ORDER",
        "CUDA_VISIBLE_DEVICES",
        "CURL_CA_BUNDLE",
        "ENV",
        "GPU_DEVICE_ORDINAL",
        "HIP_VISIBLE_DEVICES",
        "HOME",
        "HOSTNAME",
        "IFS",
        "LC_ALL",
        "LOGNAME",
        "MAIL",
        "NODE_EXTRA_CA_CERTS",
        "NODE_OPTIONS",
        "PATH",
        "PWD",
        "PYTHONHOME",
        "PYTHONINSPECT",
        "PYTHONPATH",
        "PYTHONSTARTUP",
        "PYTHONUSERBASE",
        "REQUESTS_CA_BUNDLE",
        "ROCR_VISIBLE_DEVICES",
        "SHELL",
        "SHELLOPTS",
        "TMPDIR",
        "USER",
        "USERNAME",
        "ZE_AFFINITY_MASK",
    }
)
RESERVED_PREFIXES = ("JUPYTER", "LD_", "MLABHUB", "NVIDIA_", "PAM_", "SSL_", "SUDO_", "XDG_")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _variable(name: str) -> str:
    message = fault_of_variable(name)
    if message is not None:
        raise key_faults([KeyFault((), message)])
    return name


def _value(text: str) -> str:
    if not text.isprintable():
        raise key_faults([KeyFault((), Message(N_("must be one line of printable text")))])
    return text


def fault_of_variable(name: str) -> Message | None:
    """Return why an option may not set this variable, if so."""
    if _VARIABLE.fullmatch(name) is None:
        return Message(N_("must be a variable's name: letters, digits and underscores, such as NUM_WORKERS"))
    if name.upper() in RESERVED or name.upper().startswith(RESERVED_PREFIXES):
        return Message(N_("is a variable that servers rely on; choose another name"))
    return None


Variable = Annotated[str, Field(strict=True, max_length=100), AfterValidator(_variable)]
VariableValue = Annotated[str, Field(strict=True, max_length=1000), AfterValidator(_value)]
