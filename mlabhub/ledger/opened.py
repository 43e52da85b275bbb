"""Open the ledger that an installation's settings name."""

from __future__ import annotations

import socket

from mlabhub.ledger.address import Address, parse_address
from mlabhub.ledger.postgresql import open_postgresql
from mlabhub.ledger.sql import SqlLedger
from mlabhub.ledger.sqlite import open_sqlite
from mlabhub.settings import Settings


def open_ledger(settings: Settings) -> SqlLedger:
    """Open it for writing, as the one who does. Raises `InvalidConfiguration` or `LedgerUnavailable`."""
    address = ledger_address(settings)
    if address is None:
        return open_sqlite(settings.ledger_file)
    return open_postgresql(address, f"mlabhub {settings.instance} on {socket.gethostname()}")


def ledger_address(settings: Settings) -> Address | None:
    """Return where the ledger is, None for the file in the state folder. Raises `InvalidConfiguration`."""
    if not settings.ledger_url:
        return None
    return parse_address(settings.ledger_url, settings.ledger_password_file)
