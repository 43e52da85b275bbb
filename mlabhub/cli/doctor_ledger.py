"""What doctor says of the ledger: is its disk one for SQLite, or does its PostgreSQL answer as it should."""

from __future__ import annotations

from pathlib import Path

from mlabhub.cli.findings import Check
from mlabhub.errors import MLabError
from mlabhub.ledger import check_disk, ledger_address, look_at_postgresql
from mlabhub.settings import Settings

OLDEST = 12
"""The oldest PostgreSQL that its makers still looked after lately."""


def look_at_ledger(settings: Settings | None, state_dir: Path) -> Check:
    """Return the finding; nothing is changed, and the running service is not disturbed."""
    try:
        address = None if settings is None else ledger_address(settings)
        if address is None:
            check_disk(state_dir)
            return Check("ledger", "ok", f"SQLite in {state_dir}")
        seen = look_at_postgresql(address)
    except MLabError as error:
        return Check("ledger", "missing", "cannot be used", str(error))
    found = f"PostgreSQL {seen.version} at {address.place}"
    if seen.holder:
        found += f", in use by {seen.holder}"
    if not seen.fsync:
        fix = "Take `fsync = off` out of its configuration, and restart it."
        return Check("ledger", "missing", f"{found}; a power cut may damage it: fsync is off", fix)
    if seen.number < OLDEST * 10000:
        return Check("ledger", "better", found, f"PostgreSQL {OLDEST} or newer is what is tested.")
    return Check("ledger", "ok", found)
