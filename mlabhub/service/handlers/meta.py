"""Calls about the service itself: its health, its measures, its description, a round of the reconciler."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST
from tornado.web import RequestHandler

from mlabhub import __version__
from mlabhub.errors import MLabError, Unavailable
from mlabhub.inventory.backend import Watching
from mlabhub.messages import N_
from mlabhub.service.bodies import ReconcileBody
from mlabhub.service.handlers.base import ApiHandler, JsonHandler, knows_secret
from mlabhub.service.reconcile_words import FOLLOWS, WORDS
from mlabhub.service.reconciler import Report

ON_THIS_MACHINE = "command line"
"""Who repairs that has the secret, and no name."""
REPAIR_S = 100.0
"""How long a program waits for a repair to be done."""
GOES_ON = N_("The repair goes on: what it does stands in the audit. Look again in a minute.")


class HealthHandler(JsonHandler):
    """``GET health``, for anyone: nothing in it names a person."""

    def check_xsrf_cookie(self) -> None:
        """Reading only."""

    def get(self) -> None:
        """Say whether launches can be decided on: 200, or 503 while the ledger cannot be written."""
        fault = self.world.writer.fault
        last = self.reconciler.last
        unreachable = last.error if last is not None else None
        catalogue = self.world.catalog.fault
        report = {
            "status": "failing" if fault else "degraded" if unreachable or catalogue else "ok",
            "version": __version__,
            "ledger": fault.message if fault else "ok",
            "reconciler": unreachable.message if unreachable else "ok" if last else "not yet run",
            "catalogue": "the files have faults; administrators see them at api/v1/catalogue" if catalogue else "ok",
        }
        self.answer(report, 503 if fault else 200)


class AliveHandler(RequestHandler):
    """``GET /alive``, outside of the service's prefix, for whoever watches over the process alone."""

    def get(self) -> None:
        """Answer. Whether launches can be decided on, ``health`` says."""
        self.finish("ok")


class CatalogueHandler(ApiHandler):
    """``GET catalogue``, for administrators."""

    async def get(self) -> None:
        """Say whether the configuration folder is in force as it stands, and if not, why."""
        self.require_admin()
        faults = self.launcher.catalog_faults(self.person)
        self.answer({"in_force": not faults, "faults": faults})


class MetricsHandler(ApiHandler):
    """``GET metrics``"""

    async def get(self) -> None:
        """Answer in Prometheus' text format."""
        self.set_header("Content-Type", CONTENT_TYPE_LATEST)
        world = self.world
        try:
            capacity = await world.capacity.get()
        except MLabError:
            capacity = None
        ages = world.backend.ages() if isinstance(world.backend, Watching) else {}
        projection = world.writer.projection
        self.finish(world.metrics.render(tuple(projection), capacity, ages, tuple(projection.queue.values())))


class OpenApiHandler(JsonHandler):
    """``GET openapi.json``, for anyone."""

    def check_xsrf_cookie(self) -> None:
        """Reading only."""

    def get(self) -> None:
        """Describe every call."""
        self.answer(self.application.settings["openapi"])


class ReconcileHandler(ApiHandler):
    """``POST reconcile``, for administrators and for whoever may read the spawners' secret on this machine."""

    async def prepare(self) -> None:
        """Let the secret pass as well."""
        self._actor = ON_THIS_MACHINE
        if not knows_secret(self):
            await super().prepare()
            self.require_admin()
            self._actor = self.person.name

    async def post(self) -> None:
        """Compare hub, backend and ledger now."""
        body = self.body(ReconcileBody)
        report = await self._report(repair=body.repair or self._asked_in_query(), dry_run=body.dry_run)
        if report is None:
            raise Unavailable(GOES_ON)
        if report.error is not None:
            raise report.error
        self.answer(_told(report))

    async def _report(self, *, repair: bool, dry_run: bool) -> Report | None:
        if dry_run:
            return await self.reconciler.look()
        return await (self.reconciler.repair(self._actor, patience_s=REPAIR_S) if repair else self.reconciler.round())

    def _asked_in_query(self) -> bool:
        return self.get_query_argument("repair", "") == "1"


def _told(report: Report) -> dict[str, object]:
    return {
        "findings": [
            {
                "kind": finding.kind,
                "user": finding.user,
                "server_name": finding.server,
                "launch_id": finding.launch_id,
                "gpus": finding.gpus,
                "message": WORDS[finding.kind],
                "repair": FOLLOWS[finding.kind],
                "by_itself": finding.acting,
                "done": done,
            }
            for finding, done in report.findings
        ]
    }
