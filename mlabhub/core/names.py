"""Names of users, groups and servers: checked and escaped here and nowhere else.

Guarantees: two different (user, server) pairs never get the same slug, two different users or groups never the same
folder. A name that is already safe stays readable as it is; any other gets a readable beginning, ``---`` and 80 bits of
its SHA-256. No safe name contains ``---``, so no one can choose a name that is another's slug. Every function is total:
whatever text comes in, a value or an `MLabError` with a sentence comes out.
"""

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata
from collections.abc import Collection

from mlabhub.core.quote import quote
from mlabhub.errors import InvalidLaunch
from mlabhub.messages import N_, Message

MAX_USER_NAME = 255
MAX_DISPLAY_NAME = 27
MAX_SERVER_NAME = 30
MAX_SAVED_NAME = 40
MAX_SLUG = 40
MAX_FOLDER = 32

_SAFE = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_FOLDER = re.compile(r"[a-z_][a-z0-9_.-]{0,31}")
_SERVER = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_NOT_SAFE = re.compile(r"[^a-z0-9]+")
_HASHED = "---"

SAVED_PREFIX = "saved/"
"""What stands before the name of one's own saved image where an image is chosen."""

RESERVED_FOLDERS = frozenset({"root", "aquota.user", "aquota.group", "quota.user", "quota.group"})
"""Names that mean something to a file system or to those who look after it."""

PAGES = frozenset(
    {
        "api",
        "consoles",
        "custom",
        "desktop",
        "desktop-vnc",
        "doc",
        "edit",
        "files",
        "kernelspecs",
        "lab",
        "login",
        "logout",
        "lsp",
        "metrics",
        "mlabhub",
        "nbconvert",
        "notebooks",
        "proxy",
        "server-proxy",
        "static",
        "tensorboard",
        "terminal",
        "terminals",
        "tree",
        "view",
        "vscode",
    }
)
"""First parts of addresses in a server: a named server would stand there before the default server's own page."""

SYSTEM_ACCOUNTS = frozenset({"root", "daemon", "bin", "sys", "nobody", "nogroup"})
"""Names that are the system's everywhere; other system accounts are known by their id (see `identity.choose_id`)."""


def user_slug(user: str) -> str:
    """Return a name for this user's network, at most 40 of ``[a-z0-9-]``."""
    return user if _is_safe(user) else _hashed_slug(user, _digest("user", user), MAX_SLUG)


def server_slug(user: str, server: str) -> str:
    """Return a name for this server's container, at most 40 of ``[a-z0-9-]``; the default server's name is empty."""
    if not server:
        return user_slug(user)
    slug = f"{user}--{server}"
    if _is_safe(user) and _is_safe(server) and len(slug) <= MAX_SLUG:
        return slug
    return _hashed_slug(f"{user}-{server}", _digest("server", user, server), MAX_SLUG)


def folder_name(name: str) -> str:
    """Return the name of a user's or group's folder, which is also the account's name inside a server.

    At most 32 characters, never ``..``, never starting with a dot or a digit.
    """
    if _FOLDER.fullmatch(name) and ".." not in name and _HASHED not in name and name not in RESERVED_FOLDERS:
        return name
    slug = _hashed_slug(name, _digest("folder", name), MAX_FOLDER - 2)
    return slug if slug[0].isalpha() else f"u-{slug}"


def claim_slug(volume: str, folder: str) -> str:
    """Return a name for what keeps a folder of a volume, at most 40 of ``[a-z0-9-]``; it is never a server's."""
    return _hashed_slug(f"{volume.rsplit('/')[-1]}-{folder}", _digest("claim", volume, folder), MAX_SLUG)


def check_user_name(name: str) -> str:
    """Return a user's name if we can work with it.

    Raises
    ------
    InvalidLaunch
        It is empty, too long, a system account's, or has characters that hide in a page or break an address.
    """
    reason = _fault_of_name(name)
    if reason is not None:
        raise InvalidLaunch(
            Message.of(
                N_("The user name {name} cannot be used: {reason}. Ask an administrator for another one."),
                name=quote(name),
                reason=reason,
            )
        )
    return name


