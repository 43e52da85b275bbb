"""The ledger: what was reserved, who did what, and what was answered; in SQLite, or in memory for tests."""

from mlabhub.ledger.base import Ledger, LedgerConflict, LedgerUnavailable
from mlabhub.ledger.memory import MemoryLedger
from mlabhub.ledger.records import AuditEntry, Contents, KnownId, Record, Reservation, State, StoredAnswer
from mlabhub.ledger.sql import SqlLedger, open_sqlite

__all__ = [
    "AuditEntry",
    "Contents",
    "KnownId",
    "Ledger",
    "LedgerConflict",
    "LedgerUnavailable",
    "MemoryLedger",
    "Record",
    "Reservation",
    "SqlLedger",
    "State",
    "StoredAnswer",
    "open_sqlite",
]
