"""Quotas: everybody's own as bars; for administrators those of all, changed with a reason and dates, and undone.

Guarantees: a change is made only after the page that says what it does, number by number, was seen, and only if the
numbers are still those that were seen; who may not see a quota is told that it is not there.
"""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from mlabhub.core.quota_changes import QuotaChange
from mlabhub.core.quote import quote
from mlabhub.errors import MLabError, NotFound, NotPermitted
from mlabhub.i18n import N_
from mlabhub.messages import Message
from mlabhub.service.bodies import parse
from mlabhub.service.pages.base import PageHandler
from mlabhub.service.pages.confirm import Asking, Question
from mlabhub.service.pages.quota_form import make_form, read_form
from mlabhub.service.pages.quota_words import (
    change_text,
    make_card,
    make_changes,
    name_text,
    quota_url,
    value_text,
)
from mlabhub.service.pages.waits import local
from mlabhub.service.quota_bodies import QuotaChangesBody
from mlabhub.service.quota_desk import QuotaDesk
from mlabhub.service.quota_looks import QuotaLook, QuotaLooks

MOST_RECENT = 20
LONGEST_SEARCH = 100
FOR_ADMINISTRATORS = N_("Quotas are changed by administrators.")

CHANGE = Question(
    N_("Change the quota of {change}?"),
    (
        N_(
            "Nothing that runs is stopped by it. What goes beyond a guarantee is borrowed, and may be taken back later."
        ),
        N_("The history shows it with your name and the reason; it can be undone."),
    ),
    N_("Change it"),
    N_("The quota was changed."),
)
UNDO = Question(
    N_("Undo the change of the quota of {change}?"),
    (
        N_("What the configuration and the other changes say counts again, at once."),
        N_("The history goes on showing it, and that you took it back."),
    ),
    N_("Undo it"),
    N_("The change was undone."),
)
DONE = {"changed": CHANGE.done, "undone": UNDO.done}


class QuotaBase(PageHandler):
    """What these pages share."""

    @property
    def quota_looks(self) -> QuotaLooks:
        """What is shown of quotas."""
        looks: QuotaLooks = self.application.settings["quota_looks"]
        return looks

    def done_text(self) -> str:
        """Return what was done just now, if the address says so."""
        done = DONE.get(self.get_query_argument("done", ""))
        return self.t(done) if done else ""

    def require_admin(self) -> None:
        """Let only administrators pass, and say what is theirs alone."""
        if not self.person.admin:
            raise NotPermitted(FOR_ADMINISTRATORS)


class QuotasBase(QuotaBase):
    """The list and its live part."""

    def usage_text(self) -> str:
        """Return groups, oneself, and for administrators a page of persons, as HTML."""
        looks, t, admin = self.quota_looks, self.t, self.person.admin
        wanted = self.get_query_argument("q", "").strip()[:LONGEST_SEARCH]
        people = looks.people(wanted, self._page()) if admin else None
        shown = people.people if people is not None else ()
        groups = [
            make_card(one, t, quota_url(self.page_url, one.name, of_user=False)) for one in looks.groups(self.person)
        ]
        turn = {number: self.page_url("quotas", q=wanted, page=str(number)) for number in self._turns(people)}
        return self.render_text(
            "_quotas.html",
            groups=groups,
            own=make_card(looks.own(self.person), t, quota_url(self.page_url, self.person.name, of_user=True)),
            people=[make_card(one, t, quota_url(self.page_url, one.name, of_user=True)) for one in shown],
            listed=people,
            wanted=wanted,
            earlier=turn.get(people.page - 1, "") if people is not None else "",
            later=turn.get(people.page + 1, "") if people is not None else "",
            everybody_url=quota_url(self.page_url, "default", of_user=True),
        )

    def _page(self) -> int:
        text = self.get_query_argument("page", "1")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 7 else 1

    @staticmethod
    def _turns(people: Any) -> list[int]:
        if people is None:
            return []
        return [one for one in (people.page - 1, people.page + 1) if 1 <= one <= people.pages]


class QuotasHandler(QuotasBase):
    """``quotas``"""

    async def get(self) -> None:
        """Show who may hold what, and holds how much of it."""
        query = {name: self.get_query_argument(name, "") for name in ("q", "page")}
        recent = self.quota_looks.recent(self.person, MOST_RECENT)
        self.render_page(
            "quotas.html",
            title=self.t(N_("Quotas")),
            done=self.done_text(),
            wanted=query["q"],
            fragment=Markup(self.usage_text()),
            changes=make_changes(recent, self.t, self.page_url, self.words.now, admin=self.person.admin),
            parts_url=self.page_url("quotas/parts", **query),
            events_url="",
        )


