"""The readers of untrusted launch options that `mlabhub.core.resolve.resolve` is made of.

Guarantees: each takes any object and returns a checked value or raises an `MLabError` whose sentence shows the
offending value (cut to 80 characters) and the valid ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from mlabhub.core.options import NumberOption
from mlabhub.core.quote import quote, quote_all
from mlabhub.core.units import from_micro, to_micro
from mlabhub.errors import InvalidLaunch
from mlabhub.messages import N_, Message

KEYS = (
    "profile",
    "image",
    "group",
    "gpu_type",
    "gpus",
    "gpu_ids",
    "cpu",
    "memory_gib",
    "options",
    "mounts",
    "log_folders",
    "safe",
    "launch_id",
)

MOST_GPU_IDS = 64
_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")


def is_launch_id(value: object) -> bool:
    """Whether ``value`` has the form of a launch's id (a ULID)."""
    return isinstance(value, str) and _ULID.fullmatch(value) is not None


def read_keys(value: object, known: Iterable[str], template: str, **values: object) -> Mapping[str, object]:
    """Return a mapping whose keys are all known; ``template`` says what the mapping is, for the sentence."""
    subject = Message.of(template, values)
    if not isinstance(value, Mapping):
        raise InvalidLaunch(
            Message.of(
                N_("{subject} must be an object of keys and values, not {value}."), subject=subject, value=quote(value)
            )
        )
    permitted = tuple(known)
    unknown = [key for key in value if not isinstance(key, str) or key not in permitted]
    if unknown:
        raise InvalidLaunch(
            Message.of(
                N_("{subject} cannot have {unknown}; known: {known}."),
                subject=subject,
                unknown=", ".join(quote(key) for key in unknown[:3]) + (", …" if len(unknown) > 3 else ""),
                known=quote_all(permitted),
            ),
            key=quote(unknown[0]),
        )
    return value


def check_launch_id(value: object) -> None:
    """Refuse what cannot be a launch's id; whether there is such a launch is the ledger's to say."""
    if not is_launch_id(value):
        raise InvalidLaunch(
            Message.of(N_("{value} is not the id of a launch. Leave launch_id out."), value=quote(value)),
            key="launch_id",
        )


def read_flag(key: str, value: object) -> bool:
    """Return whether something is wanted; absent is not."""
    if value is None or isinstance(value, bool):
        return bool(value)
    raise InvalidLaunch(Message.of(N_("{key} is true or false, not {value}."), key=key, value=quote(value)), key=key)


def read_choice(key: str, value: object, valid: Sequence[str]) -> str:
    """Return one of ``valid``."""
    if isinstance(value, str) and value in valid:
        return value
    raise InvalidLaunch(
        Message.of(
            N_("The {key} {value} cannot be chosen; there is: {valid}."),
            key=key,
            value=quote(value),
            valid=quote_all(valid),
        ),
        key=key,
    )


def read_number(key: str, value: object, option: NumberOption) -> float:
    """Return a number that the option permits; the default if there is none."""
    if value is None:
        return option.default
    if isinstance(value, int | float) and option.accepts(value):
        return from_micro(to_micro(value))
    raise InvalidLaunch(
        Message.of(
            N_("{key} cannot be {value}; permitted: {permitted}."),
            key=key,
            value=quote(value),
            permitted=option.describe(),
        ),
        key=key,
    )


def read_gpu_ids(value: object, gpus: int, permitted: bool) -> tuple[str, ...] | None:
    """Return the UUIDs of chosen GPUs, as many as are asked for; None leaves the choice to us."""
    if value is None:
        return None
    if not permitted:
        raise InvalidLaunch(
            Message.of(
                N_("This profile does not let you choose GPUs by id ({value}). Leave gpu_ids out."), value=quote(value)
            ),
            key="gpu_ids",
        )
    listed = value[: MOST_GPU_IDS + 1] if isinstance(value, list | tuple) else ()
    ids = [item for item in listed if isinstance(item, str) and 0 < len(item) <= 100]
    if not ids or not len(set(ids)) == len(listed) == gpus:
        raise InvalidLaunch(
            Message.of(
                N_("gpu_ids cannot be {value}; it must list as many different GPUs as gpus says: {gpus}."),
                value=quote(value),
                gpus=gpus,
            ),
            key="gpu_ids",
        )
    return tuple(ids)
