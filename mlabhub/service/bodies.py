"""Request bodies: JSON that is bounded in every way, and the shapes that the API takes.

Guarantees: whatever bytes arrive, the result is a checked model or an `InvalidLaunch`/`TooLarge` with a sentence;
strings that cannot be written as UTF-8, numbers that are not finite and nesting without end never get past here.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, NoReturn, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from mlabhub.client.service import MOST_NOTES
from mlabhub.errors import InvalidLaunch
from mlabhub.messages import N_, Message, read_message

LARGEST_BODY = 1024 * 1024
_DEEPEST = 32
_LONGEST_NUMBER = 40


class InvalidBody(InvalidLaunch):
    """The body is no JSON, or not of the shape that this call takes."""

    code = "invalid_body"


class Body(BaseModel):
    """A request body: strict types, no unknown keys."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class LaunchBody(Body):
    """Start a server. Without ``user``: one's own. With ``queue: false`` it starts now or is refused."""

    user: str | None = Field(None, max_length=255)
    server_name: str = Field("", max_length=255)
    display_name: str = Field("", max_length=255)
    user_options: dict[str, Any] = Field(default_factory=dict)
    queue: bool = True


class ChangeBody(Body):
    """What a launch that waits asks for from now on."""

    user_options: dict[str, Any]


class MoveBody(Body):
    """Before which entry of the same person an entry is to stand; null: before all of them. The reason is audited."""

    before: str | None = Field(None, max_length=64)
    reason: str = ""


class PreviewBody(Body):
    """Ask what a launch would be answered, without reserving anything.

    Without ``every`` (false) the answer's ``choices`` are empty, and it comes faster.
    """

    user: str | None = Field(None, max_length=255)
    server_name: str = Field("", max_length=255)
    user_options: dict[str, Any] = Field(default_factory=dict)
    every: bool = True


class SaveBody(Body):
    """Under which name a server is saved as an image, and what its owner says about it."""

    name: str = Field(max_length=255)
    description: str = Field("", max_length=1000)


class ExtendBody(Body):
    """For how long a server is kept although it is idle: ``seconds`` or ``hours``; and why."""

    seconds: float | None = Field(None, allow_inf_nan=False, gt=0, le=366 * 86400)
    hours: float | None = Field(None, allow_inf_nan=False, gt=0, le=366 * 24)
    reason: str = Field("", max_length=500)

    @model_validator(mode="after")
    def _says_once(self) -> ExtendBody:
        if (self.seconds is None) == (self.hours is None):
            raise ValueError("either seconds or hours")
        return self

    @property
    def length_s(self) -> float:
        """How long, in seconds."""
        return self.seconds if self.seconds is not None else 3600 * (self.hours or 0.0)


class ReasonBody(Body):
    """Why somebody gives something back."""

    reason: str = Field("", max_length=200)


class PersonBody(Body):
    """Open an account. ``quota`` is the person's own cap by resource, null for no limit; ``profile`` starts a server.

    Without ``password`` one is drawn, and told once in the answer.
    """

    name: str = Field(max_length=255)
    groups: list[str] = Field(default_factory=list, max_length=50)
    quota: dict[str, float | None] = Field(default_factory=dict)
    profile: str = Field("", max_length=255)
    admin: bool = False
    password: str | None = Field(None, max_length=1000)


class CloseBody(Body):
    """Why an account is closed, and for how many days its files are kept; null: as the configuration says."""

    keep_days: int | None = Field(None, ge=0, le=3650)
    reason: str = Field("", max_length=500)


class PasswordBody(Body):
    """A new password; null: one is drawn."""

    password: str | None = Field(None, max_length=1000)


class GroupsBody(Body):
    """The groups that a person is in from now on."""

    groups: list[str] = Field(max_length=50)


class BringBackBody(Body):
    """Whether to wait in the queue where the GPUs are not free."""

    queue: bool = False


class ReserveBody(Body):
    """A spawner's request. ``launch_id`` is the one it made for a spawn that comes without.

    ``deadline`` is in seconds from now; after it hub and backend are asked what became of the start.
    """

    launch_id: str = Field(max_length=1000)
    user_options: dict[str, Any] = Field(default_factory=dict)
    groups: list[str] = Field(default_factory=list, max_length=1000)
    backend: str = Field("", max_length=64)
    deadline: float = Field(600.0, gt=0, le=86400)


Note = Annotated[Message, PlainValidator(read_message), WithJsonSchema({"type": "object"})]


class HeldBody(Body):
    """Which launch runs now, and what its owner is to know about it.

    A note is ``{"text": "Without {target}", "values": {"target": "/data"}}``: text in English and its values, which may
    be such sentences, too.
    """

    launch_id: str = Field(min_length=1, max_length=64)
    notes: list[Note] = Field(default_factory=list, max_length=MOST_NOTES)


class PlacedBody(Body):
    """Which launch the cluster put on which node."""

    launch_id: str = Field(min_length=1, max_length=64)
    node: str = Field(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9.-]+$")


class ShortBody(Body):
    """Which launch the cluster finds no node for."""

    launch_id: str = Field(min_length=1, max_length=64)


