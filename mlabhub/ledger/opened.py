"""Open the ledger that an installation's settings name, and take what an earlier one knew along.

Guarantees: a ledger in PostgreSQL that has nothing yet gets all that the state folder's SQLite file has, in one
transaction, so that nobody's id is given to somebody else; a ledger that has something is left as it is.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from mlabhub.errors import InvalidConfiguration
from mlabhub.ledger.address import Address, parse_address
from mlabhub.ledger.postgresql import PostgresLedger, make_engine, open_postgresql
from mlabhub.ledger.postgresql_faults import sentence
from mlabhub.ledger.samples import SqlSamples
from mlabhub.ledger.sql import SqlLedger
from mlabhub.ledger.sqlite import open_sqlite
from mlabhub.messages import N_, Message
from mlabhub.settings import Settings

log = logging.getLogger(__name__)
MOVED = ".moved"
NO_LEDGER = N_("There is no ledger {file}. Name the state folder of an installation with --state.")


def open_ledger(settings: Settings) -> SqlLedger:
    """Open it for writing, as the one who does. Raises `InvalidConfiguration` or `LedgerUnavailable`."""
    address = ledger_address(settings)
    if address is None:
        return open_sqlite(settings.ledger_file)
    ledger = open_postgresql(address, f"mlabhub {settings.instance} on {socket.gethostname()}")
    if settings.ledger_file.exists():
        try:
            _move(settings.ledger_file, ledger)
        except BaseException:
            ledger.close()
            raise
    return ledger


def ledger_address(settings: Settings) -> Address | None:
    """Return where the ledger is, None for the file in the state folder. Raises `InvalidConfiguration`."""
    if not settings.ledger_url:
        return None
    return parse_address(settings.ledger_url, settings.ledger_password_file)


def _move(file: Path, ledger: PostgresLedger) -> None:
    source = open_sqlite(file)
    try:
        moved = ledger.take_over(source)
    finally:
        source.close()
    if not moved:
        log.warning("%s stays as it is: the ledger in PostgreSQL has something in it already", file)
        return
    file.rename(file.with_name(file.name + MOVED))
    log.info("What %s had is in PostgreSQL now; the file is kept as %s", file, file.name + MOVED)


@contextmanager
def open_samples(settings: Settings) -> Iterator[SqlSamples]:
    """Open the samples that an installation keeps, as `open_to_read` opens its ledger."""
    with open_to_read(settings, "mlabhub idle export") as ledger:
        yield SqlSamples(ledger)


@contextmanager
def open_to_read(settings: Settings, name: str) -> Iterator[SqlLedger]:
    """Open an installation's ledger to read it, also while its service runs; PostgreSQL is told the ``name``.

    Raises `InvalidConfiguration` or `LedgerUnavailable`.
    """
    address = ledger_address(settings)
    if address is None:
        if not settings.ledger_file.exists():
            raise InvalidConfiguration(Message.of(NO_LEDGER, file=str(settings.ledger_file)))
        ledger = open_sqlite(settings.ledger_file)
    else:
        ledger = SqlLedger(make_engine(address, name), partial(sentence, address.place))
    try:
        yield ledger
    finally:
        ledger.close()
