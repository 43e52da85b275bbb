"""Every overlay, with each that makes sense beside it: valid for the chart, valid for us, no gate left open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest

from mlabhub import chart
from mlabhub.catalog import load_catalog
from mlabhub.cluster.chart import NAME, STATE_CLAIM
from mlabhub.service.scopes import PEOPLE_SCOPES
from mlabhub.settings import SERVICE_NAME
from tests.helm.overlays import FOLDER, STORAGE, combinations, merge
from tests.helm.schema import find_schema, load_schema, without_required

COMBINATIONS = tuple(combinations())
SCHEMA = find_schema()

# A lab's own checkout may run its tests without the chart's schema, and has no such tests then; continuous integration
# names one, and fails if it is not there.


def test_every_overlay_is_in_a_combination() -> None:
    used = {name for names in COMBINATIONS for name in names}
    assert used == {file.stem for file in FOLDER.glob("*.yaml")}


if SCHEMA is not None:

    def test_every_combination_is_valid_for_the_chart() -> None:
        check = jsonschema.Draft7Validator(load_schema(SCHEMA))
        faults = {
            " ".join(names): [f"{'.'.join(map(str, error.absolute_path))}: {error.message[:200]}" for error in errors]
            for names in COMBINATIONS
            if (errors := list(check.iter_errors(merge(names))))
        }
        assert not faults

    def test_the_schema_tells_a_typing_error() -> None:
        values = merge(("base",))
        values["hub"]["consecutiveFailureLimits"] = 0
        errors = list(jsonschema.Draft7Validator(load_schema(SCHEMA)).iter_errors(values))
        assert ["consecutiveFailureLimits" in error.message for error in errors] == [True]


def test_only_lists_of_required_keys_are_dropped() -> None:
    schema = {"required": ["a"], "properties": {"required": {"type": "array", "required": ["b"]}}}
    assert without_required(schema) == {"properties": {"required": {"type": "array"}}}


def made(names: tuple[str, ...], folder: Path) -> chart.Chart:
    """Return what a pod reads of these overlays."""
    values = merge(names)
    custom = chart.Custom.model_validate(values["custom"]["mlabhub"])
    return chart.Chart(values, custom, "hub", "t" * 64, "mlabhub")


@pytest.mark.parametrize(
    "names",
    [names for names in COMBINATIONS if len(names) <= 2 or {*names} & {*STORAGE} == {*names[1:]}],
    ids=lambda names: "+".join(names[1:]) or "base",
)
def test_what_overlays_say_of_the_cluster_is_a_valid_configuration(names: tuple[str, ...], tmp_path: Path) -> None:
    found = made(names, tmp_path)
    settings = chart.make_settings(found, tmp_path)
    shipped = FOLDER.parent / "spawner_profiles"
    chart.prepare(found, settings, chart.Places(site=tmp_path / "no-config-map", shipped=shipped))
    catalog = load_catalog(settings.config_dir)
    named = catalog.storage.share_root
    located = catalog.located(str(settings.nas_dir))
    assert located.kubernetes.volume_of(str(located.storage.user_root))
    shared = located.kubernetes.volume_of(str(located.storage.share_root))
    assert (shared is not None) == (named is not None or "one-node" in names)


def walk(part: Any) -> Any:
    yield part
    for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from walk(inner)


def test_nobody_may_log_in_with_any_password() -> None:
    for names in COMBINATIONS:
        login = merge(names)["hub"]["config"]
        assert login["JupyterHub"]["authenticator_class"] not in chart.OPEN_TO_ALL
        assert not any(part.get("allow_all") for part in walk(login) if isinstance(part, dict))


def test_the_hub_decides_who_opens_accounts_there_too() -> None:
    service = merge(("base",))["hub"]["services"][SERVICE_NAME]
    assert service["oauth_client_allowed_scopes"] == list(PEOPLE_SCOPES)


def test_service_and_ports_are_those_of_the_code() -> None:
    hub = merge(("base",))["hub"]
    (container,) = hub["extraContainers"]
    assert hub["services"][SERVICE_NAME]["url"] == f"http://hub:{chart.SERVICE_PORT}"
    assert [port["port"] for port in hub["service"]["extraPorts"]] == [chart.SERVICE_PORT]
    assert [port["containerPort"] for port in container["ports"]] == [chart.SERVICE_PORT]
    assert {port["port"] for rule in hub["networkPolicy"]["ingress"] for port in rule["ports"]} == {
        chart.HUB_PORT,
        chart.SERVICE_PORT,
    }
    image = hub["image"]
    assert container["image"] == f"{image['name']}:{image['tag']}"
    assert STATE_CLAIM in {
        one["persistentVolumeClaim"]["claimName"]
        for one in hub["extraVolumes"]
        if NAME in one["name"] and "persistentVolumeClaim" in one
    }


def test_the_service_has_no_more_rights_than_the_restricted_standard_allows() -> None:
    values = merge(("base",))
    for context in (values["hub"]["containerSecurityContext"], values["hub"]["extraContainers"][0]["securityContext"]):
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["runAsUser"] != 0
    assert values["singleuser"]["cloudMetadata"]["blockWithIptables"] is False