class ReleasedBody(Body):
    """Which launch ended; ``note`` is the sentence for its owner, or ``reason`` in plain words: why it did.

    ``passing``: what kept it from starting passes by itself, so that what came from the queue waits again. ``served``:
    the hub had let people in, so that it was no start that came to nothing.
    """

    launch_id: str = Field(min_length=1, max_length=64)
    reason: str = Field("", max_length=2000)
    note: Note | None = None
    passing: bool = False
    served: bool = False


MOST_REPORTS = 60
MOST_SECONDS = 1e9
Age = Annotated[float, Field(ge=0, le=MOST_SECONDS)]
Count = Annotated[int, Field(ge=0, le=100_000)]
Clock = Annotated[float, Field(ge=0, le=1e11)]
ServerName = Annotated[str, Field(max_length=600)]


class ReportBody(Body):
    """What the agent in a server saw at one time; null, or an absent key, is not known. Ages are seconds before ``t``.

    ``t`` is the agent's own time; ``number`` grows from report to report. ``inputs`` are the ages of a person's last
    key or pointer event by tool, ``input_age`` that of the last one in any. ``kernels_busy_age``: for how long the one
    that has been busy for longest is. What else it says is ignored: images are older or newer than the service.
    """

    model_config = ConfigDict(extra="ignore")

    t: Clock
    number: int = Field(ge=1, le=2**53)
    input_age: Age | None = None
    inputs: dict[Annotated[str, Field(max_length=32)], Age] = Field(default_factory=dict, max_length=16)
    kernels_busy: Count | None = None
    kernels_busy_age: Age | None = None
    terminals_busy: Count | None = None
    cpu_cores: Annotated[float, Field(ge=0, le=100_000)] | None = None


class ReportsBody(Body):
    """Reports of one server, by its name (``alice/train``; ``alice/`` is the default one).

    ``sent`` is the agent's own time as it sends them, so that it need not be the service's. ``seen``: the time of the
    warning (``warning.at``, the service's own) that a tool in the server has shown to a person.
    """

    server: ServerName
    sent: Clock
    reports: list[ReportBody] = Field(min_length=1, max_length=MOST_REPORTS)
    seen: Clock | None = None


class KeepOwnBody(Body):
    """For how long a person, in the server itself, wants it kept though it is idle, and why."""

    server: ServerName
    seconds: Annotated[float, Field(gt=0, le=MOST_SECONDS)]
    reason: str = Field("", max_length=1000)


class ReleaseOwnBody(Body):
    """A person, in the server itself, gives its GPUs back."""

    server: ServerName


class SavedBody(Body):
    """The agent has done what an order asked for. ``rescue``: where in the home the bundle is; empty: there is none."""

    server: ServerName
    rescue: str = Field("", max_length=4096)


class ReconcileBody(Body):
    """Compare hub, backend and ledger; with ``repair`` also stop what nobody can account for.

    With ``dry_run`` nothing is done, whatever else is asked for.
    """

    repair: bool = False
    dry_run: bool = False


_FAULTS = {
    "model_type": "it must be an object",
    "dict_type": "it must be an object",
    "list_type": "it must be a list",
    "string_type": "it must be text",
    "bool_type": "it must be true or false",
    "float_type": "it must be a number",
    "int_type": "it must be a whole number",
    "missing": "it is missing",
    "extra_forbidden": "there is no such key",
}

B = TypeVar("B", bound=Body)


def parse(raw: bytes, shape: type[B]) -> B:
    """Return the body as that shape; an empty body is an empty object. Raises `InvalidBody`."""
    try:
        return shape.model_validate(parse_json(raw) if raw.strip() else {})
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or N_("the body")
        raise InvalidBody(
            Message.of(
                N_("The request is not right at {where}: {fault}. The calls and their bodies are in openapi.json."),
                where=where,
                fault=_FAULTS.get(first["type"], first["msg"]),
            )
        ) from error


def parse_json(raw: bytes) -> Any:
    """Return the JSON value. Raises `InvalidBody`."""
    try:
        text = raw.decode("utf-8")
        value = json.loads(text, parse_constant=_not_finite, parse_float=_finite, parse_int=_bounded)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8")  # half of a surrogate pair cannot be written
    except UnicodeError:
        raise _invalid("it is not UTF-8 text") from None
    except RecursionError:
        raise _invalid("it is nested too deeply") from None
    except ValueError as error:
        raise _invalid(str(error)) from None
    if _depth_exceeds(value, _DEEPEST):
        raise _invalid("it is nested too deeply")
    return value


def _depth_exceeds(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            child
            for one in level
            if isinstance(one, (dict, list))
            for child in (one.values() if isinstance(one, dict) else one)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return True


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"the number {text[:_LONGEST_NUMBER]} is too large")
    return number


def _bounded(text: str) -> int:
    if len(text) > _LONGEST_NUMBER:
        raise ValueError(f"the number {text[:_LONGEST_NUMBER]}... is too large")
    return int(text)


def _not_finite(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number in JSON")


def _invalid(why: str) -> InvalidBody:
    return InvalidBody(
        Message.of(N_("The request's body cannot be read: {why}. Send a JSON object in UTF-8."), why=why), why=why
    )
