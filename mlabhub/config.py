"""JupyterHub's configuration as small functions, one for each concern.

Guarantees: inner ports listen on 127.0.0.1 only; users' servers outlive the hub; every secret comes from a file of mode
0600; the service's token has the scopes that `mlabhub.service.scopes` lists, and no more.
"""

from __future__ import annotations

from typing import Any

from mlabhub import hubtemplates
from mlabhub.browser_protocol import BrowserProtocol
from mlabhub.logs import configure_logs
from mlabhub.service.scopes import (
    ACCESS_SCOPE,
    CUSTOM_SCOPES,
    PEOPLE_SCOPES,
    SEE_ALL_SCOPE,
    SERVICE_SCOPES,
    SET_QUOTAS_SCOPE,
)
from mlabhub.settings import SERVICE_NAME, Settings, load_settings

SPAWNERS = {
    "container": "mlabhub.spawners.container.MLabContainerSpawner",
    "process": "mlabhub.spawners.process.MLabProcessSpawner",
    "kube": "mlabhub.spawners.kube.MLabSpawner",
}
SUPERVISOR_NAME = "mlabhub-supervisor"
COMMAND_LINE_NAME = "mlabhub-command-line"
COMMAND_LINE_SCOPES = (
    *(*PEOPLE_SCOPES, "read:servers", "tokens"),
    *(ACCESS_SCOPE, SEE_ALL_SCOPE, SET_QUOTAS_SCOPE),
)
START_SECONDS = {"container": 120, "process": 120, "kube": 600}
"""A container starts in seconds; the rest is Jupyter's own start on a busy machine.

A node may have to fetch an image of many gigabytes first; what cannot succeed is given up long before.
"""
POLL_SECONDS = {"container": 30, "process": 30, "kube": 10}
"""How often a running server is looked at; what a cluster's watch has told costs nothing to look at."""
HTTP_SECONDS = 60


def configure(c: Any, settings: Settings | None = None) -> None:
    """Fill in the hub's configuration object from an installation's settings."""
    settings = settings or load_settings()
    configure_addresses(c, settings)
    configure_files(c, settings)
    configure_accounts(c, settings)
    configure_services(c, settings)
    configure_spawner(c, settings)
    configure_pages(c, settings)
    configure_logs(c)


def configure_addresses(c: Any, settings: Settings) -> None:
    """Set where proxy and hub listen. The proxy is not ours to start: the supervisor does."""
    scheme = "https" if settings.tls_cert else "http"
    c.JupyterHub.bind_url = f"{scheme}://{settings.host}:{settings.port}{settings.base_url}"
    c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{settings.hub_port}"
    # A web server on this machine may say for whom it asks: logs name the person's address, and not our own.
    c.JupyterHub.trusted_downstream_ips = ["127.0.0.1", "::1", "::ffff:127.0.0.1"]
    c.JupyterHub.cleanup_servers = False
    c.JupyterHub.cleanup_proxy = False
    c.ConfigurableHTTPProxy.should_start = False
    c.ConfigurableHTTPProxy.api_url = settings.proxy_api_url
    c.ConfigurableHTTPProxy.auth_token = settings.proxy_token_file.read_text()


def configure_files(c: Any, settings: Settings) -> None:
    """Set where the hub keeps its database and secrets."""
    c.JupyterHub.db_url = f"sqlite:///{settings.state_dir / 'jupyterhub.sqlite'}"
    c.JupyterHub.cookie_secret_file = str(settings.secrets_dir / "cookie")


def configure_accounts(c: Any, settings: Settings) -> None:
    """Set who may log in: accounts that an administrator opened."""
    c.JupyterHub.authenticator_class = "mlabhub.authenticator.MLabAuthenticator"
    c.MLabAuthenticator.first_run_file = str(settings.state_dir / "first-run.json")
    c.MLabAuthenticator.admin_users = {settings.admin}
    c.MLabAuthenticator.allow_all = True  # NativeAuthenticator itself asks whether the account is open
    c.MLabAuthenticator.minimum_password_length = 8
    c.MLabAuthenticator.check_common_password = True
    c.MLabAuthenticator.allowed_failed_logins = 10
    c.MLabAuthenticator.seconds_before_next_try = 60


def configure_services(c: Any, settings: Settings) -> None:
    """Register the service and the supervisor with the hub, and what each may do."""
    c.JupyterHub.services = [
        {
            "name": SERVICE_NAME,
            "url": f"http://127.0.0.1:{settings.service_port}",
            "api_token": settings.service_token_file.read_text(),
            "oauth_no_confirm": True,
            # An administrator's own login at the service carries these, so that the hub decides who opens accounts.
            "oauth_client_allowed_scopes": list(PEOPLE_SCOPES),
            "display": True,
        },
        {"name": SUPERVISOR_NAME, "api_token": (settings.secrets_dir / "supervisor-token").read_text()},
        {"name": COMMAND_LINE_NAME, "api_token": (settings.secrets_dir / "command-line-token").read_text()},
    ]
    c.JupyterHub.custom_scopes = CUSTOM_SCOPES
    c.JupyterHub.load_roles = [
        *make_roles(),
        {"name": "mlabhub-routes", "scopes": ["proxy"], "services": [SUPERVISOR_NAME]},
    ]


def make_roles() -> list[dict[str, Any]]:
    """Return what people, the service and the command line may do at the hub."""
    return [
        {"name": "user", "scopes": ["self", ACCESS_SCOPE]},
        {"name": "mlabhub-service", "scopes": list(SERVICE_SCOPES), "services": [SERVICE_NAME]},
        # `mlabhub user`, `gpus` and `doctor SERVER`, for whoever may read the state folder's secrets on this machine.
        {"name": "mlabhub-accounts", "scopes": list(COMMAND_LINE_SCOPES), "services": [COMMAND_LINE_NAME]},
    ]


def configure_spawner(c: Any, settings: Settings) -> None:
    """Set the backend's spawner and how long a start may take."""
    c.JupyterHub.spawner_class = SPAWNERS[settings.backend]
    c.JupyterHub.allow_named_servers = True
    # Refusals are our service's business and cost little: let a whole class press Start at once.
    c.JupyterHub.concurrent_spawn_limit = 200
    # To the proxy an open page looks like work for ever: its pings do. The servers themselves tell what is.
    c.JupyterHub.last_activity_interval = 0
    c.Spawner.start_timeout = START_SECONDS[settings.backend]
    c.Spawner.poll_interval = POLL_SECONDS[settings.backend]
    c.Spawner.http_timeout = HTTP_SECONDS


def configure_pages(c: Any, settings: Settings) -> None:
    """Set our templates, and the launch page as the place to start from."""
    c.JupyterHub.tornado_settings = {
        # Answer a refusal with its sentence instead of "202, pending": a gate that says no does so within this time.
        "slow_spawn_timeout": 3,
        "transforms": [BrowserProtocol, *hubtemplates.transforms(settings)],
    }
    c.JupyterHub.template_paths = [str(hubtemplates.FOLDER)]
    c.JupyterHub.template_vars = hubtemplates.template_vars(settings)
    c.JupyterHub.jinja_environment_options = hubtemplates.jinja_options()
    c.JupyterHub.default_url = settings.service_prefix
    # Any form at all keeps a visit of /hub/spawn from starting a server; our spawn.html leads to the launch page.
    c.Spawner.options_form = "launch page"
