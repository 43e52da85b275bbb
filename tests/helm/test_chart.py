"""What hub and service make of what the chart mounts: settings, secrets, configuration, and the hub's own lines."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from traitlets.config import Config

from mlabhub import chart, hub_login
from mlabhub.catalog import load_catalog
from mlabhub.errors import InvalidConfiguration
from mlabhub.service.scopes import ACCESS_SCOPE, SERVICE_SCOPES
from mlabhub.settings import SETTINGS_VARIABLE, load_settings
from tests.helm.overlays import FOLDER, merge

TOKEN = "a1" * 32


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """Leave the environment as it was: the hub's is changed for what it starts."""
    before = dict(os.environ)
    os.environ["POD_NAMESPACE"] = "lab"
    yield
    os.environ.clear()
    os.environ.update(before)


def mount(folder: Path, values: dict[str, Any] | None = None) -> chart.Places:
    """Lay down what the chart mounts into a pod."""
    values = values or merge(("base",))
    mounted = folder / "chart"
    for name in ("secret", "config"):
        (mounted / name).mkdir(parents=True, exist_ok=True)
    (mounted / "config" / "hub").write_text("hub")
    whole = {**values, "Release": {"Name": "mlabhub"}}
    (mounted / "secret" / "values.yaml").write_text(json.dumps(whole))
    (mounted / "secret" / "hub.services.mlabhub.apiToken").write_text(TOKEN)
    return chart.Places(
        chart=mounted,
        state=folder / "state",
        site=folder / "site",
        shipped=FOLDER.parent / "spawner_profiles",
        ledger_password=folder / "ledger-password",
    )


def hub_config(authenticator: str = chart.OUR_AUTHENTICATOR) -> Any:
    """Return what the chart's own configuration has said when ours begins."""
    c = Config()
    c.JupyterHub.authenticator_class = authenticator
    c.JupyterHub.services = [{"name": "mlabhub", "url": "http://hub:8090", "api_token": TOKEN}]
    c.JupyterHub.load_roles = []
    c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0}
    return c


def test_the_hub_is_ours(tmp_path: Path) -> None:
    places, c = mount(tmp_path), hub_config()
    chart.configure_chart(c, places)
    assert c.JupyterHub.spawner_class == "mlabhub.spawners.kube.MLabSpawner"
    assert c.JupyterHub.default_url == "/services/mlabhub/"
    assert c.JupyterHub.tornado_settings["slow_spawn_timeout"] == 3
    roles = {role["name"]: role for role in c.JupyterHub.load_roles}
    assert roles["user"]["scopes"] == ["self", ACCESS_SCOPE]
    assert set(roles["mlabhub-service"]["scopes"]) == set(SERVICE_SCOPES)
    assert [service["name"] for service in c.JupyterHub.services] == ["mlabhub", "mlabhub-command-line"]
    settings = load_settings(os.environ[SETTINGS_VARIABLE])
    assert (settings.backend, settings.namespace, settings.hub_host) == ("kube", "lab", "hub.lab")


def test_a_sites_own_roles_stay(tmp_path: Path) -> None:
    places, c = mount(tmp_path), hub_config()
    c.JupyterHub.load_roles = [{"name": "user", "scopes": ["self", "shares!user"]}]
    c.JupyterHub.custom_scopes = {"custom:lab:door": {"description": "open the door"}}
    chart.configure_chart(c, places)
    (user,) = [role for role in c.JupyterHub.load_roles if role["name"] == "user"]
    assert user["scopes"] == ["self", "shares!user", ACCESS_SCOPE]
    assert "custom:lab:door" in c.JupyterHub.custom_scopes


def test_both_containers_and_every_restart_have_the_same_secrets(tmp_path: Path) -> None:
    places = mount(tmp_path)
    chart.configure_chart(hub_config(), places)
    secrets = places.state / "secrets"
    first = {file.name: file.read_text() for file in secrets.iterdir()}
    password = json.loads((places.state / "first-run.json").read_text())["password"]
    chart.configure_chart(hub_config(), places)
    assert {file.name: file.read_text() for file in secrets.iterdir()} == first
    assert json.loads((places.state / "first-run.json").read_text())["password"] == password
    assert set(first) == {"service-token", "spawner", "command-line-token"}
    assert len(set(first.values())) == 3
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in secrets.iterdir())
    assert TOKEN not in repr(chart.read_chart(os.environ, places.chart))


