"""People, for administrators: the list, one person with what can be changed, and the question before closing.

Guarantees: whoever may not is refused by the hub, with the administrator's own login; what gives somebody rights or a
password stands on pages that nothing else on our origin can read (see `confirm`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from mlabhub.core.quote import plain
from mlabhub.errors import MLabError, NotPermitted
from mlabhub.i18n import N_, Translator
from mlabhub.messages import Message
from mlabhub.service.pages.confirm import STALE, Asking, Guarded, Question
from mlabhub.service.pages.waits import local
from mlabhub.service.people.at_hand import DesksAtHand
from mlabhub.service.people.desk import Acting
from mlabhub.service.people.views import ClosingView, PersonView
from mlabhub.service.queue_desk import FOR_ADMINISTRATORS

ON_A_PAGE = 50
LONGEST_SEARCH = 255
STATES = {
    "open": N_("open"),
    "asked": N_("asked for"),
    "no_password": N_("no password"),
    "elsewhere": N_("logs in elsewhere"),
    "closed": N_("closed"),
    "cleaned": N_("closed, files removed"),
}
DONE = {
    "groups": N_("The groups were changed. They count from the next launch on."),
    "reopen": N_("The account is open again. Servers do not start by themselves."),
    "close": N_("The account is closed."),
}
CLOSE = Question(
    N_("Close the account of {name}?"),
    (N_("Nobody can log in there any more: sessions and tokens end at once, and nothing starts, whoever asks."),),
    N_("Close the account"),
    DONE["close"],
)


class PeoplePage(DesksAtHand, Guarded):
    """What these pages share: they are for administrators alone."""

    @property
    def by(self) -> Acting:
        """Who acts, with the login by which the hub knows them."""
        return Acting(self.person.name, str(self.hub_auth.get_token(self) or ""))

    async def prepare(self) -> None:
        """Let only administrators pass."""
        await super().prepare()
        if not self._finished and not self.person.admin:
            raise NotPermitted(FOR_ADMINISTRATORS)

    def confirm_token(self, *about: str) -> str:
        """Return the token for a form of this page."""
        return self.tokens.make(self.person.name, *about, now=time.time())

    def was_seen(self, *about: str) -> bool:
        """Return whether a form was sent from such a page, a moment ago, and for the first time."""
        self.require_navigation()
        return self.tokens.redeem(self.get_body_argument("confirm", ""), self.person.name, *about, now=time.time())


@dataclass(frozen=True)
class Row:
    """A line of the list."""

    name: str
    url: str
    state: str
    kind: str
    rights: str
    groups: str
    running: str
    seen: str


def make_row(one: PersonView, t: Translator, url: str) -> Row:
    """Return a person as the list shows them."""
    seen = one.last_activity
    now = datetime.now().astimezone()
    return Row(
        name=plain(one.name),
        url=url,
        state=t(STATES[one.state]),
        kind="running" if one.state == "open" else "pending" if one.state == "asked" else "stopped",
        rights=t(N_("administrator")) if one.admin else "",
        groups=", ".join(plain(group) for group in one.groups),
        running=t.number(one.running) if one.running else "",
        seen=t.ago(datetime.fromtimestamp(seen, timezone.utc).astimezone(), now) if seen is not None else "",
    )


class PeopleHandler(PeoplePage):
    """``people``"""

    async def get(self) -> None:
        """List people, page by page."""
        wanted = self.get_query_argument("q", "").strip()[:LONGEST_SEARCH]
        page = self._page()
        told = await self.people_desk.people(self.by, wanted, (page - 1) * ON_A_PAGE, ON_A_PAGE)
        pages = max(1, -(-told.total // ON_A_PAGE))
        closed = self.closing_desk.closed()
        self.render_page(
            "people.html",
            title=self.t(N_("People")),
            wanted=wanted,
            rows=[make_row(one, self.t, self.page_url("people/of", name=one.name)) for one in told.people],
            total=told.total,
            asked=[(plain(one), self.page_url("people/new", name=one)) for one in told.asked],
            due=sum(one.due for one in closed),
            page=page,
            pages=pages,
            earlier=self.page_url("people", q=wanted, page=str(page - 1)) if page > 1 else "",
            later=self.page_url("people", q=wanted, page=str(page + 1)) if page < pages else "",
        )

    def _page(self) -> int:
        text = self.get_query_argument("page", "1")
        return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) < 7 else 1


class PersonHandler(PeoplePage):
    """``people/of?name=NAME``"""

    async def get(self) -> None:
        """Show one person, and what can be changed, in the second of two steps."""
        name = self.get_query_argument("name", "")
        done = self.get_query_argument("done", "")
        kept = {"name": name, "done": done, "stale": self.get_query_argument("stale", "")}
        if self.arrived((self.person.name, "person", name), lambda step: self.page_url("people/of", step=step, **kept)):
            await self._show(name, done=done, problem=self.t(STALE) if kept["stale"] else "")

    async def post(self) -> None:
        """Set groups, give a password, or reopen the account."""
        name, act = self.get_body_argument("name", ""), self.get_body_argument("act", "")
        if not self.was_seen("person", name):
            self.redirect(self.page_url("people/of", name=name, stale="1"), status=303)
            return
        try:
            if act == "password":
                password = await self.people_desk.set_password(self.by, name)
                await self._show(name, password=password)
                return
            if act == "groups":
                await self.people_desk.set_groups(self.by, name, self._groups())
            elif act == "reopen":
                await self.closing_desk.reopen(self.by, name)
        except MLabError as error:
            self.set_status(error.status)
            await self._show(name, problem=self.t.say(error.message))
            return
        self.redirect(self.page_url("people/of", name=name, done=act), status=303)

    def _groups(self) -> list[str]:
        further = self.get_body_argument("further", "").split(";")
        return [*self.get_body_arguments("group"), *(one.strip() for one in further if one.strip())]

    async def _show(self, name: str, *, done: str = "", password: str = "", problem: str = "") -> None:
        one = await self.people_desk.person(self.by, name)
        now, t = self.words.now, self.t
        self.render_page(
            "person.html",
            title=plain(one.name),
            one=one,
            row=make_row(one, t, ""),
            groups=[
                (group, group in one.groups) for group in sorted({*await self.people_desk.groups(self.by), *one.groups})
            ],
            closed=t.moment(local(one.closed), now) if one.closed is not None else "",
            keep_until=t.moment(local(one.keep_until), now) if one.keep_until is not None else "",
            home=self.closing_desk.folders(one.name)[0],
            own=name == self.person.name,
            password=password,
            done=t(DONE[done]) if done in DONE else "",
            problem=problem,
            confirm=self.confirm_token("person", name),
        )


class CloseAccountHandler(PeoplePage, Asking):
    """Closes an account, after what that does was said."""

    field = "name"
    template = "confirm_account.html"

    async def look(self, act: str, user: str, name: str) -> tuple[str, Question]:
        """Return who it is, and what to ask."""
        await self.closing_desk.look(self.by, name)
        return plain(name), CLOSE

    async def about(self, act: str, name: str) -> dict[str, Any]:
        """Return what happens, line by line."""
        found = await self.closing_desk.look(self.by, name)
        days = round((found.keep_until - time.time()) / 86400)
        return {"lines": consequences(found, self.t), "folders": found.folders, "days": max(0, days)}

    async def act(self, act: str, user: str, name: str) -> str:
        """Close it; what did not work is told on the person's page by what it still shows."""
        text = self.get_body_argument("days", "")
        days = int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else None
        done = await self.closing_desk.close(self.by, name, days, self.get_body_argument("reason", ""))
        if done.faults:
            raise MLabError(done.faults[0])
        return self.page_url("people/of", name=name, done="close")

    def back(self, user: str) -> str:
        """Return where one goes who changes their mind."""
        return self.page_url("people/of", name=self.get_query_argument("name", ""))


def consequences(found: ClosingView, t: Translator) -> list[str]:
    """Say what closing an account does beside that nobody logs in."""
    lines = []
    if found.servers:
        names = ", ".join(plain(one) or t(N_("Default server")) for one in found.servers)
        lines.append(t(N_("Servers that are stopped, with what runs in them: {names}."), names=names))
    if found.waiting:
        lines.append(t(N_("Launches that leave the queue: {count}."), count=found.waiting))
    if found.quotas:
        lines.append(t(N_("Quotas of their own that end: {count}."), count=found.quotas))
    if found.images:
        lines.append(t(N_("Saved images that are kept as long as the files: {count}."), count=len(found.images)))
    return [*lines, t.say(Message(N_("Groups and the password stay as they are, so that it can be undone.")))]
