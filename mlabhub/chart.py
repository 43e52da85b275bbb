"""The hub and the service inside of the Zero to JupyterHub chart, from what the chart mounts into their pod.

Guarantees: nothing has to be typed: every secret is made of the token that the chart makes for our service, and the
first administrator's password is random; both containers come to the same settings; nobody may log in with any
password.

The chart's own configuration runs first. One line in ``hub.extraConfig`` calls `configure_chart`; the container beside
the hub runs ``python3 -m mlabhub.chart``. What is ours in the values stands in ``custom.mlabhub``.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import hmac
import os
import secrets
import signal
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML

from mlabhub import config, hub_login
from mlabhub.catalog import FILES, load_catalog
from mlabhub.cluster.chart import get_chart_manifests, make_instance
from mlabhub.core.kubernetes import KubernetesSpec
from mlabhub.errors import InvalidConfiguration, MLabError
from mlabhub.logs import configure_logs
from mlabhub.service.scopes import CUSTOM_SCOPES
from mlabhub.settings import SERVICE_NAME, SETTINGS_VARIABLE, Settings, replace_file
from mlabhub.supervisor.first_run import make_first_run, make_private_folders


@dataclass(frozen=True)
class Places:
    """Where things are in the pod's containers."""

    chart: Path = Path("/usr/local/etc/jupyterhub")
    """What the chart mounts: its values, its secrets, and the names of its objects."""
    state: Path = Path("/srv/mlabhub")
    """A volume of the pod: ledger, and the first administrator's password."""
    site: Path = Path("/etc/mlabhub/config")
    """The ConfigMap with the site's files."""
    shipped: Path = Path("/usr/local/share/mlabhub/spawner_profiles")
    """Files of the image for what the site's ConfigMap lacks."""
    ledger_password: Path = Path("/etc/mlabhub/ledger/password")


IN_THE_POD = Places()

HUB_PORT = 8081
SERVICE_PORT = 8090
RESTART_S, LONG_RESTART_S, STEADY_S = 0.5, 5.0, 10.0
"""Pauses before the service starts again: after it ran for a while, and after it ended at once."""
OUR_AUTHENTICATOR = "mlabhub.authenticator.MLabAuthenticator"
OPEN_TO_ALL = ("dummy", "jupyterhub.auth.DummyAuthenticator", "tmp", "tmpauthenticator.TmpAuthenticator")
"""Authenticators that let anybody in."""
FROM_VALUES = {"kubernetes.yaml": "kubernetes", "storage.yaml": "storage"}
"""Files that overlays may write; the others come from the ConfigMap alone."""


class _Ledger(BaseModel):
    model_config = ConfigDict(extra="forbid")

    url: str = ""


class Custom(BaseModel):
    """``custom.mlabhub`` of the chart's values."""

    model_config = ConfigDict(extra="forbid")

    public_url: str = ""
    admin: str = "admin"
    ledger: _Ledger = Field(default_factory=_Ledger)
    kubernetes: dict[str, Any] | None = None
    storage: dict[str, Any] | None = None


@dataclass(frozen=True)
class Chart:
    """What the chart says: its values, the name of the hub's service, and our service's token, which it made."""

    values: Mapping[str, Any]
    custom: Custom
    hub_name: str
    token: str = field(repr=False)
    namespace: str

    def value(self, path: str) -> Any:
        """Return ``a.b.c`` of the values, None if it is not there."""
        found: Any = self.values
        for key in path.split("."):
            found = found.get(key) if isinstance(found, Mapping) else None
        return found

    @property
    def release(self) -> str:
        """The name that the site gave to `helm install`."""
        return str(self.value("Release.Name") or "jupyterhub")

    def secret(self, purpose: str) -> str:
        """Return the secret for one purpose: the same in both containers, and after every restart."""
        return hmac.new(self.token.encode(), f"mlabhub {purpose}".encode(), hashlib.sha256).hexdigest()


def read_chart(environ: Mapping[str, str], folder: Path = IN_THE_POD.chart) -> Chart:
    """Read what the chart mounted. Raises `InvalidConfiguration`."""
    try:
        values = YAML(typ="safe").load((folder / "secret" / "values.yaml").read_text())
        hub_name = (folder / "config" / "hub").read_text().strip()
        token = _read_token(folder)
    except OSError as error:
        raise InvalidConfiguration(
            f"{error.filename} cannot be read ({error.strerror}). This runs in a pod of the Zero to JupyterHub chart, "
            "with helm-values/base.yaml among its values."
        ) from error
    try:
        custom = Custom.model_validate((values.get("custom") or {}).get("mlabhub") or {})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(["custom.mlabhub", *map(str, first["loc"])])
        raise InvalidConfiguration(f"{where} in the chart's values: {first['msg']}.") from error
    return Chart(values, custom, hub_name, token, environ.get("POD_NAMESPACE", "default"))


