"""``notifications.yaml``: who is told what, by which address of Apprise.

Guarantees: off unless the file says otherwise. A user's name goes into an address as one quoted value, and only if no
mail server can read it as more than one name; who has another name gets no message by that pattern. Addresses hold
passwords: nothing here prints one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal
from urllib.parse import quote

from pydantic import Field, model_validator

from mlabhub.core.schema import KeyFault, Model, key_faults
from mlabhub.messages import N_, Message

USER = "{user}"
DEFAULT_USER = "default"

Kind = Literal[
    "queued",
    "started",
    "refused",
    "given_back",
    "notice",
    "notice_withdrawn",
    "reclaimed",
    "ends_soon",
    "machine_closes",
    "somebody_waits",
    "gpu_released",
    "idle_warned",
    "idle_withdrawn",
    "idle_stopped",
    "account_closed",
]
Audience = Literal["admins", "everybody"]
Address = Annotated[str, Field(strict=True, min_length=1, max_length=2000)]
File = Annotated[str, Field(strict=True, min_length=1, max_length=1000)]
Name = Annotated[str, Field(strict=True, min_length=1, max_length=255)]

FOR_PEOPLE: tuple[Kind, ...] = (
    "started",
    "refused",
    "given_back",
    "notice",
    "notice_withdrawn",
    "reclaimed",
    "ends_soon",
    "machine_closes",
    "somebody_waits",
    "gpu_released",
    "idle_warned",
    "idle_withdrawn",
    "idle_stopped",
    "account_closed",
)
FOR_CHANNELS: tuple[Kind, ...] = ("refused", "given_back", "notice", "reclaimed", "idle_stopped")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}(@[A-Za-z0-9][A-Za-z0-9.-]{0,252})?")
_LOCAL_PART = re.compile(re.escape(USER) + r"(@|%40)", re.IGNORECASE)


class Channel(Model):
    """Where messages go. One of ``url`` and ``url_file``, or neither for none."""

    url: Address | None = Field(
        default=None, repr=False, description="An address of Apprise; see docs/how-to/notifications.md."
    )
    url_file: File | None = Field(
        default=None, description="A file whose first line is the address, instead of writing it here."
    )
    kinds: tuple[Kind, ...] | None = Field(
        default=None,
        description="What is told: without it, for people all but `queued`, for channels `refused`, `given_back`, "
        "`notice`, `reclaimed` and `idle_stopped`.",
    )

    @model_validator(mode="after")
    def _has_one(self) -> Channel:
        if self.url is not None and self.url_file is not None:
            raise key_faults([KeyFault(("url_file",), Message(N_("stands beside url; keep one of the two")))])
        if self.url is not None and "://" not in self.url:
            raise key_faults([KeyFault(("url",), Message(NO_ADDRESS))])
        return self


class SiteChannel(Channel):
    """A channel that hears of everybody's servers."""

    audience: Audience = Field(
        default="admins",
        description="Who reads it: `admins` see whose server it is, `everybody` what the privacy setting gives.",
    )


NO_ADDRESS = N_("is not an address of Apprise, which begins as mailto:// or slack:// does")
ONLY_PEOPLE = N_("has {{user}}, which only addresses below users can have")


class Notifications(Model):
    """``notifications.yaml``: not for others to read, for addresses hold passwords."""

    language: Literal["en", "zh_CN"] = Field(default="en", description="The language of all messages.")
    site: dict[Name, SiteChannel] = Field(
        default_factory=dict, description="Channels that hear of everybody's servers, by a name of your choice."
    )
    groups: dict[Name, Channel] = Field(
        default_factory=dict, description="Channels by group: they hear of servers that the group pays for."
    )
    users: dict[Name, Channel] = Field(
        default_factory=dict,
        description="Where people hear of their own servers, by name; `default` is for all who have no entry, and "
        "`{user}` in its address stands for the name.",
    )
    somebody_waits_after_minutes: Annotated[float, Field(strict=True, ge=1, le=1e5, allow_inf_nan=False)] = Field(
        default=30.0,
        description="How long a server was not used before its owner is asked to give it back to somebody who waits.",
    )

    @model_validator(mode="after")
    def _only_people_have_names(self) -> Notifications:
        faults = []
        for part, channels in (("site", self.site), ("groups", self.groups)):
            for name, channel in channels.items():
                if channel.url is not None and USER in channel.url:
                    faults.append(KeyFault((part, name, "url"), Message(ONLY_PEOPLE)))
        if faults:
            raise key_faults(faults)
        return self

    def channels(self) -> Iterator[tuple[tuple[str, str], Channel]]:
        """Yield every channel with its place in the file."""
        parts: tuple[tuple[str, Mapping[str, Channel]], ...] = (
            ("site", self.site),
            ("groups", self.groups),
            ("users", self.users),
        )
        for part, channels in parts:
            for name, channel in channels.items():
                yield (part, name), channel


def fill_address(address: str, user: str) -> str | None:
    """Return a person's address; None if their name is not fit to be a part of this one.

    A name with an ``@`` is a whole address already, so it cannot stand before another ``@``.
    """
    if USER not in address:
        return address
    if not _NAME.fullmatch(user) or ("@" in user and _LOCAL_PART.search(address)):
        return None
    return address.replace(USER, quote(user, safe=""))
