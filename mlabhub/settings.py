"""What one installation looks like: where its files are, which ports it uses, which backend it runs.

``mlabhub up`` decides these values once, writes them to ``STATE/run/settings.json``, and hub, service and command line
read them from there (``MLABHUB_SETTINGS`` names the file). Secrets are never in it, only the names of their files.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from mlabhub.errors import InvalidConfiguration

SERVICE_NAME = "mlabhub"
SETTINGS_VARIABLE = "MLABHUB_SETTINGS"

BackendName = Literal["container", "process", "kube"]
EngineKind = Literal["podman", "docker"]


def default_state_dir() -> Path:
    """Return ``/var/lib/mlabhub`` for root, else a folder under the user's own state folder."""
    if os.geteuid() == 0:
        return Path("/var/lib/mlabhub")
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "mlabhub"


def replace_file(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file whole or not at all: whoever reads it sees the old text or the new one. Raises `OSError`."""
    # Hub and service of one pod write the same files at once: each under a name of its own.
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        temporary.touch(mode=0o600)
        temporary.write_text(text)
        temporary.chmod(mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


class Settings(BaseModel):
    """One installation. Ports are TCP ports on this machine; all but ``port`` listen on 127.0.0.1 only."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    instance: str
    state_dir: Path
    config_dir: Path
    backend: BackendName
    host: str = ""
    port: int = 8000
    base_url: str = "/"
    public_url: str
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_name: str = ""

    hub_port: int
    proxy_api_port: int
    service_port: int

    engine_kind: EngineKind | None = None
    engine_url: str | None = None
    engine_rootless: bool = False
    network_pool: str = "10.90.0.0/16"

    kubeconfig: Path | None = None
    """Of the cluster; None inside of it, where the pod's own service account counts."""
    kube_context: str = ""
    namespace: str = ""
    hub_host: str = ""
    """With a cluster: this machine, or the hub's service, as pods reach it."""
    service_host: str = "127.0.0.1"
    """Where the service listens; on a cluster its proxy is another pod, and this is every address."""
    hub_database: str = ""
    """Address of the hub's database; empty for the file in the state folder."""

    ledger_url: str = ""
    ledger_password_file: Path | None = None

    simulate_gpus: str = ""
    admin: str = "admin"

    @property
    def run_dir(self) -> Path:
        """Files that live only while the hub runs: sockets, locks, this file."""
        return self.state_dir / "run"

    @property
    def log_dir(self) -> Path:
        """Logs of hub, proxy, service and engine, with rotation."""
        return self.state_dir / "log"

    @property
    def secrets_dir(self) -> Path:
        """Mode 0700; one file per secret, mode 0600."""
        return self.state_dir / "secrets"

    @property
    def nas_dir(self) -> Path:
        """Where users' and groups' folders are unless ``storage.yaml`` names another root."""
        return self.state_dir / "nas"

    @property
    def runtime_dir(self) -> Path:
        """What images from elsewhere lack, a folder for each version; mounted read-only into their servers."""
        return self.state_dir / "runtime"

    @property
    def settings_file(self) -> Path:
        """This installation's settings, as JSON."""
        return self.run_dir / "settings.json"

    @property
    def ca_file(self) -> Path:
        """With TLS or a company's CA: whom people's servers trust, the proxy's own certificate among them."""
        return self.run_dir / "ca.pem"

    @property
    def site_dir(self) -> Path:
        """What of the site's settings is mounted into people's servers."""
        return self.run_dir / "site"

    @property
    def ledger_file(self) -> Path:
        """The SQLite file of the ledger, unless ``ledger_url`` names a PostgreSQL."""
        return self.state_dir / "ledger.sqlite"

    @property
    def hub_database_url(self) -> str:
        """The hub's database, with NativeAuthenticator's accounts, for SQLAlchemy."""
        return self.hub_database or f"sqlite:///{self.state_dir / 'jupyterhub.sqlite'}"

    @property
    def spawner_secret_file(self) -> Path:
        """Shared by the hub's spawners and the service."""
        return self.secrets_dir / "spawner"

    @property
    def service_token_file(self) -> Path:
        """The service's token for the hub's API."""
        return self.secrets_dir / "service-token"

    @property
    def proxy_token_file(self) -> Path:
        """The token between hub and proxy."""
        return self.secrets_dir / "proxy-token"

    @property
    def proxy_api_url(self) -> str:
        """The proxy's own API."""
        return f"http://127.0.0.1:{self.proxy_api_port}"

    @property
    def hub_url(self) -> str:
        """The hub as the service and the command line reach it, without the proxy."""
        return f"http://127.0.0.1:{self.hub_port}{self.base_url}hub/"

    @property
    def service_prefix(self) -> str:
        """Path of the service below the hub's address."""
        return f"{self.base_url}services/{SERVICE_NAME}/"

    @property
    def service_url(self) -> str:
        """The service as spawners and the command line reach it, without the proxy."""
        return f"http://127.0.0.1:{self.service_port}{self.service_prefix}"

    def save(self) -> None:
        """Write the file atomically, readable by its owner only."""
        self.run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace_file(self.settings_file, self.model_dump_json(indent=2) + "\n", 0o600)


def load_settings(path: Path | str | None = None, *, state_dir: Path | None = None) -> Settings:
    """Read the settings of an installation: the file at ``path``, or the one in ``state_dir``.

    Without either: the file that ``MLABHUB_SETTINGS`` names, else the one in the default state folder.
    Raises `InvalidConfiguration` if there is none, or if it cannot be read.
    """
    if path is None and state_dir is None:
        path = os.environ.get(SETTINGS_VARIABLE) or None
    file = Path(path or (state_dir or default_state_dir()) / "run" / "settings.json")
    try:
        return Settings.model_validate_json(file.read_text())
    except FileNotFoundError:
        raise InvalidConfiguration(
            f"No installation was found at {file}. Start one with `mlabhub up`, or name its folder with --state."
        ) from None
    except (OSError, ValidationError) as error:
        raise InvalidConfiguration(
            f"The settings file {file} cannot be used. Start `mlabhub up` again, which writes it anew.",
            log_text=str(error),
        ) from error
