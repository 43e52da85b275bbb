"""Users' servers as plain processes of the account that runs the hub: for development and a first look without root.

Guarantees: the same gate and the same folders as with containers; a server outlives the hub and is known again by it.
None about isolation: every server can do what the hub's account can.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from subprocess import DEVNULL, STDOUT
from typing import Any, BinaryIO

from jupyterhub.spawner import SimpleLocalProcessSpawner
from traitlets import default

from mlabhub.core.log_folders import source_of
from mlabhub.core.names import server_slug
from mlabhub.core.plan import LaunchPlan
from mlabhub.core.safe_mode import safe_arguments
from mlabhub.core.tools import TENSORBOARD
from mlabhub.engine import processes
from mlabhub.errors import LaunchRefused
from mlabhub.messages import N_
from mlabhub.settings import Settings
from mlabhub.site import inside
from mlabhub.spawners.endings import Ending
from mlabhub.spawners.mixin import MLabSpawnerMixin
from mlabhub.spawners.nas import ensure_folders_soon

LAST_BYTES = 2000
TENSORBOARD_SERVER = (sys.executable, "-m", "mlabhub_proxies.tensorboard.server")


class MLabProcessSpawner(MLabSpawnerMixin, SimpleLocalProcessSpawner):
    """Starts a user's server as a process."""

    backend = "process"
    _plan: LaunchPlan | None = None
    _log: BinaryIO | None = None
    _usual: tuple[list[str], list[str]] | None = None
    """Command and arguments of a workbench, as they are configured."""

    @default("cmd")
    def _default_cmd(self) -> list[str]:
        return [sys.executable, "-m", "jupyterhub.singleuser"]

    @default("args")
    def _default_args(self) -> list[str]:
        return ["--allow-root"] if os.geteuid() == 0 else []

    @property
    def _log_file(self) -> Path:
        return processes.log_file(self.shared.settings.log_dir, server_slug(self.user.name, self.name))

    async def apply_plan(self, plan: LaunchPlan) -> None:
        """Make the folders and remember what the environment must say."""
        if any(mount.chosen for mount in plan.mounts):
            raise LaunchRefused(
                N_("Servers are plain processes here, so nothing can be mounted. Leave the mounts out of the launch.")
            )
        own = [mount for mount in plan.mounts if mount.create is not None]
        await ensure_folders_soon(own, self.shared.settings.nas_dir)
        self._plan = plan
        self._usual = self._usual or (self.cmd, self.args)
        command, arguments = self._usual
        if plan.safe:
            arguments = [*arguments, *safe_arguments()]
        self.cmd, self.args = (list(TENSORBOARD_SERVER), []) if plan.kind == TENSORBOARD else (command, arguments)
        self.home_dir = plan.mounts[0].source
        self.notebook_dir = self.home_dir
        self._log_file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._log = self._log_file.open("wb")
        self.popen_kwargs = {"stdin": DEVNULL, "stdout": self._log, "stderr": STDOUT}

    async def verify_start(self, plan: LaunchPlan) -> None:
        """Close our end of the log: the process has one of its own, which outlives the hub."""
        self._close_log()

    def get_env(self) -> dict[str, str]:
        """Return the process's environment: the hub's, ours, and the GPUs of the plan."""
        environment: dict[str, str] = super().get_env()
        if self._plan is not None:
            site = make_site_environment(self.shared.settings)
            # The hub hands on its own language, which is its administrator's.
            spoken = {name: value for name, value in site.items() if name in ("LANG", "TZ")}
            environment = {**site, **environment, **spoken}
            environment.update(make_environment(self._plan, self.shared.settings.instance, self.home_dir))
        return environment

    async def last_words(self) -> str:
        """Return the end of the process's log."""
        try:
            return self._log_file.read_bytes()[-LAST_BYTES:].decode("utf-8", "replace").strip()
        except OSError:
            return ""

    async def ending(self) -> Ending | None:
        """Return how the process ended, if this very hub started it."""
        status = None if self.proc is None else self.proc.poll()
        return None if status is None else Ending(status)

    async def poll(self) -> Any:
        """Return None while the process runs. One that only has the same number is not taken for it."""
        if self.proc is None and self.pid and not processes.is_server(self.pid, self.launch_id):
            self.pid = 0
        return await super().poll()

    async def discard(self) -> None:
        """End the process and all that it started."""
        self._close_log()
        if self.launch_id:
            await asyncio.to_thread(processes.end_server, self.shared.settings.instance, self.launch_id)
        if self.proc is not None:
            self.proc.wait()
        self.pid = 0

    def _close_log(self) -> None:
        if self._log is not None:
            self._log.close()


def make_site_environment(settings: Settings) -> dict[str, str]:
    """Return what of the site's settings can be said by variables that win over nobody's own files."""
    site, names = inside.saved_site(settings), inside.names_in(settings.site_dir)
    ca = str(settings.ca_file) if site.ca_file else ""
    environment = inside.make_environment(site, names, ca=ca, folder=str(settings.site_dir))
    if inside.PIP_CONF in names:
        environment["XDG_CONFIG_DIRS"] = f"/etc/xdg:{settings.site_dir}"
    return environment


def make_environment(plan: LaunchPlan, instance: str, home: str) -> dict[str, str]:
    """Return what the environment of a plan's process says beyond the hub's own: it sees the machine's folders."""
    folders = [source_of(path, plan.mounts) for path in plan.log_folders]
    of_kind = {"MLABHUB_LOG_FOLDERS": json.dumps(folders)} if plan.kind == TENSORBOARD else {}
    return {
        **plan.environment,
        **of_kind,
        "MLABHUB_HOME": home,
        "MLABHUB_PLACES": json.dumps([mount.source for mount in plan.mounts]),
        processes.INSTANCE: instance,
        processes.GPUS: ",".join(plan.gpus),
        "CUDA_VISIBLE_DEVICES": ",".join(plan.gpus),
    }