def _read_token(folder: Path) -> str:
    """Return our service's token: of the site's own Secret, else of the chart's."""
    key = f"hub.services.{SERVICE_NAME}.apiToken"
    existing = folder / "existing-secret" / key
    return (existing if existing.exists() else folder / "secret" / key).read_text().strip()


def make_settings(chart: Chart, state: Path = IN_THE_POD.state) -> Settings:
    """Return the installation's settings, the same for hub and service."""
    ledger = chart.custom.ledger.url
    return Settings(
        instance=make_instance(chart.namespace, chart.release),
        state_dir=state,
        config_dir=state / "run" / "config",
        backend="kube",
        # Where pods reach the hub: directly, whatever the proxy does about TLS.
        hub_host=f"{chart.hub_name}.{chart.namespace}",
        port=HUB_PORT,
        base_url=str(chart.value("hub.baseUrl") or "/").rstrip("/") + "/",
        public_url=_public_url(chart),
        hub_port=HUB_PORT,
        proxy_api_port=8001,
        service_port=SERVICE_PORT,
        service_host="0.0.0.0",
        namespace=chart.namespace,
        ledger_url=ledger,
        ledger_password_file=state / "secrets" / "ledger-password" if ledger else None,
        hub_database=_hub_database(chart),
        admin=chart.custom.admin,
    )


def _public_url(chart: Chart) -> str:
    """Return the hub's address for people, as far as the values tell."""
    base = str(chart.value("hub.baseUrl") or "/").rstrip("/") + "/"
    if chart.custom.public_url:
        return chart.custom.public_url
    secure = bool(chart.value("proxy.https.enabled"))
    hosts = chart.value("proxy.https.hosts") if secure else None
    if not hosts and chart.value("ingress.enabled"):
        hosts, secure = chart.value("ingress.hosts"), bool(chart.value("ingress.tls"))
    return f"{'https' if secure else 'http'}://{hosts[0]}{base}" if hosts else f"http://localhost:8000{base}"


def _hub_database(chart: Chart) -> str:
    """Return the hub's database; the chart's own is a file in the hub's folder."""
    return str(chart.value("hub.db.url") or "sqlite:////srv/jupyterhub/jupyterhub.sqlite")


def prepare(chart: Chart, settings: Settings, places: Places = IN_THE_POD) -> None:
    """Write secrets, settings and the configuration folder. Hub and service may do it at the same time."""
    make_private_folders(settings.run_dir, settings.secrets_dir, settings.log_dir, settings.config_dir)
    replace_file(settings.service_token_file, chart.token, 0o600)
    replace_file(settings.spawner_secret_file, chart.secret("spawner"), 0o600)
    replace_file(settings.secrets_dir / "command-line-token", chart.secret("command line"), 0o600)
    if settings.ledger_password_file is not None and places.ledger_password.exists():
        replace_file(settings.ledger_password_file, places.ledger_password.read_text(), 0o600)
    for name in FILES:
        _lay_file(name, chart, settings.config_dir / name, (places.site / name, places.shipped / name))
    settings.save()


def _lay_file(name: str, chart: Chart, target: Path, sources: tuple[Path, ...]) -> None:
    """Put one file of the configuration folder in place: of the values, else a link to the first source there is.

    A link follows what Kubernetes does to a mounted ConfigMap, so that a change is in force without a restart.
    """
    given = getattr(chart.custom, FROM_VALUES[name]) if name in FROM_VALUES else None
    if given is not None:
        text = _dump(given)
        if target.is_symlink() or not target.exists() or target.read_text() != text:
            replace_file(target, text)
        return
    source = next((one for one in sources if one.exists()), None)
    if source is None:
        target.unlink(missing_ok=True)
        return
    if target.is_symlink() and target.readlink() == source:
        return
    temporary = target.with_name(f"{name}.{secrets.token_hex(4)}")
    temporary.symlink_to(source)
    temporary.replace(target)


def _dump(given: Mapping[str, Any]) -> str:
    """Return a file's text. ``volumes`` may be a mapping: overlays can add to one, but only replace a list."""
    content = dict(given)
    if isinstance(content.get("volumes"), Mapping):
        content["volumes"] = [one for one in content["volumes"].values() if one is not None]
    text = StringIO()
    YAML(typ="safe").dump(content, text)
    return text.getvalue()


def read_base(file: Path) -> KubernetesSpec:
    """Return what a file of values alone says of the cluster. Raises `OSError`, `ValidationError`."""
    return make_spec(Custom.model_validate(YAML(typ="safe").load(file.read_text())["custom"]["mlabhub"]))


