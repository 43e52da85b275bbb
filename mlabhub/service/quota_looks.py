"""Quotas as pages show them: a group, a person, or a page of many.

Guarantees: whoever is no administrator sees the groups they are in and their own cap, and of others not even that they
are there; a page of persons costs as much whether there are fifty or ten thousand of them, but for finding them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mlabhub.core.quota_changes import QuotaPart, value_of
from mlabhub.core.quotas import DEFAULT_USER, Quotas
from mlabhub.core.quote import quote
from mlabhub.core.units import CPU, GPU, GPU_PREFIX, MEMORY, SERVERS
from mlabhub.errors import NotFound
from mlabhub.messages import N_, Message
from mlabhub.service import listing
from mlabhub.service.quota_desk import QuotaDesk
from mlabhub.service.views import Person, QuotaChangeView, UsageView
from mlabhub.service.world import World

PAGE = 50
MOST_CHANGES = 100
Values = Mapping[tuple[QuotaPart, str], float | None]
GROUP_PARTS: tuple[QuotaPart, ...] = ("guaranteed", "limit", "each")

NO_GROUP = N_("There is no group {name}, or you are not in it.")
NO_PERSON = N_("There is no person {name} whose quota you may see.")


@dataclass(frozen=True)
class PeoplePage:
    """Some of the persons who hold something or have a cap of their own; ``found`` is how many match in all."""

    people: tuple[UsageView, ...]
    found: int
    page: int
    pages: int


@dataclass(frozen=True)
class QuotaLook:
    """All about one group or person.

    ``values`` are the numbers that can be changed, by part and resource, as they are in force; None is no limit. Of
    those in ``inherited`` the number is everybody's (`default`), and not their own. ``changes`` are the last ones,
    newest first, of ``made`` in all.
    """

    usage: UsageView
    of_user: bool
    values: Values
    inherited: frozenset[tuple[QuotaPart, str]]
    changes: tuple[QuotaChangeView, ...]
    made: int

    @property
    def parts(self) -> tuple[QuotaPart, ...]:
        """What of it can be changed."""
        return ("cap",) if self.of_user else GROUP_PARTS

    @property
    def resources(self) -> tuple[str, ...]:
        """The resources that have numbers."""
        return tuple(dict.fromkeys(resource for _, resource in self.values))


class QuotaLooks:
    """Shows quotas to people."""

    def __init__(self, world: World, desk: QuotaDesk):
        self._world = world
        self._desk = desk

    def groups(self, actor: Person) -> tuple[UsageView, ...]:
        """Return one's groups; for administrators all that have a quota or hold something."""
        quotas, projection = self._world.catalog().quotas, self._world.writer.projection
        names = set(actor.groups)
        if actor.admin:
            names |= {*quotas.groups, *(one.group for one in projection if one.group is not None)}
        return tuple(listing.usage_of_group(name, quotas, projection.holdings) for name in sorted(names))

    def own(self, actor: Person) -> UsageView:
        """Return what a person holds and may hold."""
        return listing.usage_of_user(actor.name, self._world.catalog().quotas, self._world.writer.projection.holdings)

    def people(self, wanted: str = "", page: int = 1) -> PeoplePage:
        """Return a page of all who hold something or have a cap of their own, by name; ``wanted`` is in their names."""
        quotas, projection = self._world.catalog().quotas, self._world.writer.projection
        names = {*(one.user for one in projection), *quotas.users} - {DEFAULT_USER}
        found = sorted(name for name in names if wanted.casefold() in name.casefold())
        pages = max(1, -(-len(found) // PAGE))
        page = min(max(1, page), pages)
        shown = found[(page - 1) * PAGE : page * PAGE]
        views = tuple(listing.usage_of_user(name, quotas, projection.holdings) for name in shown)
        return PeoplePage(views, len(found), page, pages)

    def recent(self, actor: Person, most: int) -> tuple[QuotaChangeView, ...]:
        """Return the last changes that concern a person; for administrators all."""
        groups = None if actor.admin else frozenset(actor.groups)
        return self._desk.history(groups=groups, user=actor.name, most=most)

    async def look(self, actor: Person, name: str, *, of_user: bool) -> QuotaLook:
        """Return all about a group or a person. Raises `NotFound`, also for those whom one may not see."""
        await self._check_may_see(actor, name, of_user)
        quotas, held = self._world.catalog().quotas, self._world.writer.projection.holdings
        usage = listing.usage_of_user(name, quotas, held) if of_user else listing.usage_of_group(name, quotas, held)
        own = [one for one in self._desk.history(only=name) if (one.part == "cap") == of_user]
        parts: tuple[QuotaPart, ...] = ("cap",) if of_user else GROUP_PARTS
        resources = await self._resources(usage)
        values = {(part, one): value_of(quotas, part, name, one) for part in parts for one in resources}
        inherited = _inherited(quotas, name, of_user, values)
        return QuotaLook(usage, of_user, values, inherited, tuple(own[:MOST_CHANGES]), len(own))

    async def _check_may_see(self, actor: Person, name: str, of_user: bool) -> None:
        if of_user:
            if name != actor.name and not actor.admin:
                raise NotFound(Message.of(NO_PERSON, name=quote(name)))
            quotas = self._world.catalog().quotas
            if actor.admin and name not in (actor.name, DEFAULT_USER) and name not in quotas.users:
                await self._world.hub.user(name)
        elif name not in {one.name for one in self.groups(actor)} and not (
            actor.admin and name in await self._world.hub.groups()
        ):
            raise NotFound(Message.of(NO_GROUP, name=quote(name)))

    async def _resources(self, usage: UsageView) -> tuple[str, ...]:
        """Return the resources that have a number, or could: GPUs by type as far as anything knows them."""
        types = await self._desk.gpu_types() or set()
        named = {one for part in (usage.limit, usage.guaranteed, usage.each, usage.used) for one in part}
        typed = {f"{GPU_PREFIX}{one}" for one in types} | {one for one in named if one.startswith(GPU_PREFIX)}
        return (GPU, *sorted(typed), CPU, MEMORY, SERVERS)


def _inherited(quotas: Quotas, name: str, of_user: bool, values: Values) -> frozenset[tuple[QuotaPart, str]]:
    """Return the caps that are everybody's."""
    group = quotas.groups.get(name)
    own = quotas.users.get(name) if of_user else group.each if group is not None else None
    if name == DEFAULT_USER and of_user:
        return frozenset()
    return frozenset(
        (part, resource)
        for (part, resource), value in values.items()
        if part in ("cap", "each")
        and value is not None
        and (own is None or (resource not in own.limit and resource not in own.uncapped))
    )
