"""Where a server is told to report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlabhub.settings import Settings
from mlabhub.spawners.reporting import make_environment, reports_url


def make_settings(**values: Any) -> Settings:
    return Settings(
        instance="cafe0123",
        state_dir=Path("/s"),
        config_dir=Path("/c"),
        public_url="https://lab.example/x/",
        base_url="/x/",
        hub_port=8081,
        proxy_api_port=8001,
        service_port=8090,
        **values,
    )


@pytest.mark.parametrize(
    ("values", "front", "url"),
    [
        ({"backend": "process"}, None, "http://127.0.0.1:8090"),
        ({"backend": "container"}, "http://10.90.0.1:8000", "http://10.90.0.1:8000"),
        ({"backend": "container"}, "https://lab.example:443", "https://lab.example:443"),
        ({"backend": "kube", "hub_host": "10.0.0.1"}, "http://10.0.0.1:8000", "http://10.0.0.1:8000"),
        (
            {"backend": "kube", "hub_host": "hub.jhub", "service_host": "0.0.0.0"},
            "http://hub.jhub:8081",
            "http://hub.jhub:8090",
        ),
    ],
    ids=["a process", "a container", "with TLS", "a pod, the hub outside", "a pod, the hub in pods"],
)
def test_a_server_reports_by_the_way_that_it_reaches_the_hub(
    values: dict[str, Any], front: str | None, url: str
) -> None:
    settings = make_settings(**values)
    assert reports_url(settings, front) == f"{url}/x/services/mlabhub/api/v1/reports"
    assert make_environment(settings, front)["MLABHUB_REPORTS_URL"] == reports_url(settings, front)
