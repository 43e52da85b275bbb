"""What administrators are told about quotas that are in force and cannot be meant so: a warning, never an error.

Guarantees: what hub or machines do not say now is left out; a note that is new stands in the log once.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from mlabhub.core.quota_sums import notes_on_sums, unknown_groups, unknown_machines
from mlabhub.core.quote import quote_all
from mlabhub.errors import MLabError
from mlabhub.messages import N_, Message

if TYPE_CHECKING:
    from mlabhub.service.world import World

log = logging.getLogger(__name__)
LOOK_EVERY_S = 60.0

UNKNOWN_MACHINES = N_("A maintenance in quotas.yaml names {machines}: there is no such machine, so nothing is closed.")
UNKNOWN_GROUPS = N_(
    "The hub has no group {groups}, which quotas.yaml or a change of quotas names: that quota is nobody's yet."
)


class QuotaNotes:
    """Call it for what was found last."""

    def __init__(self, world: World):
        self._world = world
        self._notes: tuple[Message, ...] = ()

    def __call__(self) -> tuple[Message, ...]:
        """Return what is to be told."""
        return self._notes

    async def look(self) -> tuple[Message, ...]:
        """Look now."""
        catalog = self._world.catalog
        quotas = catalog().quotas
        notes = [*catalog.contradictions(), *await self._on_machines(), *await self._on_groups(list(quotas.groups))]
        for one in notes:
            if one not in self._notes:
                log.warning("%s", one)
        self._notes = tuple(notes)
        return self._notes

    async def run(self) -> None:
        """Look again and again."""
        while True:
            try:
                await self.look()
            except Exception:
                log.exception("Quotas could not be held against the machines; the notes from before stay")
            await asyncio.sleep(LOOK_EVERY_S)

    async def _on_machines(self) -> list[Message]:
        try:
            capacity = await self._world.capacity.get()
        except MLabError as error:
            log.debug("Quotas are not held against the machines: %s", error.log_text)
            return []
        quotas = self._world.catalog().quotas
        notes = list(notes_on_sums(quotas, capacity))
        unknown = unknown_machines(quotas, capacity, self._world.clock())
        return [*notes, Message.of(UNKNOWN_MACHINES, machines=quote_all(unknown))] if unknown else notes

    async def _on_groups(self, named: list[str]) -> list[Message]:
        if not named:
            return []
        try:
            known = await self._world.hub.groups()
        except MLabError as error:
            log.debug("Quotas are not held against the hub's groups: %s", error.log_text)
            return []
        unknown = unknown_groups(self._world.catalog().quotas, known)
        return [Message.of(UNKNOWN_GROUPS, groups=quote_all(unknown))] if unknown else []
