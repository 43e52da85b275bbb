"""What was decided and done: all of it for administrators, to search and to take along; one's own for everybody.

Guarantees: nothing on these pages changes an entry; sentences are said in the reader's language; every page is as long
as the next, and where a search ended before the audit did, the page says so and leads on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from mlabhub.core.quote import plain, printable
from mlabhub.errors import MLabError
from mlabhub.i18n import N_, Translator
from mlabhub.ledger import AuditEntry, AuditPage
from mlabhub.service.audit_desk import AuditDesk, read_format
from mlabhub.service.audit_query import ACTS, LONGEST, read_filter, read_number
from mlabhub.service.pages.base import PageHandler
from mlabhub.service.pages.waits import local
from mlabhub.service.streaming import send_file

ROWS = 50
FIELDS = ("user", "actor", "server", "act", "from", "to", "text")


@dataclass(frozen=True)
class Row:
    """One entry; ``about_url`` and ``actor_url`` show what else is about the one, or by the other."""

    time: str
    iso: str
    actor: str
    actor_url: str
    act: str
    user: str
    server: str
    about_url: str
    said: str


def make_rows(entries: Iterable[AuditEntry], t: Translator, url: Callable[..., str]) -> list[Row]:
    """Return entries as the pages show them."""
    return [
        Row(
            time=t.date_time(local(one.at)),
            iso=local(one.at).isoformat(timespec="seconds"),
            actor=plain(one.actor),
            actor_url=url("audit", actor=one.actor),
            act=act_text(one.act, t),
            user=plain(one.user),
            server=plain(one.server),
            about_url=url("audit", user=one.user),
            said=printable(t.say(one.message)),
        )
        for one in entries
    ]


def act_text(act: str, t: Translator) -> str:
    """Return what an act is called; one of a later version, its name."""
    return t(ACTS[act]) if act in ACTS else plain(act)


def acts_to_choose(t: Translator) -> list[tuple[str, str]]:
    """Return each act and what it is called, in the order of the latter."""
    return sorted(((act, t(text)) for act, text in ACTS.items()), key=lambda one: one[1].casefold())


class AuditBase(PageHandler):
    """What these pages share."""

    @property
    def audit_desk(self) -> AuditDesk:
        """Where the audit is read."""
        desk: AuditDesk = self.application.settings["audit_desk"]
        return desk

    def asked(self, name: str) -> str:
        """Return what was typed for a name."""
        return self.get_query_argument(name, "")

    def typed(self, *names: str) -> dict[str, str]:
        """Return what was typed for some names."""
        return {name: self.asked(name)[: LONGEST + 1] for name in names}

    async def show(self, template: str, path: str, fields: tuple[str, ...], search: Any, **values: Any) -> None:
        """Show a page of what is found, or the form again with the sentence that says what is wrong in it."""
        typed, problem, page = self.typed(*fields), "", AuditPage(())
        try:
            wanted = read_filter(self.asked)
            page = await search(self.person, wanted, limit=ROWS, before=read_number("before", self.asked("before")))
        except MLabError as error:
            if error.status != 422:
                raise
            self.set_status(error.status)
            problem = printable(self.t.say(error.message))
        searched_to = None if page.searched_to is None else self.t.date_time(local(page.searched_to))
        self.render_page(
            template,
            typed=typed,
            problem=problem,
            rows=make_rows(page.entries, self.t, self.page_url),
            acts=acts_to_choose(self.t),
            longest=LONGEST,
            older=self.page_url(path, before=str(page.next), **typed) if page.next else "",
            newest=self.page_url(path, **typed) if self.asked("before") else "",
            searched_to=searched_to,
            narrowed=any(typed.values()),
            **values,
        )


class AuditHandler(AuditBase):
    """Everything, for administrators."""

    async def get(self) -> None:
        """Show what is wanted of it."""
        typed = self.typed(*FIELDS)
        files = [(name, self.page_url("audit/export", format=form, **typed)) for form, name in DOWNLOADS]
        title = self.t(N_("Audit"))
        await self.show("audit.html", "audit", FIELDS, self.audit_desk.search, title=title, files=files)


class AuditExportHandler(AuditBase):
    """The same as a file."""

    async def get(self) -> None:
        """Send all that is wanted."""
        form = read_format(self.asked("format") or "csv")
        parts = self.audit_desk.export(self.person, read_filter(self.asked), form, self.t.say)
        await send_file(self, parts, name=f"audit.{form.ending}", content_type=form.content_type)


class HistoryHandler(AuditBase):
    """What was decided about oneself, and done with what is one's own."""

    async def get(self) -> None:
        """Show it."""
        desk, fields = self.audit_desk, ("act", "from", "to", "text")
        unread = bool(self.asked("text").strip()) and not desk.reads_all_of_own(self.person)
        title = self.t(N_("My history"))
        await self.show("history.html", "history", fields, desk.own, title=title, unread=unread)


DOWNLOADS = (("csv", "CSV"), ("jsonl", "JSON Lines"))
