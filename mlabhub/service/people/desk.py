"""Open, close and change accounts for administrators: the one way for the page People, the API and the command line.

Guarantees: what can be checked is checked before anything is done; the hub, and not this service, decides whether
whoever acts may (each call carries their own token); every act stands in the audit, and can be repeated; a password is
in one answer, and nowhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from mlabhub.client import Account, AccountsPage
from mlabhub.client.accounts import Opened
from mlabhub.core.people import NewPerson, fault_of_password, make_password, read_groups
from mlabhub.core.profiles import visible_profiles
from mlabhub.core.quota_changes import value_of
from mlabhub.core.quote import plain, quote, quote_all
from mlabhub.errors import LaunchRefused, MLabError, NotFound
from mlabhub.messages import N_, Message
from mlabhub.service.launcher import Launcher
from mlabhub.service.people import acts
from mlabhub.service.people.views import OpenedView, PeopleView, PersonView, person_view
from mlabhub.service.quota_bodies import QuotaChangesBody
from mlabhub.service.quota_desk import QuotaDesk
from mlabhub.service.views import LaunchAnswer, Person
from mlabhub.service.world import World

MOST_SHOWN = 200
IS_CLOSED = N_("The account of {user} is closed, and its files are still here. Reopen it, or let it be cleaned up.")
NO_PROFILE = N_("{profile} is no profile that {user} may use; there are: {known}.")
OPENED = N_("the account was opened; groups: {groups}; {rights}")
APPROVED = N_("the account, which was asked for, was opened; groups: {groups}; {rights}")
ALREADY = N_("the account was there; groups: {groups}; {rights}")
ADMINISTRATOR, PERSON = N_("administrator"), N_("no administrator")
QUOTA_FAULT = N_("The quota of {user} was not set: {reason}")
SERVER_FAULT = N_("The first server of {user} was not started: {reason}")
WHY_QUOTA = "account opened"


class Accounts(Protocol):
    """The hub's accounts, as `mlabhub.client.HubAccounts` reaches them."""

    async def page(self, token: str, search: str, offset: int, limit: int) -> AccountsPage: ...
    async def groups(self, token: str) -> tuple[str, ...]: ...
    async def account(self, token: str, name: str) -> Account: ...
    async def open(
        self, token: str, name: str, *, groups: Sequence[str], admin: bool, password: str | None
    ) -> Opened: ...
    async def act(self, token: str, name: str, act: Literal["close", "reopen"]) -> None: ...
    async def set_password(self, token: str, name: str, password: str) -> None: ...
    async def set_groups(self, token: str, name: str, groups: Sequence[str]) -> None: ...


@dataclass(frozen=True)
class Acting:
    """The administrator who acts, as the audit names them, and the token by which the hub knows them."""

    name: str
    token: str

    @property
    def person(self) -> Person:
        """The same for the parts that ask no hub."""
        return Person(self.name, admin=True)


