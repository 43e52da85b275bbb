"""Where the hub listens, and the address that people are told.

Guarantees: an address that cannot work is refused at the start. Nothing of the hub is bound to the address that people
are told: pages and redirects have paths only, so that it answers under every name that leads to it.
"""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from mlabhub.errors import InvalidConfiguration


def make_base_url(wanted: str) -> str:
    """Return a path prefix with one slash at each end."""
    return f"/{wanted.strip('/')}/" if wanted.strip("/") else "/"


def find_address(host: str) -> str:
    """Return the address that ``--host`` means; empty for all of them. Raises `InvalidConfiguration`."""
    if host in ("", "0.0.0.0", "::", "*"):
        return ""
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError as error:
        raise InvalidConfiguration(
            f"--host {host!r} is no address of this machine: {error.strerror}. Leave it out for all addresses."
        ) from error


def make_own_url(scheme: str, name: str, host: str, port: int, base_url: str) -> str:
    """Return the hub's own address: with the certificate's name, else one that works on this machine in any case."""
    if not name:
        name = "localhost" if host in ("", "127.0.0.1", "::1") else f"[{host}]" if ":" in host else host
    return f"{scheme}://{name}:{port}{base_url}"


def check_public_url(wanted: str, base_url: str) -> str:
    """Return the address of ``--public-url``, with a slash at its end. Raises `InvalidConfiguration`."""
    try:
        parts = urlsplit(wanted)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none
        fits = False
    if not fits or parts.query or parts.fragment or parts.username is not None or not wanted.isprintable():
        raise InvalidConfiguration(
            f"--public-url {wanted!r} is no address of a hub; one looks like https://lab.example.org/."
        )
    path = make_base_url(parts.path)
    if path != base_url:
        raise InvalidConfiguration(
            f"--public-url has the path {path} and --base-url is {base_url}. They must be the same, and the web server "
            "in front must pass the path on as it is."
        )
    return f"{parts.scheme}://{parts.netloc}{path}"
