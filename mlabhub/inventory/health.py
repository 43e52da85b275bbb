"""What is known against a GPU, in words: pure functions of what NVIDIA's library tells.

Guarantees: what a GPU does not know (a consumer's board counts no memory errors) is nothing against it; what it should
know and cannot say is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mlabhub.messages import N_, Message

NOT_SUPPORTED = 3
NO_PERMISSION = 4
FUNCTION_NOT_FOUND = 13
GPU_IS_LOST = 15
RESET_REQUIRED = 16
NO_DATA = 21
VGPU_ECC_NOT_SUPPORTED = 22
GPU_NOT_FOUND = 28

CANNOT_TELL = frozenset({NOT_SUPPORTED, NO_PERMISSION, FUNCTION_NOT_FOUND, NO_DATA, VGPU_ECC_NOT_SUPPORTED})
"""Errors that only mean: this GPU, driver or account does not tell."""

LOST = N_("It has fallen off the bus. Restart the machine; if it happens again, look at its seat, power and cooling.")
NEEDS_RESET = N_("It needs a reset: stop what uses it, then `nvidia-smi --gpu-reset`, or restart the machine.")
UNCORRECTED = N_(
    "ECC could not correct {count} memory errors since the driver was loaded. Reset it; if it happens again, have it "
    "replaced."
)
LIFETIME = N_("ECC could not correct {count} memory errors in its lifetime.")
REMAP_FAILED = N_("Its memory has no spare rows left (row remapping failed). Have it replaced.")
REMAP_PENDING = N_("Rows of its memory wait to be replaced by spare ones. Reset it when nothing uses it.")
RETIRE_PENDING = N_("Pages of its memory wait to be retired. Reset it when nothing uses it.")
UNREADABLE = N_("The driver cannot say: {what} (NVML error {number}).")
MIG_PENDING = N_("Its MIG mode changes at the next reset.")
RECOVERY = {
    1: NEEDS_RESET,
    2: N_("The driver asks for a restart of the machine."),
    3: N_("The driver asks to stop what uses it over NVLink, and then to reset it."),
    4: N_("The driver asks to stop what uses it, and then to reset it."),
}
OTHER_RECOVERY = N_("The driver asks for a recovery (NVML action {number}). Restart the machine.")
NAMES = {
    "handle": N_("anything about it"),
    "uuid": N_("its UUID"),
    "name": N_("its name"),
    "memory": N_("its memory"),
    "mig": N_("its MIG mode"),
    "ecc_volatile": N_("its memory errors"),
    "remapped": N_("its replaced memory rows"),
    "retired_pending": N_("its retired memory pages"),
    "recovery": N_("whether it needs a reset"),
}


@dataclass(frozen=True)
class Health:
    """Whether a GPU may be handed out, and what is known against it."""

    healthy: bool = True
    words: tuple[Message, ...] = ()


def assess(facts: Mapping[str, Any]) -> Health:
    """Return the health of a GPU."""
    errors: Mapping[str, int] = facts.get("errors", {})
    if {GPU_IS_LOST, GPU_NOT_FOUND} & set(errors.values()):
        return Health(False, (Message(LOST),))
    against = tuple(dict.fromkeys(_against(facts, errors)))
    return Health(not against, (*against, *_notes(facts)))


def _against(facts: Mapping[str, Any], errors: Mapping[str, int]) -> Iterator[Message]:
    if RESET_REQUIRED in errors.values():
        yield Message(NEEDS_RESET)
    for name, what in NAMES.items():
        number = errors.get(name)
        if number is not None and number not in CANNOT_TELL | {RESET_REQUIRED}:
            yield Message.of(UNREADABLE, what=Message(what), number=number)
    if facts.get("ecc_volatile"):
        yield Message.of(UNCORRECTED, count=facts["ecc_volatile"])
    _, _, pending, failed = facts.get("remapped", (0, 0, 0, 0))
    if failed:
        yield Message(REMAP_FAILED)
    if pending:
        yield Message(REMAP_PENDING)
    if facts.get("retired_pending"):
        yield Message(RETIRE_PENDING)
    action = facts.get("recovery", 0)
    if action:
        yield Message(RECOVERY[action]) if action in RECOVERY else Message.of(OTHER_RECOVERY, number=action)


def _notes(facts: Mapping[str, Any]) -> Iterator[Message]:
    """Return what is to be known, and does not keep a GPU from being handed out."""
    if facts.get("ecc_aggregate") and not facts.get("ecc_volatile"):
        yield Message.of(LIFETIME, count=facts["ecc_aggregate"])
    current, pending = facts.get("mig", (0, 0))
    if current != pending:
        yield Message(MIG_PENDING)
