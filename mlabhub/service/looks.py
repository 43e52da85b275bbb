"""What people are shown: servers, images, folders, nodes, quotas; the same for pages, API and command line.

Guarantees: whoever looks at somebody else's is an administrator; names are told as far as the privacy setting allows;
what cannot be asked for the moment (the ledger, the backend) is left out, and nothing else with it.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from mlabhub.client import HubUser
from mlabhub.core.idle.policy import Policy
from mlabhub.core.log_folders import source_of
from mlabhub.core.privacy import Viewer
from mlabhub.core.quote import quote
from mlabhub.core.storage import places_for
from mlabhub.core.tools import WORKBENCH
from mlabhub.errors import MLabError, NotPermitted, Unavailable
from mlabhub.inventory import SavedLayer
from mlabhub.ledger import Reservation, one_per_server
from mlabhub.messages import N_, Message
from mlabhub.service import listing
from mlabhub.service.catalogue import fault_lines
from mlabhub.service.kept import kept_choices
from mlabhub.service.lent import with_sharing
from mlabhub.service.own_images import ImageDesk
from mlabhub.service.patience import soon
from mlabhub.service.quota_views import make_view
from mlabhub.service.safe_mode import is_safe, with_safe_mode
from mlabhub.service.shelving.views import with_shelved
from mlabhub.service.views import (
    CatalogView,
    NodeView,
    PastLaunch,
    Person,
    QuotaChangeView,
    SavedImageView,
    ServerView,
    StorageView,
    UsageView,
)
from mlabhub.service.world import World

log = logging.getLogger(__name__)


class Looks:
    """Shows people what there is and what is theirs."""

    def __init__(self, world: World):
        self._world = world

    async def servers(self, user: str) -> tuple[ServerView, ...]:
        """Return all servers of a user, running or not. What is saved is left out while the backend is silent."""
        hub_user, saved, recent = await asyncio.gather(
            self._world.hub.user(user, stopped=True), self._saved(user), self._recent(user)
        )
        latest = one_per_server(recent)
        projection, catalog = self._world.writer.projection, self._world.catalog()
        held = projection.of_user(user)
        views = listing.server_views(hub_user, held, saved, self._world.settings.base_url, latest)
        return with_safe_mode(with_shelved(with_sharing(views, projection, catalog), projection), held, recent)

    def idle_policy(self, profile: str, group: str | None) -> Policy:
        """Return what holds now for a server of a profile that a group pays, when nobody uses it."""
        return self._world.catalog().idle.policy_for(profile, group, self._world.clock())

    async def past_launches(self, user: str) -> tuple[PastLaunch, ...]:
        """Return the last launch of each of a user's workbenches, newest first; none while the ledger is away."""
        # What was asked for in safe mode is for mending something, and not to be had again.
        normal = [one for one in await self._recent(user) if not is_safe(one)]
        launches = [one for one in one_per_server(normal) if one.kind == WORKBENCH]
        return tuple(PastLaunch(one.server, one.display_name, one.created, one.options) for one in launches)

    async def earlier(self, one: Reservation) -> tuple[Reservation, ...]:
        """Return a server's launches before that one, newest first, of its user's last; none without the ledger."""
        recent = await self._recent(one.user)
        return tuple(it for it in recent if it.server == one.server and it.created < one.created)

    async def _recent(self, user: str) -> tuple[Reservation, ...]:
        try:
            return await asyncio.to_thread(self._world.ledger.recent, user)
        except Unavailable as error:
            log.warning("What %s launched before is not shown: %s", user, error.log_text)
            return ()

    async def path_in_server(self, user: str, path: str) -> str:
        """Return where a user's server sees one of its paths: plain processes see the machine's own folders."""
        if self._world.settings.backend != "process":
            return path
        groups = (await self._world.hub.user(user)).groups
        return source_of(path, places_for(self._world.catalog().storage, user, groups))

    async def saved_images(self, user: str) -> tuple[SavedImageView, ...]:
        """Return the images that a user saved; none while the backend is silent, or where servers have no images."""
        try:
            own = await ImageDesk(self._world).own(user)
        except MLabError as error:
            log.warning("The images that %s saved are not shown: %s", user, error.log_text)
            return ()
        return tuple(SavedImageView(one.name, one.of_image, one.description) for one in own)

    async def _saved(self, user: str) -> tuple[SavedLayer, ...]:
        try:
            return await soon(self._world.backend.saved(user))
        except Unavailable as error:
            log.warning("What %s saved is not shown: %s", user, error.log_text)
            return ()

    async def catalog_for(self, actor: Person) -> CatalogView:
        """Return what the launch page shows to this person, by the groups that the hub has for them now."""
        hub_user, capacity = await asyncio.gather(self._world.hub.user(actor.name), self._world.capacity.get())
        actor = replace(actor, groups=hub_user.groups)
        catalog = self._world.catalog()
        kept = await kept_choices(self._world.ledger, catalog, actor.name)
        projection = self._world.writer.projection
        view = listing.catalog_view(actor, hub_user.groups, catalog, capacity, projection, self.viewer(actor))
        return replace(view, kept_images=kept)

    def catalog_faults(self, actor: Person) -> tuple[Message, ...]:
        """Return why the configuration folder is not in force, for administrators: nobody else can mend it."""
        return fault_lines(self._world.catalog.fault) if actor.admin else ()

    def quota_notes(self, actor: Person) -> tuple[Message, ...]:
        """Return what is to be noted of the quotas in force, for administrators."""
        return self._world.quota_notes() if actor.admin else ()

    async def nodes(self, actor: Person) -> tuple[NodeView, ...]:
        """Return every node and GPU, and who holds it."""
        capacity = await self._world.capacity.get()
        projection = self._world.writer.projection
        return listing.node_views(capacity, projection, self._world.catalog(), self.viewer(actor))

    async def storage(self, actor: Person, user: str) -> tuple[StorageView, ...]:
        """Return a person's folders and how much room they have."""
        check_may_act(actor, user)
        groups = (await self._world.hub.user(user)).groups
        catalog = self._world.catalog()
        places = places_for(catalog.storage, user, groups)
        elsewhere = self._world.settings.backend == "kube"
        seen = [one.source for one in places if not elsewhere or catalog.kubernetes.is_seen_by_hub(one.source)]
        return listing.storage_views(places, await self._world.disk.look(seen), self._world.disk_count.of)

    def quotas(self, actor: Person) -> tuple[tuple[UsageView, ...], tuple[UsageView, ...]]:
        """Return usage and limits: of one's groups and oneself, for administrators of all groups and users."""
        quotas, projection = self._world.catalog().quotas, self._world.writer.projection
        groups, users = set(actor.groups), {actor.name}
        if actor.admin:
            groups |= {*quotas.groups, *(one.group for one in projection if one.group is not None)}
            users |= {*(one.user for one in projection), *quotas.users}
        now = self._world.clock()
        live = [make_view(one, now) for one in self._world.catalog.changes.values() if one.in_force(now)]

        def changed(name: str, *, user: bool) -> tuple[QuotaChangeView, ...]:
            return tuple(one for one in live if one.name == name and (one.part == "cap") == user)

        held = projection.holdings
        of_groups = (listing.usage_of_group(name, quotas, held) for name in sorted(groups))
        of_users = (listing.usage_of_user(name, quotas, held) for name in sorted(users))
        return (
            tuple(replace(one, changes=changed(one.name, user=False)) for one in of_groups),
            tuple(replace(one, changes=changed(one.name, user=True)) for one in of_users),
        )

    def all_held(self) -> tuple[ServerView, ...]:
        """Return every server that holds something, of all users."""
        projection = self._world.writer.projection
        views = listing.held_views(projection, self._world.settings.base_url)
        return with_shelved(with_sharing(views, projection, self._world.catalog()), projection)

    def viewer(self, person: Person, hub_user: HubUser | None = None) -> Viewer:
        """Return what a person may know; the hub's own word on their groups counts, where it was asked."""
        groups = hub_user.groups if hub_user is not None and hub_user.name == person.name else person.groups
        return Viewer(person.name, frozenset(groups), person.admin, self._world.catalog().quotas.privacy)


def check_may_act(actor: Person, user: str) -> None:
    if actor.name != user and not actor.admin:
        raise NotPermitted(
            Message.of(
                N_("{actor} may not act for {user}: only administrators act for others."),
                actor=quote(actor.name),
                user=quote(user),
            )
        )
