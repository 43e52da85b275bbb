"""Calls about the audit: what is asked for is read, nothing of it can be changed."""

from __future__ import annotations

from mlabhub.i18n import choose_language, get_translator
from mlabhub.service.audit_desk import AuditDesk, read_format
from mlabhub.service.audit_query import read_filter, read_number
from mlabhub.service.handlers.base import ApiHandler
from mlabhub.service.streaming import send_file

USUAL = 100


class AuditBase(ApiHandler):
    """What these calls share."""

    @property
    def audit_desk(self) -> AuditDesk:
        """Where the audit is read."""
        desk: AuditDesk = self.application.settings["audit_desk"]
        return desk

    def asked(self, name: str) -> str:
        """Return what the query says for a name."""
        return self.get_query_argument(name, "")


class AuditHandler(AuditBase):
    """``GET audit``"""

    async def get(self) -> None:
        """List decisions and acts, newest first."""
        limit, before = (read_number(name, self.asked(name)) for name in ("limit", "before"))
        page = await self.audit_desk.search(self.reader, read_filter(self.asked), limit=limit or USUAL, before=before)
        self.answer({"entries": page.entries, "next": page.next, "searched_to": page.searched_to})


class AuditExportHandler(AuditBase):
    """``GET audit/export``"""

    async def get(self) -> None:
        """Send all entries that are wanted, as a file."""
        form = read_format(self.asked("format") or "jsonl")
        say = get_translator(choose_language(None, None, self.request.headers.get("Accept-Language"))).say
        parts = self.audit_desk.export(self.reader, read_filter(self.asked), form, say)
        await send_file(self, parts, name=f"audit.{form.ending}", content_type=form.content_type)
