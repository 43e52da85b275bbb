"""To whom a thing is told, and in which words.

Guarantees: a person hears of their own servers; a channel hears no name that its readers may not know, by the one
privacy setting. What a person typed is text in a message: it makes no line of a header, no link, and mentions nobody.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from mlabhub.catalog.notifications import LoadedNotifications
from mlabhub.core.notifications import DEFAULT_USER, FOR_CHANNELS, FOR_PEOPLE, Channel, fill_address
from mlabhub.core.privacy import EVERYTHING, Privacy, Viewer
from mlabhub.core.reasons import name_holder
from mlabhub.i18n import Translator
from mlabhub.messages import N_, Message
from mlabhub.service.idle_news import IdleWarned
from mlabhub.service.news import EndsSoon, NewsItem, NoticeGiven, Refused

WORTH_S = 3600.0
"""How long a message is worth sending, unless it has a date of its own."""

# What chats read as a mention, a link or a tag, and what looks like it.
_HARMLESS = str.maketrans({"@": "＠", "<": "‹", ">": "›", "[": "［", "]": "］", "`": "ˋ"})
_SCHEMA = re.compile(r"[a-z][a-z0-9+]{0,30}")


@dataclass(frozen=True)
class Letter:
    """One thing for one address. ``reader`` is None for the person themself; ``line`` is what may be slow or ill.

    ``expires`` is when it is not worth sending any more. ``paced``: a chat, which takes few messages a minute.
    """

    item: NewsItem
    address: str = field(repr=False)
    line: str = field(repr=False)
    reader: Viewer | None
    expires: float
    paced: bool = False

    @property
    def urgent(self) -> bool:
        """Whether others wait until it is sent: it has a countdown."""
        return isinstance(self.item, NoticeGiven | EndsSoon | IdleWarned)


def letters_about(one: NewsItem, loaded: LoadedNotifications, privacy: Privacy) -> Iterator[Letter]:
    """Yield what is to be sent about a thing."""
    settings = loaded.settings
    if settings is None:
        return
    expires = one.at + WORTH_S
    if isinstance(one, NoticeGiven | EndsSoon):
        expires = one.deadline if isinstance(one, NoticeGiven) else one.ends

    def letter(place: tuple[str, str], channel: Channel, reader: Viewer | None) -> Iterator[Letter]:
        kinds = (FOR_PEOPLE if reader is None else FOR_CHANNELS) if channel.kinds is None else channel.kinds
        known = loaded.addresses.get(place)
        address = None if known is None else fill_address(known, one.user)
        if one.kind in kinds and known is not None and address is not None:
            yield Letter(one, address, line_of(known), reader, expires, paced=reader is not None)

    name = one.user if one.user in settings.users else DEFAULT_USER
    if name in settings.users:
        yield from letter(("users", name), settings.users[name], None)
    if one.group is not None and one.group in settings.groups:
        reader = Viewer("", groups=frozenset({one.group}), privacy=privacy)
        yield from letter(("groups", one.group), settings.groups[one.group], reader)
    for name, channel in settings.site.items():
        reader = EVERYTHING if channel.audience == "admins" else Viewer("", privacy=privacy)
        yield from letter(("site", name), channel, reader)


def line_of(address: str) -> str:
    """Return what messages to an address share, so that it can be slow or broken for all of them: service and host."""
    try:
        parts = urlsplit(address)
        # Of most chats the host's place in the address has a token: then each token is a line.
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    except ValueError:
        return address


def name_of(address: str) -> str:
    """Return what may be said of an address: its service, ``slack``."""
    schema = address.partition("://")[0].lower()
    return schema if _SCHEMA.fullmatch(schema) else "?"


def write(letters: Sequence[Letter], t: Translator, root: str) -> tuple[str, str]:
    """Return title and body of one message about all of them, which go to one address. ``root`` is the service's."""
    parts = [_words(letter, t, root) for letter in letters]
    if len(parts) == 1:
        return parts[0]
    title = t(N_("{count} messages about servers"), count=len(parts))
    return title, "\n\n".join(f"{title}\n{body}" for title, body in parts)


def _words(letter: Letter, t: Translator, root: str) -> tuple[str, str]:
    one, reader = letter.item, letter.reader
    if reader is None:
        title, body = one.title, one.personal()
    else:
        who = name_holder(one, reader)
        if not reader.may_see(one):
            one = _nameless(one)
        title = Message.of(N_("{who}: {title}"), who=who, title=one.title)
        body = one.body
    return harmless(t.say(title)), f"{harmless(t.say(body))}\n{root}{letter.item.page}"


def _nameless(one: NewsItem) -> NewsItem:
    """Return the thing without what its owner typed or was told."""
    if isinstance(one, Refused):
        one = replace(one, reason=Message(""))
    return replace(one, user="", server="", display_name="")


def harmless(text: str) -> str:
    """Return a text in one line that mentions nobody and has no link in any chat."""
    return " ".join(text.split()).translate(_HARMLESS).replace("://", "∶//")
