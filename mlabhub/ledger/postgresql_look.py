"""Look at a ledger in PostgreSQL without touching it: does it answer, is it durable, who uses it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from mlabhub.ledger.address import Address
from mlabhub.ledger.postgresql import HOLDER, make_engine
from mlabhub.ledger.postgresql_faults import sentence
from mlabhub.ledger.sql import faults_in_words


@dataclass(frozen=True)
class Seen:
    """What a server says of itself. ``number`` is its version as a number, ``holder`` the service that has the lock."""

    version: str
    number: int
    fsync: bool
    holder: str


def look_at_postgresql(address: Address) -> Seen:
    """Ask the server. Raises `LedgerUnavailable` with the reason in words."""
    engine = make_engine(address, "mlabhub doctor")
    try:
        with faults_in_words(partial(sentence, address.place)), engine.connect() as connection:
            holder = connection.execute(HOLDER).one_or_none()
            return Seen(
                version=str(connection.exec_driver_sql("SHOW server_version").scalar()).split()[0],
                number=int(str(connection.exec_driver_sql("SHOW server_version_num").scalar())),
                fsync=connection.exec_driver_sql("SHOW fsync").scalar() == "on",
                holder="" if holder is None else str(holder[0]),
            )
    finally:
        engine.dispose()
