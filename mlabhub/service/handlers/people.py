"""Calls about people's accounts. Each passes the caller's own token on to the hub, which decides again."""

from __future__ import annotations

from mlabhub.core.people import read_person
from mlabhub.errors import InvalidLaunch, NotPermitted
from mlabhub.messages import N_
from mlabhub.service.bodies import CloseBody, GroupsBody, PasswordBody, PersonBody
from mlabhub.service.handlers.base import ApiHandler
from mlabhub.service.people.at_hand import DesksAtHand
from mlabhub.service.people.desk import Acting
from mlabhub.service.scopes import PEOPLE_SCOPES

LONGEST_NUMBER = 9
FOR_SCOPES = N_("Accounts are opened and closed by administrators; a token needs admin:users and admin:groups.")


class _PeopleCall(DesksAtHand, ApiHandler):
    """A call for administrators, by a token or login that may administer users."""

    @property
    def by(self) -> Acting:
        """Who acts, with their token."""
        return Acting(self.author, str(self.hub_auth.get_token(self) or ""))

    async def prepare(self) -> None:
        """Let only those pass whose token may administer users."""
        await super().prepare()
        wanted = set(PEOPLE_SCOPES)
        if self.hub_auth.check_scopes(wanted, self.current_user) != wanted:
            raise NotPermitted(FOR_SCOPES)

    def number(self, name: str, otherwise: int) -> int:
        """Return a whole number of the address. Raises `InvalidLaunch`."""
        text = self.get_query_argument(name, "")
        if not text:
            return otherwise
        if not (text.isascii() and text.isdecimal()) or len(text) > LONGEST_NUMBER:
            raise InvalidLaunch(N_("offset, limit and keep_days are whole numbers, 0 or more."), key=name)
        return int(text)


class PeopleHandler(_PeopleCall):
    """``GET`` and ``POST people``"""

    async def get(self) -> None:
        """List people."""
        search = self.get_query_argument("search", "")
        self.answer(await self.people_desk.people(self.by, search, self.number("offset", 0), self.number("limit", 50)))

    async def post(self) -> None:
        """Open an account."""
        body = self.body(PersonBody)
        person = read_person(body.name, body.groups, body.quota, body.profile, admin=body.admin)
        self.answer(await self.people_desk.open(self.by, person, body.password), 201)


class PersonHandler(_PeopleCall):
    """``GET people/USER``"""

    async def get(self, user: str) -> None:
        """Tell of one person."""
        self.answer(await self.people_desk.person(self.by, user))


class CloseHandler(_PeopleCall):
    """``GET`` and ``POST people/USER/close``"""

    async def get(self, user: str) -> None:
        """Say what closing does."""
        days = self.number("keep_days", -1)
        self.answer(await self.closing_desk.look(self.by, user, None if days < 0 else days))

    async def post(self, user: str) -> None:
        """Close an account."""
        body = self.body(CloseBody)
        self.answer(await self.closing_desk.close(self.by, user, body.keep_days, body.reason))


class ReopenHandler(_PeopleCall):
    """``POST people/USER/reopen``"""

    async def post(self, user: str) -> None:
        """Reopen an account."""
        await self.closing_desk.reopen(self.by, user)
        self.answer(await self.people_desk.person(self.by, user))


class PasswordHandler(_PeopleCall):
    """``POST people/USER/password``"""

    async def post(self, user: str) -> None:
        """Give a new password."""
        password = await self.people_desk.set_password(self.by, user, self.body(PasswordBody).password)
        self.answer({"name": user, "password": password})


class GroupsHandler(_PeopleCall):
    """``PUT people/USER/groups``"""

    async def put(self, user: str) -> None:
        """Set the groups."""
        self.answer(await self.people_desk.set_groups(self.by, user, self.body(GroupsBody).groups))


class CleanHandler(_PeopleCall):
    """``POST people/USER/clean``"""

    async def post(self, user: str) -> None:
        """Note that the files are gone."""
        self.answer(await self.closing_desk.clean(self.by, user))


class ClosedHandler(_PeopleCall):
    """``GET closed-accounts``"""

    async def get(self) -> None:
        """List closed accounts."""
        self.answer({"accounts": self.closing_desk.closed()})
