"""The one tree of errors that a person may see.

    MLabError                    500  something of ours failed
    +-- InvalidConfiguration     500  a fault in the configuration folder or the command line (exit code 2)
    +-- InvalidLaunch            422  a launch option that cannot be: unknown, malformed, out of range
    +-- NotPermitted             403  the person may not do this
    +-- LaunchRefused            409  well formed and permitted, but not now or never: quota, capacity, name in use
    +-- NotFound                 404  no such launch, server, user
    +-- UnknownToken             401  a report token that this service did not make
    +-- Gone                     410  what a token was made for is over
    +-- TooMany                  429  more calls than anybody needs
    +-- TooLarge                 413  a body beyond the limit
    +-- Unavailable              503  service, hub or engine cannot be reached
        +-- EngineUnavailable    503  Podman or Docker does not answer
        +-- ClusterUnavailable   503  Kubernetes does not answer

Each carries one sentence for a person (``message``, translatable), a text for the log, and its data as keywords.
The sentence says what happened, why (with the offending value) and what can be done.
"""

from __future__ import annotations

from typing import Any, ClassVar

from mlabhub.messages import Message


class MLabError(Exception):
    """An error with a sentence for a person.

    ``message`` is shown, ``log_text`` is logged (the same sentence if absent), ``data`` stands beside the sentence
    in API answers and must be JSON-able.
    """

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500

    def __init__(self, message: Message | str, *, log_text: str | None = None, **data: Any) -> None:
        self.message = (
            message if isinstance(message, Message) else Message(message.replace("{", "{{").replace("}", "}}"))
        )
        self.log_text = log_text or str(self.message)
        self.data = data
        super().__init__(str(self.message))

    def to_dict(self) -> dict[str, Any]:
        """Return the body of an API answer: ``{"error": {"code", "message", ...data}}``."""
        return {"error": {**self.data, "code": self.data.get("code", self.code), "message": str(self.message)}}


class InvalidConfiguration(MLabError):
    """The configuration folder or the command line is wrong; nothing was started."""

    code = "invalid_configuration"


class InvalidLaunch(MLabError):
    """A launch option is unknown, malformed or out of range."""

    code = "invalid_launch"
    status = 422


class NotPermitted(MLabError):
    """The person may not do this."""

    code = "not_permitted"
    status = 403


class LaunchRefused(MLabError):
    """The launch is well formed and permitted, but cannot be now, or ever."""

    code = "refused"
    status = 409


class NotNow(LaunchRefused):
    """What keeps a launch from starting passes by itself: who waited for their turn goes on waiting."""


class NotFound(MLabError):
    """No such launch, server or user."""

    code = "not_found"
    status = 404


class UnknownToken(MLabError):
    """The report token is missing, or this service did not make it."""

    code = "unknown_token"
    status = 401


class Gone(MLabError):
    """What the token was made for is over."""

    code = "gone"
    status = 410


class TooMany(MLabError):
    """More calls than anybody needs; a later one is answered."""

    code = "too_many"
    status = 429


class TooLarge(MLabError):
    """The request's body is beyond the limit."""

    code = "too_large"
    status = 413


class Unavailable(MLabError):
    """A part of the hub cannot be reached; nothing was changed."""

    code = "unavailable"
    status = 503


class EngineUnavailable(Unavailable):
    """Podman or Docker does not answer."""

    code = "engine_unavailable"


class ClusterUnavailable(Unavailable):
    """Kubernetes does not answer."""

    code = "cluster_unavailable"
