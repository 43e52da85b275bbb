"""Calls about quotas: what everybody has and holds, and changes at run time."""

from __future__ import annotations

from dataclasses import replace

from mlabhub.errors import NotPermitted
from mlabhub.messages import N_
from mlabhub.service.handlers.base import ApiHandler
from mlabhub.service.quota_bodies import QuotaChangesBody
from mlabhub.service.quota_desk import QuotaDesk
from mlabhub.service.scopes import SEE_ALL_SCOPE, SET_QUOTAS_SCOPE


class _QuotaHandler(ApiHandler):
    @property
    def quota_desk(self) -> QuotaDesk:
        """Where quotas are changed."""
        desk: QuotaDesk = self.application.settings["quota_desk"]
        return desk

    @property
    def sees_all(self) -> bool:
        """Whether whoever asks may see everybody's."""
        return self.person.admin or bool(self.hub_auth.check_scopes({SEE_ALL_SCOPE}, self.current_user))

    def require_setter(self) -> None:
        """Let only administrators pass, and the command line on the hub's own machine."""
        if not self.person.admin and not self.hub_auth.check_scopes({SET_QUOTAS_SCOPE}, self.current_user):
            raise NotPermitted(N_("Quotas are changed by administrators."))


class QuotasHandler(_QuotaHandler):
    """``GET quotas``"""

    async def get(self) -> None:
        """List what groups and people hold and may hold."""
        groups, users = self.launcher.quotas(replace(self.person, admin=self.sees_all))
        self.answer({"groups": groups, "users": users, "notes": self.world.quota_notes() if self.sees_all else ()})


class QuotaChangesHandler(_QuotaHandler):
    """``GET`` and ``POST quotas/changes``"""

    async def get(self) -> None:
        """List changes, newest first: of one's groups and one's own, for administrators all; ``?name=`` only one's."""
        groups = None if self.sees_all else frozenset(self.person.groups)
        only = self.get_query_argument("name", None)
        self.answer({"changes": self.quota_desk.history(groups=groups, user=self.person.name, only=only)})

    async def post(self) -> None:
        """Change quotas."""
        self.require_setter()
        key = self.request.headers.get("Idempotency-Key")
        self.answer(await self.quota_desk.change(self.author, self.body(QuotaChangesBody), key), 201)


class QuotaChangeHandler(_QuotaHandler):
    """``DELETE quotas/changes/ID``"""

    async def delete(self, change_id: str) -> None:
        """Take a change back."""
        self.require_setter()
        self.answer(await self.quota_desk.undo(self.author, change_id))
