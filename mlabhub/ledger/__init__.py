"""The ledger: what was reserved, who did what, and what was answered; in SQLite, PostgreSQL, or in memory for tests."""

from mlabhub.ledger.address import Address, parse_address
from mlabhub.ledger.audit import AUDIT_WINDOW, AuditFilter, AuditPage
from mlabhub.ledger.base import Ledger, LedgerConflict, LedgerUnavailable, one_per_server
from mlabhub.ledger.memory import MemoryLedger
from mlabhub.ledger.opened import ledger_address, open_ledger, open_samples, open_to_read
from mlabhub.ledger.postgresql import LedgerTaken, PostgresLedger, open_postgresql
from mlabhub.ledger.postgresql_look import look_at_postgresql
from mlabhub.ledger.records import (
    AuditEntry,
    ClosedAccount,
    Contents,
    HeldThen,
    IdleWarning,
    Keeping,
    KnownId,
    Nudge,
    PastRun,
    QueueEntry,
    QuotaChange,
    ReclaimNotice,
    Record,
    Reservation,
    Shelved,
    State,
    StoredAnswer,
    ToldStart,
    WouldStop,
)
from mlabhub.ledger.samples import MemorySamples, SampleStore, SqlSamples
from mlabhub.ledger.sql import SqlLedger
from mlabhub.ledger.sqlite import check_disk, open_sqlite
from mlabhub.ledger.usage import MemoryUsage, SqlUsage, UsageStore
from mlabhub.ledger.workload import RecordedRuns

__all__ = [
    "AUDIT_WINDOW",
    "Address",
    "AuditEntry",
    "AuditFilter",
    "AuditPage",
    "ClosedAccount",
    "Contents",
    "HeldThen",
    "IdleWarning",
    "Keeping",
    "KnownId",
    "Ledger",
    "LedgerConflict",
    "LedgerTaken",
    "LedgerUnavailable",
    "MemoryLedger",
    "MemorySamples",
    "MemoryUsage",
    "Nudge",
    "PastRun",
    "PostgresLedger",
    "QueueEntry",
    "QuotaChange",
    "ReclaimNotice",
    "Record",
    "RecordedRuns",
    "Reservation",
    "SampleStore",
    "Shelved",
    "SqlLedger",
    "SqlSamples",
    "SqlUsage",
    "State",
    "StoredAnswer",
    "ToldStart",
    "UsageStore",
    "WouldStop",
    "check_disk",
    "ledger_address",
    "look_at_postgresql",
    "one_per_server",
    "open_ledger",
    "open_postgresql",
    "open_samples",
    "open_sqlite",
    "open_to_read",
    "parse_address",
]
