"""The table of pages: what benches, pictures and checks of accessibility walk. A test holds it complete."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Page:
    """A page that people read: its picture's name, its address below the service's prefix, and whether it is for
    administrators alone. One that ``asks`` is come to by way of a first step.

    Of the address, ``{launch}`` is a launch that runs, ``{starting}`` one that starts, ``{waiting}`` one that waits in
    the queue, ``{group}`` a group, ``{profile}`` a profile with GPUs, ``{user}`` somebody.
    """

    name: str
    path: str
    admin: bool = False
    asks: bool = False


PAGES = (
    Page("home", ""),
    Page("start", "launch"),
    Page("start-gpu", "launch?profile={profile}"),
    Page("starting", "starting/{starting}"),
    Page("waiting", "starting/{waiting}"),
    Page("queue", "queue"),
    Page("cluster", "cluster"),
    Page("quotas", "quotas"),
    Page("quota", "quotas/of?group={group}"),
    Page("usage", "usage"),
    Page("server", "servers/{launch}"),
    Page("history", "history"),
    Page("people", "people", admin=True),
    Page("person-new", "people/new", admin=True, asks=True),
    Page("person", "people/of?name={user}", admin=True, asks=True),
    Page("idle", "idle", admin=True),
    Page("idle-trial", "idle/trial", admin=True),
    Page("reconciler", "reconciler", admin=True),
    Page("audit", "audit", admin=True),
)

NO_PAGES = (
    "parts",
    "tensorboard",
    "launch/preview",
    "fetching",
    "fetching/progress",
    "starting/{id}/progress",
    "cluster/parts",
    "cluster/gpu",
    "queue/parts",
    "queue/nearest",
    "leave|front",
    "release",
    "release/{id}",
    "quotas/parts",
    "quotas/form",
    "quotas/trial",
    "quotas/trial/parts",
    "audit/export",
    "reconciler/parts",
    "repair",
    "change-quota|undo-quota",
    "stop|reset",
    "delete-image",
    "release-gpu",
    "bring-back|bring-back-wait",
    "safe-mode",
    "warned",
    "idle/trial/parts",
    "idle/{id}",
    "idle/{id}/parts",
    "people/file",
    "people/file/{id}",
    "close-account",
    "servers/{id}/parts",
    "save",
    "usage\\.csv",
    "static/(.+)",
)
"""Routes that are no pages of their own: parts of pages, questions before an act, and acts."""
