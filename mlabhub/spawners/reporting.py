"""Where and how often a server tells whether somebody works in it: the same on every backend."""

from __future__ import annotations

from mlabhub.settings import Settings

REPORTS = "api/v1/reports"
ACTIVITY_SECONDS = 180
"""How often a server tells the hub; nobody else does, for an open page alone would look like work at the proxy."""


def make_environment(settings: Settings, front: str | None) -> dict[str, str]:
    """Return the variables for a server that reaches the hub at ``front``, None if at its own address."""
    return {
        "MLABHUB_REPORTS_URL": reports_url(settings, front),
        "JUPYTERHUB_ACTIVITY_INTERVAL": str(ACTIVITY_SECONDS),
    }


def reports_url(settings: Settings, front: str | None) -> str:
    """Return where agents report, as servers reach it: by the hub's proxy; in a chart, the hub's pod itself."""
    if settings.hub_host and settings.service_host != "127.0.0.1":
        return f"http://{settings.hub_host}:{settings.service_port}{settings.service_prefix}{REPORTS}"
    return f"{front}{settings.service_prefix}{REPORTS}" if front else settings.service_url + REPORTS
