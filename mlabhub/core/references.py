"""Image references that a person types in: parsed after Docker's grammar, then held against a list of what is allowed.

Guarantees: what is parsed is the whole text, in the one spelling of it that this module prints; no scheme, no account,
no ``..``, no white space, nothing beyond ASCII, no upper case outside the tag; a registry's host is always written out,
so that no engine looks for the image anywhere else; host and port are compared exactly.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from pydantic import Field, model_validator

from mlabhub.core.quote import quote
from mlabhub.core.schema import KeyFault, Model, ShortText, key_faults
from mlabhub.messages import N_, Message

MOST = 400
MOST_NAME = 255
_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:]{{2,39}}\])"
_PORT = r"[1-9][0-9]{0,4}"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = r"sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}"
_REFERENCE = re.compile(
    rf"(?P<registry>{_HOST}(?::{_PORT})?)/(?P<repository>{_PART}(?:/{_PART})*)"
    rf"(?::(?P<tag>{_TAG}))?(?:@(?P<digest>{_DIGEST}))?"
)
_SHORT = re.compile(rf"{_PART}(?:/{_PART})*(?::{_TAG})?(?:@(?:{_DIGEST}))?")
_REGISTRY = re.compile(rf"{_HOST}(?::{_PORT})?")
_SEGMENT = re.compile(r"(?![._-])(?:(?!\.\.)[a-z0-9._-]|\*(?!\*))+(?<![._-])|\*\*")


@dataclass(frozen=True)
class ImageReference:
    """One image of one registry: ``host[:port]/repository[:tag][@digest]``."""

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"

    @property
    def exact(self) -> str:
        """What an engine is asked for: by its digest alone where it has one, which says more than any tag."""
        return f"{self.registry}/{self.repository}@{self.digest}" if self.digest else str(self)


def parse_reference(text: object) -> ImageReference | None:
    """Return the reference that ``text`` is, with ``:latest`` written out; None if it is none with a registry's host.

    A host is told from a folder as Docker tells it: it has a dot or a port, or it is ``localhost``.
    """
    if not isinstance(text, str) or len(text) > MOST:
        return None
    match = _REFERENCE.fullmatch(text)
    if match is None or not is_registry(match["registry"]):
        return None
    if len(match["registry"]) + 1 + len(match["repository"]) > MOST_NAME:
        return None
    tag, digest = match["tag"] or "", match["digest"] or ""
    return ImageReference(match["registry"], match["repository"], tag or ("" if digest else "latest"), digest)


def fault_of_reference(text: str) -> Message | None:
    """Return why an engine could not be asked for this, if so; a registry's host may be left out."""
    if _REFERENCE.fullmatch(text) is None and _SHORT.fullmatch(text) is None:
        return Message.of(
            N_("must be registry, repository and tag or digest, such as localhost/mlabhub/base:latest; it is {value}"),
            value=quote(text),
        )
    if "@" in text and ":" in text.partition("@")[0].rpartition("/")[2]:
        return Message(N_("has both a tag and a digest, which Podman refuses; keep the digest"))
    return None


def is_registry(text: str) -> bool:
    """Whether ``text`` is ``host`` or ``host:port`` and cannot be taken for a folder."""
    if _REGISTRY.fullmatch(text) is None:
        return False
    host, _, port = text.rpartition(":") if not text.endswith("]") else ("", "", "")
    if host and not host.startswith("[") and int(port) > 65535:
        return False
    return "." in text or ":" in text or text == "localhost"


class AllowedImages(Model):
    """Images that may be typed in: of one registry, those whose repository fits a pattern."""

    registry: ShortText = Field(description="The registry's host, with its port if it has one: master0:5000.")
    repository: ShortText = Field(
        description="Which of its repositories: * stands for anything within one part of the path, ** for one or more "
        "whole parts, as in eflops/* or **."
    )

    @model_validator(mode="after")
    def _is_sound(self) -> AllowedImages:
        faults = []
        if self.registry == "localhost":
            message = Message(
                N_("cannot be localhost without a port: this machine's own images are other people's saved ones too")
            )
            faults.append(KeyFault(("registry",), message))
        elif not is_registry(self.registry):
            message = Message.of(
                N_("must be a registry's host in lower case, with a dot or port, such as master0:5000; it is {value}"),
                value=quote(self.registry),
            )
            faults.append(KeyFault(("registry",), message))
        if not all(_SEGMENT.fullmatch(part) for part in self.repository.split("/")):
            message = Message.of(
                N_("must be a repository's path in lower case, where * and ** stand for parts of it; it is {value}"),
                value=quote(self.repository),
            )
            faults.append(KeyFault(("repository",), message))
        if faults:
            raise key_faults(faults)
        return self

    def __str__(self) -> str:
        return f"{self.registry}/{self.repository}"

    def allows(self, reference: ImageReference) -> bool:
        """Whether the reference is one of these."""
        return reference.registry == self.registry and self._pattern.fullmatch(reference.repository) is not None

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile("/".join(_segment_pattern(part) for part in self.repository.split("/")))


def describe_allowed(allowed: Iterable[AllowedImages]) -> str:
    """Say what may be typed in: ``master0:5000/eflops/*, registry.example.org/**``."""
    return ", ".join(str(one) for one in allowed)


def _segment_pattern(part: str) -> str:
    if part == "**":
        return r"[^/]+(?:/[^/]+)*"
    return "".join("[^/]*" if piece == "*" else re.escape(piece) for piece in re.split(r"(\*)", part))
