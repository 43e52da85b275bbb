"""What is asked of the audit: which entries are wanted, and a page of them.

Guarantees: whatever is asked, and however long the audit is, one answer reads at most `AUDIT_WINDOW` entries, and says
how far it came; to go on from there finds the rest, so that nothing is skipped.
"""

from __future__ import annotations

from dataclasses import dataclass

from mlabhub.i18n import LANGUAGES, get_translator
from mlabhub.ledger.records import AuditEntry

AUDIT_WINDOW = 20_000
"""How many entries one answer looks through: of one person, one actor or one act where one is named, else of all."""


@dataclass(frozen=True)
class AuditFilter:
    """Which entries are wanted; what is empty, or None, does not matter.

    ``user`` is whom it is about and ``actor`` who did it. ``since`` and ``until`` are seconds since the epoch, the
    latter not included. ``text`` is part of a name or of the sentence as it is said in any language, in any case.
    Entries of the acts in ``without`` are not wanted.
    """

    user: str = ""
    actor: str = ""
    act: str = ""
    server: str | None = None
    since: float | None = None
    until: float | None = None
    text: str = ""
    without: tuple[str, ...] = ()

    def matches(self, entry: AuditEntry) -> bool:
        """Return whether an entry is wanted."""
        return (
            all(getattr(self, name) in ("", getattr(entry, name)) for name in ("user", "actor", "act"))
            and entry.act not in self.without
            and self.server in (None, entry.server)
            and (self.since is None or entry.at >= self.since)
            and (self.until is None or entry.at < self.until)
            and self.text.lower() in searched(entry)
        )


@dataclass(frozen=True)
class AuditPage:
    """Some entries, newest first.

    ``next`` is what to give as ``before`` to go on; None: there are no more. ``searched_to`` is the time of the oldest
    entry that was looked at, where it ended for having looked at enough, and not for having found enough.
    """

    entries: tuple[AuditEntry, ...]
    next: int | None = None
    searched_to: float | None = None


def searched(entry: AuditEntry) -> str:
    """Return the text that is searched: names, and the sentence in every language, in lower case."""
    names = (entry.actor, entry.act, entry.user, entry.server, entry.launch_id)
    return "\n".join((*names, *(_said(entry, language) for language in LANGUAGES))).lower()


def _said(entry: AuditEntry, language: str) -> str:
    """Return the sentence; of one whose template is none, the template: whatever it is, the entry is kept."""
    try:
        return get_translator(language).say(entry.message)
    except (ValueError, LookupError, AttributeError):
        return entry.message.template
