"""The catalogue with the quotas in force now: the configuration folder's, and what was changed at run time.

Guarantees: everything that decides gets its quotas here; between two changes it is the same object; while the ledger
cannot be read, the changes that were known last go on counting, each until its end.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from mlabhub.core.hopeless import fits_quotas, hopeless
from mlabhub.core.profiles import Catalog, LaunchRequest
from mlabhub.core.quota_changes import QuotaChange, contradictions, effective, quotas_ahead, span
from mlabhub.core.quotas import DEFAULT_USER
from mlabhub.errors import MLabError
from mlabhub.ledger import LedgerUnavailable
from mlabhub.messages import Message
from mlabhub.service.writer import Writer


class Source(Protocol):
    """What the configuration folder says, as `mlabhub.service.catalogue.CatalogSource` has it."""

    @property
    def fault(self) -> MLabError | None: ...

    def __call__(self) -> Catalog: ...
    def look(self) -> None: ...


@dataclass(frozen=True)
class _Kept:
    """A catalogue with quotas in force, of what it was made, and from when until when it counts."""

    configured: Catalog
    changes: Mapping[str, QuotaChange]
    since: float
    until: float
    catalog: Catalog

    def counts(self, configured: Catalog, changes: Mapping[str, QuotaChange], now: float) -> bool:
        return self.configured is configured and self.changes is changes and self.since <= now < self.until


class QuotaCatalogue:
    """Call it for the catalogue. ``clock`` tells seconds since the epoch; it may step."""

    def __init__(self, source: Source, writer: Writer, clock: Callable[[], float]):
        self._source = source
        self._writer = writer
        self._clock = clock
        self._changes: Mapping[str, QuotaChange] = {}
        self._kept: _Kept | None = None

    @property
    def fault(self) -> MLabError | None:
        """Why the folder's newest state is not in force."""
        return self._source.fault

    @property
    def changes(self) -> Mapping[str, QuotaChange]:
        """All changes by id, as far as they are known."""
        with contextlib.suppress(LedgerUnavailable):  # what was known last goes on; nothing new is decided meanwhile
            self._changes = self._writer.projection.quota_changes
        return self._changes

    def renewed(self, catalog: Catalog) -> Catalog:
        """Return a catalogue of a moment ago with the quotas in force now: a decision made in its turn needs these."""
        quotas = self().quotas
        return catalog if catalog.quotas is quotas else catalog.model_copy(update={"quotas": quotas})

    def hopeless(self, request: LaunchRequest) -> Message | None:
        """Say why neither the quotas now nor those ahead could ever hold a request; None if some could."""
        if fits_quotas(request, self().quotas):
            return None
        names = {request.user, DEFAULT_USER, *([request.group] if request.group is not None else ())}
        return hopeless(request, quotas_ahead(self._source().quotas, self.changes.values(), self._clock(), names))

    def look(self) -> None:
        """Read the folder if it has changed and then was left alone for a while."""
        self._source.look()

    def configured(self) -> Catalog:
        """Return the catalogue as the folder has it."""
        return self._source()

    def __call__(self) -> Catalog:
        """Return the catalogue in force."""
        configured, changes, now = self._source(), self.changes, self._clock()
        if self._kept is None or not self._kept.counts(configured, changes, now):
            quotas = effective(configured.quotas, changes.values(), now)
            same = quotas is configured.quotas
            catalog = configured if same else configured.model_copy(update={"quotas": quotas})
            self._kept = _Kept(configured, changes, *span(changes.values(), now), catalog)
        return self._kept.catalog

    def contradictions(self) -> tuple[Message, ...]:
        """Say which guarantees are cut now, as the configuration was edited under a change."""
        return tuple(contradictions(self._source().quotas, self.changes.values(), self._clock()))
