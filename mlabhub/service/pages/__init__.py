"""The pages that people see: home, launch, starting, queue, confirm.

Guarantees: every page works by keyboard and without JavaScript; every value that a person or a machine supplied is
escaped; nothing is loaded from another host; acts that cannot be undone ask on a page of their own first.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tornado.web import StaticFileHandler, url

from mlabhub.service.pages.audit import AuditExportHandler, AuditHandler, HistoryHandler
from mlabhub.service.pages.cluster import ClusterGpuHandler, ClusterHandler, ClusterPartsHandler
from mlabhub.service.pages.confirm import ImageHandler, ServerHandler
from mlabhub.service.pages.fetching import FetchingHandler, FetchingProgressHandler
from mlabhub.service.pages.home import BoardHandler, HomeHandler, HomePartsHandler
from mlabhub.service.pages.idle import (
    BringBackHandler,
    ReleaseGpuHandler,
    SafeModeHandler,
    WarnedHandler,
)
from mlabhub.service.pages.idle_overview import IdleOverviewHandler
from mlabhub.service.pages.idle_trial import IdleTrialHandler, IdleTrialPartsHandler
from mlabhub.service.pages.launch import LaunchHandler, PreviewHandler
from mlabhub.service.pages.notfound import NotFoundHandler
from mlabhub.service.pages.people import CloseAccountHandler, PeopleHandler, PersonHandler
from mlabhub.service.pages.people_new import FileHandler, NewPersonHandler, SheetHandler
from mlabhub.service.pages.queue import (
    EntryHandler,
    NearestHandler,
    QueueHandler,
    QueuePartsHandler,
    ReleaseAddressHandler,
    ReleaseHandler,
)
from mlabhub.service.pages.quota_trial import QuotaTrialHandler, QuotaTrialPartsHandler
from mlabhub.service.pages.quotas import (
    QuotaActHandler,
    QuotaFormHandler,
    QuotaHandler,
    QuotasHandler,
    QuotasPartsHandler,
)
from mlabhub.service.pages.reconciler import ReconcilerHandler, ReconcilerPartsHandler, RepairHandler
from mlabhub.service.pages.save import SaveHandler
from mlabhub.service.pages.server import OldAddressHandler, ServerPageHandler, ServerPartsHandler
from mlabhub.service.pages.starting import ProgressHandler, StartingHandler
from mlabhub.service.pages.usage import UsageCsvHandler, UsagePageHandler

STATIC_DIR = Path(__file__).parent / "static"

__all__ = ["NotFoundHandler", "routes"]


class Asset(StaticFileHandler):
    """A style sheet or script of ours. Browsers ask each time whether it changed, so that pages and scripts fit."""

    def set_extra_headers(self, path: str) -> None:
        """Let the browser keep it, and ask."""
        self.set_header("Cache-Control", "no-cache")
        self.set_header("X-Content-Type-Options", "nosniff")


def routes(prefix: str) -> list[Any]:
    """Return the routes of all pages below ``prefix``, which ends in a slash."""
    return [
        url(prefix, HomeHandler),
        url(prefix.rstrip("/"), HomeHandler),
        url(prefix + r"parts", HomePartsHandler),
        url(prefix + r"tensorboard", BoardHandler),
        url(prefix + r"launch", LaunchHandler),
        url(prefix + r"launch/preview", PreviewHandler),
        url(prefix + r"fetching", FetchingHandler),
        url(prefix + r"fetching/progress", FetchingProgressHandler),
        url(prefix + r"starting/([0-9A-Za-z-]{1,64})", StartingHandler),
        url(prefix + r"starting/([0-9A-Za-z-]{1,64})/progress", ProgressHandler),
        url(prefix + r"cluster", ClusterHandler),
        url(prefix + r"cluster/parts", ClusterPartsHandler),
        url(prefix + r"cluster/gpu", ClusterGpuHandler),
        url(prefix + r"queue", QueueHandler),
        url(prefix + r"queue/parts", QueuePartsHandler),
        url(prefix + r"queue/nearest", NearestHandler),
        url(prefix + r"(leave|front)", EntryHandler),
        url(prefix + r"(release)", ReleaseHandler),
        url(prefix + r"release/([0-9A-Za-z-]{1,64})", ReleaseAddressHandler),
        url(prefix + r"quotas", QuotasHandler),
        url(prefix + r"quotas/parts", QuotasPartsHandler),
        url(prefix + r"quotas/of", QuotaHandler),
        url(prefix + r"quotas/form", QuotaFormHandler),
        url(prefix + r"quotas/trial", QuotaTrialHandler),
        url(prefix + r"quotas/trial/parts", QuotaTrialPartsHandler),
        url(prefix + r"(change-quota|undo-quota)", QuotaActHandler),
        url(prefix + r"(stop|reset)", ServerHandler),
        url(prefix + r"(delete-image)", ImageHandler),
        url(prefix + r"(release-gpu)", ReleaseGpuHandler),
        url(prefix + r"(bring-back|bring-back-wait)", BringBackHandler),
        url(prefix + r"safe-mode", SafeModeHandler),
        url(prefix + r"warned", WarnedHandler),
        url(prefix + r"idle", IdleOverviewHandler),
        url(prefix + r"idle/trial", IdleTrialHandler),
        url(prefix + r"idle/trial/parts", IdleTrialPartsHandler),
        url(prefix + r"usage", UsagePageHandler),
        url(prefix + r"usage\.csv", UsageCsvHandler),
        url(prefix + r"idle/([0-9A-Za-z-]{1,64})", OldAddressHandler),
        url(prefix + r"idle/([0-9A-Za-z-]{1,64})/parts", ServerPartsHandler),
        url(prefix + r"servers/([0-9A-Za-z-]{1,64})", ServerPageHandler),
        url(prefix + r"servers/([0-9A-Za-z-]{1,64})/parts", ServerPartsHandler),
        url(prefix + r"people", PeopleHandler),
        url(prefix + r"people/new", NewPersonHandler),
        url(prefix + r"people/file", FileHandler),
        url(prefix + r"people/file/([0-9A-Za-z_-]{1,64})", SheetHandler),
        url(prefix + r"people/of", PersonHandler),
        url(prefix + r"(close-account)", CloseAccountHandler),
        url(prefix + r"save", SaveHandler),
        url(prefix + r"reconciler", ReconcilerHandler),
        url(prefix + r"reconciler/parts", ReconcilerPartsHandler),
        url(prefix + r"(repair)", RepairHandler),
        url(prefix + r"audit", AuditHandler),
        url(prefix + r"audit/export", AuditExportHandler),
        url(prefix + r"history", HistoryHandler),
        url(prefix + r"static/(.+)", Asset, {"path": str(STATIC_DIR)}),
    ]
