"""Where a ledger in PostgreSQL is: an address without a password, and the file that has it.

Guarantees: an address with a password in it is refused without being repeated; the password is read when a connection
is made, from a file that its owner alone can read, and is in no text that leaves this module.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from mlabhub.errors import InvalidConfiguration
from mlabhub.messages import N_, Message

_EXAMPLE = "postgresql://mlabhub@db.example.org/mlabhub"
_SECRET_KEYS = ("password", "sslpassword", "oauth_client_secret")


@dataclass(frozen=True)
class Address:
    """A checked address. ``place`` is how people know it."""

    url: sa.URL
    password_file: Path | None = None

    @property
    def place(self) -> str:
        """Return server and database, without user or options."""
        hosts = self.url.query.get("host", self.url.host or "localhost")
        shown = hosts if isinstance(hosts, str) else ",".join(hosts)
        port = f":{self.url.port}" if self.url.port else ""
        return f"{shown}{port}/{self.url.database or self.user}"

    @property
    def user(self) -> str:
        """Return the name that the ledger logs in with."""
        return self.url.username or os.environ.get("PGUSER") or "mlabhub"

    def password(self) -> str | None:
        """Return what the password file says; without one, libpq looks in ``PGPASSFILE`` and ``~/.pgpass``."""
        return None if self.password_file is None else read_password(self.password_file)


def parse_address(text: str, password_file: Path | None = None) -> Address:
    """Check an address, ``postgresql://USER@HOST:PORT/DATABASE``. Raises `InvalidConfiguration`."""
    try:
        url = sa.make_url(text)
    except (sa.exc.ArgumentError, ValueError):
        raise InvalidConfiguration(
            Message.of(
                N_("--ledger is not a database's address, such as {example}; without --ledger it is a file."),
                example=_EXAMPLE,
            )
        ) from None
    if url.password is not None or any(key in url.query for key in _SECRET_KEYS):
        raise InvalidConfiguration(
            N_(
                "--ledger has a password in it, which everybody on this machine could read. Take it out, write it into "
                "a file that only you can read, and name that with --ledger-password-file."
            )
        )
    if url.drivername not in ("postgresql", "postgres"):
        raise InvalidConfiguration(
            Message.of(
                N_("--ledger begins with {scheme}://; only postgresql:// is known, as in {example}."),
                scheme=url.drivername,
                example=_EXAMPLE,
            )
        )
    if password_file is not None:
        read_password(password_file)
    return Address(url.set(drivername="postgresql+psycopg"), password_file)


def read_password(file: Path) -> str:
    """Return a file's first line. Raises `InvalidConfiguration` if it cannot be read, or if others can read it."""
    try:
        with file.open() as opened:
            mode = os.fstat(opened.fileno()).st_mode
            password = opened.readline().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidConfiguration(
            Message.of(
                N_("The ledger's password file {file} cannot be read ({reason}). Mend that, or name another one."),
                file=str(file),
                reason=getattr(error, "strerror", None) or "it is no text",
            )
        ) from None
    if stat.S_IMODE(mode) & 0o077:
        raise InvalidConfiguration(
            Message.of(
                N_("Others can read the ledger's password file {file}. `chmod 600 {file}` mends that."), file=str(file)
            )
        )
    if not password:
        raise InvalidConfiguration(
            Message.of(
                N_("The ledger's password file {file} is empty. Write the password into its first line."),
                file=str(file),
            )
        )
    return password
