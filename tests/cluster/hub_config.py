"""The hub's configuration in its pod, in place of the chart's own: what of it our values rely on, and no more.

Runs inside of the hub's container; `tests.cluster.release` puts it there. Our part is the line of ``hub.extraConfig``.
"""

import os
from pathlib import Path

from ruamel.yaml import YAML

c = get_config()  # noqa: F821 - JupyterHub defines it
FOLDER = Path("/usr/local/etc/jupyterhub")
values = YAML(typ="safe").load((FOLDER / "secret" / "values.yaml").read_text())
hub = values["hub"]


def name_of(what: str) -> str:
    """Return what the chart calls an object."""
    return (FOLDER / "config" / what).read_text()


c.JupyterHub.spawner_class = "kubespawner.KubeSpawner"
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0}
c.JupyterHub.cleanup_servers = False
c.JupyterHub.last_activity_interval = 60
c.JupyterHub.db_url = "sqlite:///jupyterhub.sqlite"
c.JupyterHub.hub_bind_url = "http://:8081"
c.JupyterHub.hub_connect_url = f"http://{name_of('hub')}:8081"
c.ConfigurableHTTPProxy.should_start = False
c.ConfigurableHTTPProxy.api_url = f"http://{name_of('proxy-api')}:8001"
c.JupyterHub.allow_named_servers = hub["allowNamedServers"]
c.JupyterHub.concurrent_spawn_limit = hub["concurrentSpawnLimit"]
c.Spawner.consecutive_failure_limit = hub["consecutiveFailureLimit"]
c.KubeSpawner.namespace = os.environ["POD_NAMESPACE"]
c.KubeSpawner.start_timeout = values["singleuser"]["startTimeout"]
c.KubeSpawner.common_labels = {"app": "jupyterhub", "release": values["Release"]["Name"]}
c.KubeSpawner.extra_labels = {"hub.jupyter.org/network-access-hub": "true"}
c.JupyterHub.services = [
    {"name": name, "api_token": (FOLDER / "secret" / f"hub.services.{name}.apiToken").read_text(), **service}
    for name, service in hub["services"].items()
]
c.JupyterHub.load_roles = []
c.JupyterHub.cookie_secret = bytes.fromhex((FOLDER / "secret" / "hub.config.JupyterHub.cookie_secret").read_text())
for section, settings in hub["config"].items():
    c[section].update(settings)
for lines in hub["extraConfig"].values():
    exec(lines)
