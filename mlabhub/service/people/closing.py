"""Close accounts, reopen them, and clean up after them.

Guarantees: what closing does is told before, by the same look that closing takes; it is the hub first that lets nobody
in any more, then the ledger, from when on nothing starts, and then what runs is stopped; what failed in between is
told, and closing again does the rest. The person is told, once it is done and durable, and again only where files are
kept until another time. No file is touched here but saved images and what was installed in servers, and
these only once the time for which they are kept is over.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from mlabhub.client import HubServer, NoPasswords
from mlabhub.core.closed_accounts import ClosedAccount
from mlabhub.core.names import folder_name
from mlabhub.core.quote import plain
from mlabhub.errors import LaunchRefused, MLabError, NotFound
from mlabhub.messages import N_, Message
from mlabhub.service.account_news import AccountClosed
from mlabhub.service.launcher import Launcher
from mlabhub.service.own_images import ImageDesk
from mlabhub.service.people import acts
from mlabhub.service.people.desk import Accounts, Acting
from mlabhub.service.people.views import ClosedView, ClosingView
from mlabhub.service.world import World

DAY_S = 86400.0
MOST_DAYS = 3650
OWN = N_("This is your own account; another administrator can close it.")
DAYS = N_("{days} days cannot be; files are kept for 0 to {most} days.")
STOP_FAULT = N_("The server {server} was not stopped: {reason}")
ALSO_ELSEWHERE = N_(
    "Logins come from elsewhere here: nothing starts for {user} any more, and who may log in is said there."
)


class ClosingDesk:
    """Closes and reopens accounts for administrators."""

    def __init__(self, world: World, launcher: Launcher, accounts: Accounts):
        self._world = world
        self._launcher = launcher
        self._accounts = accounts
        self._images = ImageDesk(world)

    async def look(self, by: Acting, name: str, keep_days: int | None = None) -> ClosingView:
        """Return what closing an account does. Raises `NotFound`, and `LaunchRefused` for one's own."""
        if name == by.name:
            raise LaunchRefused(OWN, code="own_account")
        await self._accounts.account(by.token, name)
        now, projection = self._world.clock(), self._world.writer.projection
        servers, images = await asyncio.gather(self._servers(name), self._saved(name))
        known = projection.closed.get(name)
        until = known.keep_until if known is not None and keep_days is None else self._until(keep_days, now)
        return ClosingView(
            name=name,
            servers=tuple(one.display_name or one.name for one in servers),
            waiting=sum(one.user == name and one.state == "waiting" for one in projection.queue.values()),
            quotas=len(acts.own_changes(projection, name, now)),
            images=images,
            folders=self.folders(name),
            keep_until=until,
        )

    async def close(self, by: Acting, name: str, keep_days: int | None = None, reason: str = "") -> ClosingView:
        """Close an account; one that is closed already is closed again, with what did not work before."""
        found = await self.look(by, name, keep_days)
        known = self._world.writer.projection.closed.get(name)
        faults: list[Message] = []
        try:
            await self._accounts.act(by.token, name, "close")
        except NoPasswords:
            faults.append(Message.of(ALSO_ELSEWHERE, user=plain(name)))
        now = self._world.clock()
        until = self._until(keep_days, now) if keep_days is not None else None
        act = acts.close(name, until, self._until(None, now), by.name, " ".join(reason.split())[:500], now)
        closed = await self._world.writer.submit(act)
        faults += await self._stop(by, name, await self._servers(name))
        if known is None or known.keep_until != closed.keep_until:
            self._tell(found, closed)
        return ClosingView(**{**vars(found), "keep_until": closed.keep_until, "faults": tuple(faults)})

    def _tell(self, found: ClosingView, closed: ClosedAccount) -> None:
        """Tell whose account it was."""
        told = AccountClosed(
            user=closed.user,
            at=self._world.clock(),
            keep_until=closed.keep_until,
            servers=found.servers,
            waiting=found.waiting,
        )
        self._world.news.tell(told)

    async def reopen(self, by: Acting, name: str) -> None:
        """Reopen an account with its groups, its quotas and its password. Raises `LaunchRefused`."""
        act = acts.reopen(name, by.name, self._world.clock())
        act(self._world.writer.projection)  # what cannot be is refused before the hub lets anybody in
        with contextlib.suppress(NoPasswords):
            await self._accounts.act(by.token, name, "reopen")
        await self._world.writer.submit(act)

    def closed(self) -> tuple[ClosedView, ...]:
        """Return the closed accounts, those first whose files are kept the shortest."""
        found = sorted(self._world.writer.projection.closed.values(), key=lambda one: (one.keep_until, one.user))
        return tuple(self._closed_view(one) for one in found)

    async def clean(self, by: Acting, name: str) -> ClosedView:
        """Remove what is left of a closed account beside its folders: saved images, and what was installed.

        Raises `LaunchRefused` while its files are to be kept, and for one that is not closed.
        """
        now = self._world.clock()
        known = acts.closed_account(self._world.writer.projection, name)
        if known.may_be_cleaned(now):
            for image in await self._saved(name):
                await self._images.remove(by.name, name, image)
            for layer in await self._world.backend.saved(name):
                await self._world.backend.reset(name, layer.server_name)
        return self._closed_view(await self._world.writer.submit(acts.clean(name, by.name, now)))

    def folders(self, name: str) -> tuple[str, ...]:
        """Return where a person's private folders are, or would be: one below each root."""
        roots = dict.fromkeys(self._world.catalog().storage.user_roots)
        return tuple(f"{root}/{folder_name(name)}" for root in roots)

    def _until(self, keep_days: int | None, now: float) -> float:
        days = self._world.catalog().storage.closed_accounts_days if keep_days is None else keep_days
        if not 0 <= days <= MOST_DAYS:
            raise LaunchRefused(Message.of(DAYS, days=days, most=MOST_DAYS), code="invalid_days")
        return now + days * DAY_S

    async def _servers(self, name: str) -> tuple[HubServer, ...]:
        try:
            return tuple(one for one in (await self._world.hub.user(name)).servers if one.active)
        except NotFound:
            return ()

    async def _saved(self, name: str) -> tuple[str, ...]:
        return tuple(one.name for one in await self._images.own(name))

    async def _stop(self, by: Acting, name: str, servers: Sequence[HubServer]) -> list[Message]:
        async def stop(server: HubServer) -> Message | None:
            try:
                await self._launcher.stop(by.person, name, server.name)
            except MLabError as error:
                return Message.of(
                    STOP_FAULT, server=plain(server.display_name or server.name or "-"), reason=error.message
                )
            return None

        return [fault for fault in await asyncio.gather(*map(stop, servers)) if fault is not None]

    def _closed_view(self, one: ClosedAccount) -> ClosedView:
        return ClosedView(
            name=one.user,
            state=one.state,
            closed=one.at,
            keep_until=one.keep_until,
            by=one.actor,
            reason=one.reason,
            folders=self.folders(one.user),
            due=one.may_be_cleaned(self._world.clock()),
        )