def make_spec(custom: Custom) -> KubernetesSpec:
    """Return the ``kubernetes.yaml`` that values stand for. Raises `ValidationError`."""
    return KubernetesSpec.model_validate(YAML(typ="safe").load(_dump(custom.kubernetes or {})))


def configure_chart(c: Any, places: Places = IN_THE_POD) -> None:
    """Fill in what the chart's own configuration left to us. Raises `InvalidConfiguration`.

    What the site says in ``hub.config`` about logging in stays as it is.
    """
    chart = read_chart(os.environ, places.chart)
    settings = make_settings(chart, places.state)
    prepare(chart, settings, places)
    os.environ[SETTINGS_VARIABLE] = str(settings.settings_file)
    check_authenticator(c)
    if c.JupyterHub.get("authenticator_class") == OUR_AUTHENTICATOR:
        make_first_run(settings.state_dir, settings.public_url, settings.admin)
        config.configure_accounts(c, settings)
    else:  # it brings no page of ours along; the hub calls this trait old, and has no other for pages of its own
        c.JupyterHub.extra_handlers = [*c.JupyterHub.get("extra_handlers", []), *hub_login.ROUTES]
    add_services(c, settings)
    config.configure_spawner(c, settings)
    config.configure_pages(c, settings)
    configure_logs(c)


def check_authenticator(c: Any) -> None:
    """Raise `InvalidConfiguration` if anybody may log in under any name."""
    chosen = c.JupyterHub.get("authenticator_class")
    if chosen in OPEN_TO_ALL and not c.DummyAuthenticator.get("password"):
        raise InvalidConfiguration(
            f"hub.config.JupyterHub.authenticator_class is {chosen}, which lets anybody in as anybody, an "
            "administrator too. Use helm-values/base.yaml's own accounts, oidc.yaml, or another authenticator."
        )


def add_services(c: Any, settings: Settings) -> None:
    """Add the command line to the hub's services, and our roles to the site's."""
    token = (settings.secrets_dir / "command-line-token").read_text()
    c.JupyterHub.services.append({"name": config.COMMAND_LINE_NAME, "api_token": token})
    c.JupyterHub.custom_scopes = {**c.JupyterHub.get("custom_scopes", {}), **CUSTOM_SCOPES}
    known = {role["name"]: role for role in c.JupyterHub.load_roles}
    for role in config.make_roles():
        if role["name"] in known:
            scopes = known[role["name"]].setdefault("scopes", [])
            scopes += [scope for scope in role["scopes"] if scope not in scopes]
        else:
            c.JupyterHub.load_roles.append(role)


def main() -> int:
    """Run the service beside the hub, and again whenever it ends, until SIGTERM; or print what belongs to it.

    The container itself stays up meanwhile: a pod with a container that is not ready loses its addresses, and people's
    servers would lose the hub with them.
    """
    parser = argparse.ArgumentParser(prog="python3 -m mlabhub.chart", description=main.__doc__)
    parser.add_argument("what", nargs="?", choices=("service", "manifests"), default="service")
    what = parser.parse_args().what
    try:
        chart = read_chart(os.environ)
        settings = make_settings(chart)
        prepare(chart, settings)
        if what == "manifests":
            print(make_manifests(chart, settings), end="")
            return 0
    except MLabError as error:
        print(error, file=sys.stderr)
        return 2
    asyncio.run(_keep_running([sys.executable, "-m", "mlabhub.service", "--settings", str(settings.settings_file)]))
    return 0


def make_manifests(chart: Chart, settings: Settings) -> str:
    """Return, as YAML, what is to be applied beside this very release: of its names and of its `kubernetes.yaml`."""
    spec = load_catalog(settings.config_dir).kubernetes
    return dump_manifests(get_chart_manifests(spec, namespace=chart.namespace, release=chart.release))


def dump_manifests(manifests: Iterable[Mapping[str, Any]]) -> str:
    """Return manifests as a stream of YAML documents, which may be put behind one another."""
    text, yaml = StringIO(), YAML(typ="safe")
    yaml.default_flow_style = False
    yaml.explicit_start = True
    yaml.dump_all(manifests, text)
    return text.getvalue()


async def _keep_running(argv: list[str]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    stopping = asyncio.ensure_future(stop.wait())
    while not stop.is_set():
        began = loop.time()
        child = await asyncio.create_subprocess_exec(*argv)
        ending = asyncio.ensure_future(child.wait())
        await asyncio.wait({ending, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set() and not ending.done():
            child.terminate()
        code = await ending
        if not stop.is_set():
            pause = RESTART_S if loop.time() - began > STEADY_S else LONG_RESTART_S
            print(f"The service ended ({code}); starting it again in {pause:.0f} s", file=sys.stderr, flush=True)
            await asyncio.wait({stopping}, timeout=pause)


if __name__ == "__main__":
    sys.exit(main())
