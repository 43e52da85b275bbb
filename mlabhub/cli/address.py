"""Addresses of hubs as people give them, and which of them a token may be sent to."""

from __future__ import annotations

import re
import ssl
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from mlabhub.core.quote import quote
from mlabhub.errors import InvalidConfiguration

_PAGES = re.compile(r"/(hub|services|user)(/.*)?$", re.DOTALL)


def check_url(url: str) -> str:
    """Return the hub's address with a slash at its end. Raises `InvalidConfiguration`."""
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and not parts.query
    except ValueError:
        fits = False
    if not fits or not url.isprintable() or " " in url:
        raise _no_address(url)
    return f"{url.rstrip('/')}/"


def read_hub_address(text: str) -> str:
    """Return the address that a hub is known by, with a slash at its end.

    What a browser shows on one of its pages does as well: the path from ``/hub/`` or ``/services/`` on is left out.
    Raises `InvalidConfiguration`, also if a name or password is part of it, without saying it again.
    """
    typed = text.strip()
    typed = typed if "://" in typed else f"https://{typed}"
    try:
        parts = urlsplit(typed)
    except ValueError:
        raise _no_address(text) from None
    if parts.username is not None:
        raise InvalidConfiguration("A hub's address has no name or password in it; leave out what is before the @.")
    if not typed.isprintable():
        raise _no_address(text)
    return check_url(urlunsplit((parts.scheme, parts.netloc.lower(), _PAGES.sub("", parts.path), "", "")))


def _no_address(text: str) -> InvalidConfiguration:
    return InvalidConfiguration(f"{quote(text)} is no address of a hub; one looks like https://lab.example.org/.")


def is_secure(url: str) -> bool:
    """Return whether a browser takes an address for a secure context: encrypted, or this machine."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        local = ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost" or host.endswith(".localhost")
    return parts.scheme == "https" or local


def whom_to_trust(authority: Path | None) -> ssl.SSLContext:
    """Return a context of TLS: this system's authorities, or those of ``SSL_CERT_FILE``, and one more.

    Raises `InvalidConfiguration` if the file of ``authority`` is not one of certificates.
    """
    context = ssl.create_default_context()
    if authority is not None:
        try:
            context.load_verify_locations(authority)
        except (OSError, ssl.SSLError) as error:
            why = error.strerror if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) else None
            raise InvalidConfiguration(
                f"{authority} is not a file of certificates in PEM{f' ({why})' if why else ''}. Name the one of the "
                "authority that signed the hub's certificate."
            ) from None
    return context