@pytest.mark.parametrize("authenticator", chart.OPEN_TO_ALL)
def test_an_authenticator_that_lets_anybody_in_is_refused(tmp_path: Path, authenticator: str) -> None:
    with pytest.raises(InvalidConfiguration, match="lets anybody in"):
        chart.configure_chart(hub_config(authenticator), mount(tmp_path))


def test_another_authenticator_is_left_alone(tmp_path: Path) -> None:
    places, c = mount(tmp_path), hub_config("generic-oauth")
    chart.configure_chart(c, places)
    assert c.JupyterHub.authenticator_class == "generic-oauth"
    assert not (places.state / "first-run.json").exists()
    assert "MLabAuthenticator" not in c
    assert c.JupyterHub.extra_handlers == hub_login.ROUTES, "our own authenticator brings these along itself"


def test_the_config_map_wins_over_the_image_and_is_followed(tmp_path: Path) -> None:
    places = mount(tmp_path)
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, servers in ((first, 1), (second, 2)):
        folder.mkdir()
        (folder / "quotas.yaml").write_text(json.dumps({"users": {"default": {"servers": servers}}}))
    places.site.mkdir()
    (places.site / "..data").symlink_to(first)
    (places.site / "quotas.yaml").symlink_to("..data/quotas.yaml")  # as a kubelet lays it
    chart.configure_chart(hub_config(), places)
    folder = places.state / "run" / "config"
    assert load_catalog(folder).quotas.users["default"].__pydantic_extra__["servers"] == 1
    assert load_catalog(folder).profiles, "of the image"
    (places.site / "..new").symlink_to(second)
    (places.site / "..new").replace(places.site / "..data")
    assert load_catalog(folder).quotas.users["default"].__pydantic_extra__["servers"] == 2


def test_storage_of_the_values_may_be_left_to_the_config_map(tmp_path: Path) -> None:
    values = merge(("base",))
    del values["custom"]["mlabhub"]["storage"]
    places = mount(tmp_path, values)
    places.site.mkdir()
    (places.site / "storage.yaml").write_text("user_root: /srv/home\nshare_root: /srv/share\nuser_target: /mnt/mine\n")
    chart.configure_chart(hub_config(), places)
    assert load_catalog(places.state / "run" / "config").storage.user_target == "/mnt/mine"


def test_a_key_that_is_not_ours_is_named(tmp_path: Path) -> None:
    values = merge(("base",))
    values["custom"]["mlabhub"]["k8s"] = {}
    with pytest.raises(InvalidConfiguration, match=r"custom\.mlabhub\.k8s"):
        chart.read_chart(os.environ, mount(tmp_path, values).chart)


def test_outside_of_a_pod_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfiguration, match="pod of the Zero to JupyterHub chart"):
        chart.read_chart(os.environ, tmp_path)


def test_the_ledgers_password_is_read_by_its_owner_alone(tmp_path: Path) -> None:
    places = mount(tmp_path, merge(("base", "ledger-postgresql")))
    places.ledger_password.write_text("secret")
    chart.configure_chart(hub_config(), places)
    settings = load_settings(os.environ[SETTINGS_VARIABLE])
    assert settings.ledger_url.startswith("postgresql://")
    assert settings.ledger_password_file is not None
    assert stat.S_IMODE(settings.ledger_password_file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("more", "url"),
    [
        pytest.param({}, "http://localhost:8000/", id="nothing-said"),
        pytest.param({"proxy": {"https": {"enabled": True, "hosts": ["hub.lab"]}}}, "https://hub.lab/", id="https"),
        pytest.param({"ingress": {"enabled": True, "hosts": ["hub.lab"]}}, "http://hub.lab/", id="ingress"),
    ],
)
def test_the_address_that_people_are_told(tmp_path: Path, more: dict[str, Any], url: str) -> None:
    found = chart.read_chart(os.environ, mount(tmp_path, {**merge(("base",)), **more}).chart)
    assert chart.make_settings(found).public_url == url


def test_a_service_that_ends_is_started_again_until_sigterm(tmp_path: Path) -> None:
    """With a program in the service's place that says that it started and ends."""
    script = (
        "import asyncio, sys; from mlabhub import chart; chart.RESTART_S = chart.LONG_RESTART_S = 0.1;"
        "asyncio.run(chart._keep_running([sys.executable, '-c', 'print(1, flush=True)']))"
    )
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert child.stdout is not None
    assert [child.stdout.readline() for _ in range(3)] == [b"1\n"] * 3
    began = time.monotonic()
    child.terminate()
    assert child.wait(10) == 0
    assert time.monotonic() - began < 5
    child.stdout.close()
