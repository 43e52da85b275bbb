"""The dashboard and the ServiceMonitor against what hub, service and chart really have."""

from __future__ import annotations

import copy
import json
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import jupyterhub.metrics
import pytest
from prometheus_client.metrics import MetricWrapperBase
from ruamel.yaml import YAML

from mlabhub.config import make_roles
from mlabhub.service.metrics import Metrics
from mlabhub.service.routes import ROUTES
from mlabhub.service.scopes import ACCESS_SCOPE
from tests.helm.overlays import FOLDER, merge

DASHBOARD: dict[str, Any] = json.loads((FOLDER / "grafana/mlabhub.json").read_text())
OF_SCRAPE = {"namespace"}
"""Labels that Prometheus adds to what it reads from a pod."""
SERIES = re.compile(r"\b([a-z_]+)\{([^}]*)\}")
BY = re.compile(r"\bby \(([^)]*)\)")
VARIABLE = re.compile(r"\$\{?(\w+)")


def exposed() -> dict[str, set[str]]:
    """Return every series that hub and service have, with its labels."""
    of_hub = [one for one in vars(jupyterhub.metrics).values() if isinstance(one, MetricWrapperBase)]
    of_service = [one for one in Metrics().registry._collector_to_names if isinstance(one, MetricWrapperBase)]
    found: dict[str, set[str]] = {}
    for metric in (*of_hub, *of_service):
        [family] = metric.describe()
        labels = set(metric._labelnames)
        name = family.name
        if family.type == "histogram":
            found |= {f"{name}_bucket": {*labels, "le"}, f"{name}_count": labels, f"{name}_sum": labels}
        else:
            found[f"{name}_total" if family.type == "counter" else name] = labels
    return found


def queries() -> Iterator[Any]:
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield pytest.param(target["expr"], id=f"{panel['id']}-{target['refId']}")
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield pytest.param(variable["query"]["query"], id=variable["name"])


@pytest.mark.parametrize("query", list(queries()))
def test_every_query_asks_for_what_there_is(query: str) -> None:
    have = exposed()
    series = SERIES.findall(query) or [(re.search(r"\((\w+),", query)[1], "")]  # type: ignore[index]
    labels: set[str] = set()
    for name, selector in series:
        assert name in have
        labels |= have[name] | OF_SCRAPE
        for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector):
            assert label in have[name] | OF_SCRAPE, f"{name} has no label {label}"
    for grouped in BY.findall(query):
        assert {label.strip() for label in grouped.split(",")} <= labels
    for label in re.findall(r"label_values\(.*,\s*(\w+)\)", query):
        assert label in labels
    variables = {one["name"] for one in DASHBOARD["templating"]["list"]} | {"__rate_interval"}
    assert set(VARIABLE.findall(query)) <= variables


def test_every_measure_of_the_service_is_on_the_dashboard() -> None:
    text = json.dumps(DASHBOARD)
    of_service = {name for name in exposed() if name.startswith("mlabhub_")}
    shown = {name for name in of_service if name in text}
    assert {re.sub("_(bucket|count|sum)$", "", name) for name in of_service - shown} <= {
        "mlabhub_gpus_held",  # what of mlabhub_gpus is held
        "mlabhub_start_seconds",
        "mlabhub_commit_seconds",
        "mlabhub_queue_wait_seconds",
    }
    assert {"mlabhub_start_seconds_bucket", "mlabhub_commit_seconds_bucket"} <= shown


def lost(wanted: Any, found: Any, path: str = "") -> Iterator[str]:
    """Yield what is in one piece of JSON and not in the other."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key, value in wanted.items():
            yield from lost(value, found[key], f"{path}.{key}") if key in found else [f"{path}.{key}"]
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        for number, (one, other) in enumerate(zip(wanted, found, strict=True)):
            yield from lost(one, other, f"{path}[{number}]")
    elif wanted != found:
        yield path


def read_by_grafana(dashboard: Any) -> Any:
    """Return what Grafana's own types, made of its schema, make of a dashboard."""
    encoder = import_module("grafana_foundation_sdk.cog.encoder")
    import_module("grafana_foundation_sdk.cog.plugins").register_default_plugins()
    types = import_module("grafana_foundation_sdk.models.dashboard")
    return json.loads(encoder.JSONEncoder(sort_keys=True).encode(types.Dashboard.from_json(dashboard)))


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Grafana's types need Python 3.11")
def test_grafana_knows_every_key() -> None:
    assert list(lost(DASHBOARD, read_by_grafana(DASHBOARD))) == []
    wrong = copy.deepcopy(DASHBOARD)
    wrong["panels"][4]["fieldConfig"]["defaults"]["custom"]["stackng"] = {"mode": "normal"}
    assert list(lost(wrong, read_by_grafana(wrong))) == [".panels[4].fieldConfig.defaults.custom.stackng"]


def test_panels_lie_beside_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_prometheus_comes_in_by_the_charts_own_token() -> None:
    [monitor] = YAML(typ="safe").load_all((FOLDER / "manifests/monitoring.yaml").read_text())
    values = merge(("base", "monitoring"))
    ports = {"hub", *(one["name"] for one in values["hub"]["service"]["extraPorts"])}
    paths = {"/hub/metrics", *(f"/services/mlabhub/{route.path}" for route in ROUTES)}
    for endpoint in monitor["spec"]["endpoints"]:
        assert endpoint["port"] in ports
        assert endpoint["path"] in paths
        credentials = endpoint["authorization"]["credentials"]
        service = re.fullmatch(r"hub\.services\.(.+)\.apiToken", credentials["key"])
        assert service is not None
        assert service[1] in values["hub"]["services"]
    [role] = [one for one in values["hub"]["loadRoles"].values() if "mlabhub-metrics" in one["services"]]
    assert set(role["scopes"]) == {"read:metrics", ACCESS_SCOPE}
    assert all("mlabhub-metrics" not in one.get("services", ()) for one in make_roles())


def test_prometheus_is_let_in_and_nobody_else_is_kept_out() -> None:
    before = merge(("base",))["hub"]["networkPolicy"]["ingress"]
    after = merge(("base", "monitoring"))["hub"]["networkPolicy"]["ingress"]
    assert after[: len(before)] == before
    assert len(after) == len(before) + 1