def check_display_name(text: object) -> str:
    """Return a server's name as a person typed it: letters of any script, digits and underscores, 1 to 27.

    Letters beyond ASCII are welcome, as the name is only shown; forms that look the same as another spelling
    (full-width letters, combined accents) are not, so that two servers never look alike.
    """
    if isinstance(text, str) and 0 < len(text) <= MAX_DISPLAY_NAME:
        usual = unicodedata.normalize("NFKC", text)
        if text == usual and all(_is_name_character(character) for character in text):
            return text
    raise InvalidLaunch(
        Message.of(
            N_("{name} cannot be a server's name: use letters, digits and underscores, 1 to {most} of them."),
            name=quote(text),
            most=MAX_DISPLAY_NAME,
        ),
        key="display_name",
    )


def is_server_name(text: object) -> bool:
    """Whether the hub takes this as a named server's name."""
    return isinstance(text, str) and len(text) <= MAX_SERVER_NAME and _SERVER.fullmatch(text) is not None


def make_server_name(display_name: str, taken: Collection[str] = ()) -> str:
    """Return the hub's name for a new server: a slug of what was typed that no name in ``taken`` and no page has."""
    return _make_name(display_name, "server", PAGES.union(taken), MAX_SERVER_NAME)


def is_saved_name(text: object) -> bool:
    """Whether this can be the name of a person's own saved image: lower-case letters, digits, single hyphens."""
    return isinstance(text, str) and len(text) <= MAX_SAVED_NAME and _SERVER.fullmatch(text) is not None


def make_saved_name(display_name: str, taken: Collection[str] = ()) -> str:
    """Return the name for a new saved image: a slug of what was typed that no name in ``taken`` has."""
    return _make_name(display_name, "image", taken, MAX_SAVED_NAME)


def _make_name(typed: str, otherwise: str, taken: Collection[str], most: int) -> str:
    plain = unicodedata.normalize("NFKD", typed).encode("ascii", "ignore").decode().lower()
    slug = _NOT_SAFE.sub("-", plain).strip("-") or otherwise
    if not slug[0].isalpha():
        slug = f"{otherwise[0]}-{slug}"
    candidate = slug[:most].rstrip("-")
    number = 1
    while candidate in taken:
        number += 1
        suffix = f"-{number}"
        candidate = slug[: most - len(suffix)].rstrip("-") + suffix
    return candidate


def _is_safe(name: str) -> bool:
    return len(name) <= MAX_SLUG and _SAFE.fullmatch(name) is not None


def _hashed_slug(readable: str, digest: str, length: int) -> str:
    tail = _HASHED + digest
    head = _NOT_SAFE.sub("-", readable[:200].lower()).strip("-")[: length - len(tail)].rstrip("-")
    return (head or "x") + tail


def _digest(*parts: str) -> str:
    """Return 80 bits of SHA-256 as 16 of ``[a-z2-7]``; lengths are hashed too, so that parts cannot run together."""
    encoded = [part.encode("utf-8", "surrogatepass") for part in parts]
    hashed = hashlib.sha256(b"".join(b"%d:%s" % (len(part), part) for part in encoded)).digest()
    return base64.b32encode(hashed[:10]).decode().lower()


def _is_name_character(character: str) -> bool:
    return character == "_" or character.isalpha() or character.isdecimal()


def _fault_of_name(name: object) -> Message | None:
    if not isinstance(name, str) or not name:
        return Message(N_("it is empty"))
    if len(name) > MAX_USER_NAME:
        return Message.of(N_("it has more than {most} characters"), most=MAX_USER_NAME)
    if "/" in name or name in (".", ".."):
        return Message(N_("it would lead to another folder"))
    if name != name.strip():
        return Message(N_("it begins or ends with a space"))
    if not name.isprintable():
        return Message(N_("it has characters that cannot be seen"))
    if unicodedata.normalize("NFKC", name) != name:
        return Message.of(N_("it looks like {usual}"), usual=quote(unicodedata.normalize("NFKC", name)))
    if name.lower() in SYSTEM_ACCOUNTS:
        return Message(N_("it is a system account's name"))
    return None
