"""Open accounts, for administrators: one form for one person, or a file of many.

Guarantees: a form that is refused comes back as it was typed; a password is shown by the answer to the form, or by one
look at a finished file, and never again.
"""

from __future__ import annotations

from typing import Any

from mlabhub.core.people import NewPerson, read_person
from mlabhub.core.quote import plain
from mlabhub.errors import MLabError
from mlabhub.i18n import N_, Translator
from mlabhub.messages import Message
from mlabhub.service.pages.confirm import STALE
from mlabhub.service.pages.people import PeoplePage
from mlabhub.service.people.sheets import Sheet, Sheets
from mlabhub.service.people.views import OpenedView

OUTCOMES = {
    "opened": N_("The account is open."),
    "approved": N_("The account that was asked for is open, with the password that was chosen then."),
    "already": N_("The account was there already; what was missing was added."),
    "made": N_("The account is known; logins come from elsewhere here."),
}
SERVERS = {
    "starting": N_("The first server starts."),
    "queued": N_("The first server waits for its turn."),
}


class NewPersonHandler(PeoplePage):
    """``people/new``"""

    async def get(self) -> None:
        """Show the form, in the second of two steps."""
        name = self.get_query_argument("name", "")
        stale = self.get_query_argument("stale", "")

        def url(step: str) -> str:
            return self.page_url("people/new", name=name, stale=stale, step=step)

        if self.arrived((self.person.name, "new"), url):
            await self._show({"name": name}, (), problem=self.t(STALE) if stale else "")

    async def post(self) -> None:
        """Open the account, and show its password."""
        typed = {key: self.get_body_argument(key, "") for key in ("name", "further", "quota", "profile", "admin")}
        groups = self.get_body_arguments("group")
        if not self.was_seen("new"):
            self.redirect(self.page_url("people/new", name=typed["name"], stale="1"), status=303)
            return
        try:
            opened = await self.people_desk.open(self.by, _read(typed, groups))
        except MLabError as error:
            self.set_status(error.status)
            await self._show(typed, groups, self.t.say(error.message), str(error.data.get("key", "")))
            return
        self.render_page(
            "person_opened.html",
            title=self.t(N_("Account of {name}"), name=plain(opened.name)),
            one=opened,
            outcome=outcome(opened, self.t),
            said=[self.t.say(line) for line in opened.said],
            faults=[self.t.say(line) for line in opened.faults],
        )

    async def _show(self, typed: dict[str, str], chosen: Any, problem: str = "", field: str = "") -> None:
        groups = await self.people_desk.groups(self.by)
        self.render_page(
            "person_new.html",
            title=self.t(N_("Open an account")),
            typed={key: typed.get(key, "") for key in ("name", "further", "quota", "profile", "admin")},
            groups=[(group, group in chosen) for group in groups],
            profiles=self.people_desk.profiles(),
            problem=problem,
            field=field,
            confirm=self.confirm_token("new"),
        )


class FileHandler(PeoplePage):
    """``people/file``"""

    async def get(self) -> None:
        """Ask for a file."""
        self._show()

    async def post(self) -> None:
        """Read it, and lead to what it says."""
        self.require_navigation()
        files = self.request.files.get("file") or []
        data = files[0]["body"] if files else self.get_body_argument("text", "", strip=False).encode()
        sheets: Sheets = self.application.settings["sheets"]
        try:
            sheet = await sheets.read(self.by, data)
        except MLabError as error:
            self.set_status(error.status)
            self._show(self.t.say(error.message))
            return
        self.redirect(self.page_url(f"people/file/{sheet.sheet_id}"), status=303)

    def _show(self, problem: str = "") -> None:
        self.render_page("people_file.html", title=self.t(N_("Open accounts from a file")), problem=problem)


class SheetHandler(PeoplePage):
    """``people/file/ID``"""

    @property
    def sheets(self) -> Sheets:
        """The files of the last hour."""
        sheets: Sheets = self.application.settings["sheets"]
        return sheets

    async def get(self, sheet_id: str) -> None:
        """Show what each line comes to, before and after, in the second of two steps."""
        sheet = self.sheets.find(self.by, sheet_id)
        address = f"people/file/{sheet_id}"
        if not self.arrived((self.person.name, "sheet", sheet_id), lambda step: self.page_url(address, step=step)):
            return
        passwords = self.sheets.reveal(sheet)
        self.render_page(
            "people_sheet.html",
            title=self.t(N_("Accounts from a file")),
            sheet=sheet,
            address=self.page_url(address),
            valid=len(sheet.valid),
            rows=[_row(sheet, number, passwords, self.t) for number in range(len(sheet.lines))],
            has_passwords=bool(passwords),
            confirm=self.confirm_token("sheet", sheet_id),
        )

    async def post(self, sheet_id: str) -> None:
        """Open all valid lines."""
        sheet = self.sheets.find(self.by, sheet_id)
        if self.was_seen("sheet", sheet_id):
            self.sheets.begin(self.by, sheet)
        self.redirect(self.page_url(f"people/file/{sheet_id}"), status=303)


def outcome(opened: OpenedView, t: Translator) -> list[str]:
    """Say what became of an account."""
    server = SERVERS.get(opened.server)
    return [t(OUTCOMES[opened.account]), *([t(server)] if server else [])]


def _read(typed: dict[str, str], groups: list[str]) -> NewPerson:
    """Return the person that a form is about. Raises an `MLabError`."""
    further = [one.strip() for one in typed["further"].split(";") if one.strip()]
    return read_person(
        typed["name"], (*groups, *further), typed["quota"], typed["profile"], admin=typed["admin"] == "yes"
    )


def _row(sheet: Sheet, number: int, passwords: dict[int, str], t: Translator) -> dict[str, Any]:
    """Return a line of a file as it is shown."""
    line = sheet.lines[number]
    person, result = line.person, sheet.results.get(line.number)
    said: list[Message | str] = []
    if line.fault is not None:
        said = [line.fault]
    elif isinstance(result, OpenedView):
        said = [*outcome(result, t), *result.faults]
    elif result is not None:
        said = [result]
    return {
        "number": t.number(line.number),
        "name": plain(line.name),
        "groups": ", ".join(plain(one) for one in person.groups) if person else "",
        "quota": _quota(person),
        "profile": plain(person.profile) if person else "",
        "said": [t.say(one) if isinstance(one, Message) else one for one in said],
        "fine": line.fault is None and not isinstance(result, Message) and not (result and result.faults),
        "password": passwords.get(line.number, ""),
    }


def _quota(person: NewPerson | None) -> str:
    if person is None:
        return ""
    return " ".join(
        f"{key}={'none' if value is None else format(value, '.10g')}" for key, value in person.quota.items()
    )
