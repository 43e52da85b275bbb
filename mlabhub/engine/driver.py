"""What is wrong with NVIDIA's driver, in words, by the error that its library gave.

Guarantees: pure; every error has a sentence, but that of a machine without a driver.
"""

from __future__ import annotations

from mlabhub.messages import N_, Message

DRIVER_NOT_LOADED = 9
LIBRARY_NOT_FOUND = 12
LIB_RM_VERSION_MISMATCH = 18

HANGS = N_(
    "NVIDIA's driver does not answer within {seconds} s. Look at `dmesg` for NVRM and Xid; a restart of the machine "
    "usually helps."
)
UPDATED = N_(
    "NVIDIA's driver was updated, and the one from before is still loaded. Restart the machine; until then no server "
    "can get a GPU."
)
CRASHED = N_("NVIDIA's library crashed when it was asked ({reason}). Install the driver anew.")
FAILED = N_("This machine's NVIDIA driver does not work ({reason}). Look at `nvidia-smi`; a restart may help.")


def is_absent(error: object) -> bool:
    """Return whether an error says that there is no driver."""
    return error in (DRIVER_NOT_LOADED, LIBRARY_NOT_FOUND)


def fault_of(error: object, text: str) -> Message:
    """Return what an error of the library means."""
    if error == LIB_RM_VERSION_MISMATCH:
        return Message(UPDATED)
    return Message.of(FAILED, reason=text)


def crashed(complaint: str, status: int | None) -> Message:
    """Return what a program that asked, and ended without an answer, left as its last words."""
    last = complaint.strip().splitlines()[-1:] or [f"status {status}"]
    return Message.of(CRASHED, reason=last[0][:200])