class PeopleDesk:
    """Lists accounts, opens them, and changes their groups and passwords."""

    def __init__(self, world: World, launcher: Launcher, quota_desk: QuotaDesk, accounts: Accounts):
        self._world = world
        self._launcher = launcher
        self._quota_desk = quota_desk
        self._accounts = accounts

    async def people(self, by: Acting, search: str = "", offset: int = 0, limit: int = 50) -> PeopleView:
        """Return people by name; ``search`` is part of a name, or ``group:`` and a group's."""
        page = await self._accounts.page(by.token, search[:255], max(0, offset), max(1, min(limit, MOST_SHOWN)))
        return PeopleView(tuple(self._view(one) for one in page.items), page.total, page.asked)

    async def person(self, by: Acting, name: str) -> PersonView:
        """Return one person. Raises `NotFound`."""
        return self._view(await self._accounts.account(by.token, name))

    async def groups(self, by: Acting) -> tuple[str, ...]:
        """Return the groups that hub and quotas know, by name."""
        return tuple(sorted({*await self._accounts.groups(by.token), *self._world.catalog().quotas.groups}))

    def profiles(self) -> Mapping[str, str]:
        """Return what profiles are called, by slug: a new person's first server starts from one."""
        return {one.slug: one.display_name for one in self._world.catalog().profiles}

    async def check(self, person: NewPerson) -> None:
        """Raise an `MLabError` for what can be known to be wrong before anything is done."""
        known = self._world.writer.projection.closed.get(person.name)
        if known is not None and known.state == "closed":
            raise LaunchRefused(Message.of(IS_CLOSED, user=plain(person.name)), code="account_closed")
        await self._quota_desk.check_types(person.quota)
        if person.profile:
            offered = self._offered(person.groups)
            if person.profile not in offered:  # who was there before may be in other groups as well
                offered = self._offered((*person.groups, *await self._groups_of(person.name)))
            if person.profile not in offered:
                said = {"profile": quote(person.profile), "user": plain(person.name)}
                raise NotFound(Message.of(NO_PROFILE, said, known=quote_all(offered)), key="profile")

    async def open(self, by: Acting, person: NewPerson, password: str | None = None) -> OpenedView:
        """Open an account: user, groups, quota, first server, and a password that is told once.

        Where the account is there already, what is missing of it is added. Raises an `MLabError` where nothing was
        done; what fails once the account is open is among the ``faults``.
        """
        if password is not None and (fault := fault_of_password(password)) is not None:
            raise LaunchRefused(fault, code="invalid_password")
        await self.check(person)
        drawn = password or make_password()
        account = await self._accounts.open(
            by.token, person.name, groups=person.groups, admin=person.admin, password=drawn
        )
        await self._world.writer.submit(acts.renew(person.name, by.name, self._world.clock()))
        said = Message.of(
            {"approved": APPROVED, "already": ALREADY}.get(account, OPENED),
            groups=quote_all(person.groups),
            rights=Message(ADMINISTRATOR if person.admin else PERSON),
        )
        await self._note(by, person.name, "open account", said)
        quota, faults = await self._set_quota(by, person)
        server, more = await self._start(by, person)
        return OpenedView(
            name=person.name,
            account=account,
            password=drawn if account == "opened" else None,
            groups=person.groups,
            admin=person.admin,
            server=server,
            login=self._world.settings.public_url,
            home=self._home(person),
            said=quota,
            faults=(*faults, *more),
        )

    async def set_password(self, by: Acting, name: str, password: str | None = None) -> str:
        """Give a person a new password, drawn unless it is given; return it. Whoever used the old one is logged out.

        Raises `NoPasswords` where logins come from elsewhere.
        """
        self._require_open(name)
        if password is not None and (fault := fault_of_password(password)) is not None:
            raise LaunchRefused(fault, code="invalid_password")
        new = password or make_password()
        await self._accounts.set_password(by.token, name, new)
        await self._note(by, name, "reset password", Message(N_("a new password was given")))
        return new

    async def set_groups(self, by: Acting, name: str, groups: Sequence[str]) -> PersonView:
        """Let these be a person's groups, and no others."""
        wanted = read_groups(groups)
        before = (await self._accounts.account(by.token, name)).groups
        await self._accounts.set_groups(by.token, name, wanted)
        text = N_("the groups were {before} and are {after}")
        said = Message.of(text, before=quote_all(sorted(before)), after=quote_all(sorted(wanted)))
        await self._note(by, name, "set groups", said)
        return await self.person(by, name)

    def _home(self, person: NewPerson) -> str:
        """Return where a person's home is on the NAS, or will be."""
        area = next(iter(self._world.catalog().storage.user_areas(person.groups)))
        return area.source(person.name)

    def _offered(self, groups: Sequence[str]) -> list[str]:
        return [one.slug for one in visible_profiles(self._world.catalog(), groups)]

    def _view(self, one: Account) -> PersonView:
        projection = self._world.writer.projection
        return person_view(one, projection.closed.get(one.name), len(projection.of_user(one.name)))

    def _require_open(self, name: str) -> None:
        if name in self._world.writer.projection.closed:
            raise LaunchRefused(Message.of(IS_CLOSED, user=plain(name)), code="account_closed")

    async def _groups_of(self, name: str) -> tuple[str, ...]:
        try:
            return (await self._world.hub.user(name)).groups
        except NotFound:
            return ()

    async def _set_quota(self, by: Acting, person: NewPerson) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
        """Set what differs of a person's own quota; return what was said of it, and what did not work."""
        quotas = self._world.catalog().quotas
        wanted = {
            resource: amount
            for resource, amount in person.quota.items()
            if value_of(quotas, "cap", person.name, resource) != amount
        }
        if not wanted:
            return (), ()
        try:
            made = await self._quota_desk.change(
                by.name, QuotaChangesBody(user=person.name, cap=wanted, reason=WHY_QUOTA)
            )
        except MLabError as error:
            return (), (Message.of(QUOTA_FAULT, user=plain(person.name), reason=error.message),)
        return tuple(made["said"]), ()

    async def _start(self, by: Acting, person: NewPerson) -> tuple[str, tuple[Message, ...]]:
        """Start the first server, unless there was one before; return how it goes, and what did not work."""
        if not person.profile:
            return "", ()
        name = person.name
        projection = self._world.writer.projection
        if projection.of_user(name) or projection.entry_of_server(name, "") is not None:
            return "", ()
        try:
            if await asyncio.to_thread(self._world.ledger.recent, name):
                return "", ()
            answer = await self._launcher.launch(
                by.person,
                user=name,
                server_name="",
                display_name="",
                user_options={"profile": person.profile},
                queue=True,
            )
        except MLabError as error:
            return "", (Message.of(SERVER_FAULT, user=plain(name), reason=error.message),)
        return ("starting" if isinstance(answer, LaunchAnswer) else "queued"), ()

    async def _note(self, by: Acting, user: str, act: str, said: Message) -> None:
        await self._world.writer.submit(acts.note(user, act, said, by.name, self._world.clock()))