class QuotasPartsHandler(QuotasBase):
    """The list's live part."""

    answers_json = True

    async def get(self) -> None:
        """Answer with the bars."""
        self.finish({"parts": {"usage": self.usage_text()}, "moves": False})


class QuotaHandler(QuotaBase):
    """``quotas/of?group=NAME`` or ``?person=NAME``"""

    async def get(self) -> None:
        """Show one quota, what was changed of it, and for administrators the form."""
        self._show(await self.look())

    async def look(self) -> QuotaLook:
        """Return the quota that the address names. Raises `NotFound`."""
        group, person = self.get_query_argument("group", ""), self.get_query_argument("person", "")
        if not group and not person:
            raise NotFound(N_("The address names no group and no person. Go on from the list of quotas."))
        return await self.quota_looks.look(self.person, person or group, of_user=bool(person))

    def _show(self, look: QuotaLook, problem: Message | None = None, field: str = "") -> None:
        t, name, admin = self.t, look.usage.name, self.person.admin
        typed = (lambda one: self.get_query_argument(one, "", strip=False)) if problem is not None else None
        self.render_page(
            "quota.html",
            title=t(N_("Quota of {name}"), name=name_text(name, t, of_user=look.of_user)),
            card=make_card(look.usage, t, ""),
            form=make_form(look, t, self.words.now, typed) if admin else None,
            name=name,
            kind="person" if look.of_user else "group",
            changes=make_changes(look.changes, t, self.page_url, self.words.now, admin=admin),
            left_out=look.made - len(look.changes),
            problem=t.say(problem) if problem is not None else "",
            field=field,
            done=self.done_text(),
        )


class QuotaFormHandler(QuotaHandler):
    """``quotas/form``: what was typed, before it is asked about."""

    async def get(self) -> None:
        """Lead to the question, or show what cannot be."""
        self.require_admin()
        self.require_navigation()
        look = await self.look()
        try:
            change = read_form(look, lambda name: self.get_query_argument(name, "", strip=False))
            desk: QuotaDesk = self.application.settings["quota_desk"]
            await desk.plan(self.person.name, parse(change.encode(), QuotaChangesBody))
        except MLabError as error:
            if error.status not in (409, 422):
                raise
            self.set_status(error.status)
            self._show(look, error.message, str(error.data.get("key", "")))
            return
        self.redirect(self.page_url("change-quota", change=change))


class QuotaActHandler(QuotaBase, Asking):
    """Changes a quota, or undoes a change; ``change`` is what `read_form` made, or the change's id."""

    field = "change"
    template = "confirm_quota.html"

    @property
    def desk(self) -> QuotaDesk:
        """Where quotas are changed."""
        desk: QuotaDesk = self.application.settings["quota_desk"]
        return desk

    async def look(self, act: str, user: str, name: str) -> tuple[str, Question]:
        """Return whose quota it is, and what to ask; what cannot be is refused here already."""
        self.require_admin()
        made = await self._made(act, name)
        return name_text(made[0].name, self.t, of_user=made[0].part == "cap"), CHANGE if act == "change-quota" else UNDO

    async def _made(self, act: str, name: str) -> tuple[QuotaChange, ...]:
        if act == "change-quota":
            return await self.desk.plan(self.person.name, parse(name.encode(), QuotaChangesBody))
        found = self.desk.find(name)
        if found is None:
            raise NotFound(Message.of(N_("There is no change {change_id} of quotas."), change_id=quote(name)))
        return (found,)

    async def about(self, act: str, name: str) -> dict[str, Any]:
        """Return what the page says of each number: before, after, from when until when, and why."""
        made, now = await self._made(act, name), self.words.now
        t, lines = self.t, []
        for one in made:
            before, after = self.desk.before_and_after(one, made, undo=act == "undo-quota")
            lines.append(
                {
                    "what": change_text(one, t),
                    "before": value_text(before, t),
                    "after": value_text(after, t),
                }
            )
        first = made[0]
        return {
            "lines": lines,
            "start": t.moment(local(first.start), now) if first.start > now.timestamp() else t(N_("at once")),
            "end": t.moment(local(first.end), now) if first.end is not None else t(N_("for good")),
            "reason": first.reason,
            "trial_url": self.page_url("quotas/trial", change=name) if act == "change-quota" else "",
        }

    async def act(self, act: str, user: str, name: str) -> str:
        """Do it."""
        made = await self._made(act, name)
        if act == "change-quota":
            await self.desk.change(self.person.name, parse(name.encode(), QuotaChangesBody))
        else:
            await self.desk.undo(self.person.name, name)
        done = "changed" if act == "change-quota" else "undone"
        key = "person" if made[0].part == "cap" else "group"
        return self.page_url("quotas/of", **{key: made[0].name, "done": done})

    def back(self, user: str) -> str:
        """Return where one goes who changes their mind."""
        return self.page_url("quotas")
