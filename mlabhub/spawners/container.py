"""Users' servers in containers: DockerSpawner, on Podman or Docker, with our gate and our containers.

Guarantees: every start makes a new container from what was saved or from the catalogue's image; what a crash left
behind is saved first; nothing of a stopped server is left but what was installed in it. The engine being away never
makes a running server count as stopped.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dockerspawner import DockerSpawner
from traitlets import default

from mlabhub.core.names import server_slug, user_slug
from mlabhub.core.plan import LaunchPlan
from mlabhub.engine import ContainerInfo, ContainerSpec, Engine, EngineApi, EngineError, labels, make_api
from mlabhub.engine.idmapped import IdMap
from mlabhub.engine.networks import UserNetworks
from mlabhub.engine.own import OwnImages
from mlabhub.engine.places import make_places, unmount, unmount_stale
from mlabhub.engine.podman_service import open_files_limit, processes_limit
from mlabhub.engine.runtime import Runtime
from mlabhub.engine.saved import SavedLayers
from mlabhub.errors import EngineUnavailable, InvalidConfiguration, LaunchRefused, MLabError
from mlabhub.messages import N_
from mlabhub.settings import Settings
from mlabhub.spawners import verify
from mlabhub.spawners.endings import Ending
from mlabhub.spawners.images import ImageSource
from mlabhub.spawners.mixin import MLabSpawnerMixin, Shared
from mlabhub.spawners.nas import ensure_folders_soon, mounted_soon
from mlabhub.spawners.plan_to_container import PORT, STOP_SECONDS, Surroundings, hub_url, make_container
from mlabhub.spawners.site_parts import SiteParts

LAST_LINES = 15
LOG_ATTEMPTS = 5


class SharedEngine(Shared):
    """The engine as all container spawners of one hub see it."""

    def __init__(self, settings: Settings):
        super().__init__(settings)
        self.engine = engine_of(settings)
        self.api: EngineApi = make_api(self.engine)
        self.networks = UserNetworks(self.api, settings.instance, settings.network_pool)
        self.saved = SavedLayers(self.api, settings.instance)
        own = OwnImages(self.api, settings.instance, self.saved)
        self.images = ImageSource(self.api, self.saved, own, Runtime(self.api, settings.runtime_dir))
        self.open_files, self.processes = open_files_limit(), processes_limit()
        self.user_namespace = self.engine.kind == "podman"
        self.may_mount = os.geteuid() == 0 and not self.engine.rootless
        self.site = SiteParts(settings, self.api)
        self.mounts_dir = settings.run_dir / "mounts"
        unmount_stale(self.mounts_dir)


def engine_of(settings: Settings) -> Engine:
    """Return the engine that `up` chose. Raises `InvalidConfiguration` if the settings name none."""
    if settings.engine_kind is None or settings.engine_url is None:
        raise InvalidConfiguration("The settings name no container engine. Start `mlabhub up` again, which finds it.")
    return Engine(settings.engine_kind, settings.engine_url, settings.engine_rootless, "")


@dataclass(frozen=True)
class Prepared:
    """A start that is decided. ``places`` is where folders are mounted for it, by target, where that is possible."""

    plan: LaunchPlan
    spec: ContainerSpec
    places: dict[str, str]
    id_map: IdMap | None


class MLabContainerSpawner(MLabSpawnerMixin, DockerSpawner):
    """Starts a user's server in a container of its own."""

    backend = "container"
    _prepared: Prepared | None = None

    @classmethod
    def share(cls, settings: Settings) -> SharedEngine:
        """Return what this hub's spawners share."""
        return SharedEngine(settings)

    @default("cmd")
    def _default_cmd(self) -> list[str]:
        return ["jupyterhub-singleuser"]

    @default("client_kwargs")
    def _default_client_kwargs(self) -> dict[str, str]:
        engine = self.shared.engine
        return {"base_url": engine.url, "version": "1.41" if engine.kind == "podman" else "auto"}

    @default("pull_policy")
    def _default_pull_policy(self) -> str:
        return "skip"  # Which image, and that it is there, is settled before.

    @default("use_internal_ip")
    def _default_use_internal_ip(self) -> bool:
        return True

    @default("port")
    def _default_port(self) -> int:
        return PORT

    @default("object_name")
    def _default_object_name(self) -> str:
        return labels.container_name(self.shared.settings.instance, self._slug)

    @property
    def _slug(self) -> str:
        return server_slug(self.user.name, self.name)

    async def check_allowed(self, image: str) -> str:
        """Return the plan's image: the option ``image`` is one of our catalogue's, which the service has read."""
        return self.image

    # -- start

    async def apply_plan(self, plan: LaunchPlan) -> None:
        """Save what a crash left, find the image, make folders and network, and decide on the container."""
        await self._carry_over_leftovers()
        plan = await self._with_folders(plan)
        around = await self._look_around(plan)
        self.image = around.image
        self.object_name = self._default_object_name()
        self.network_name = around.network
        self.hub_connect_url = hub_url(around)
        self.mem_limit = round(plan.memory_gib * 2**30)
        self.cpu_limit = plan.cpu
        spec = make_container(plan, around, command=tuple(await self.get_command()), hub_environment=self.get_env())
        self._prepared = Prepared(plan, spec, around.sources, self._id_map(plan, around))

    async def _with_folders(self, plan: LaunchPlan) -> LaunchPlan:
        """Make the folders, and leave out of the plan what is not there and need not be."""
        if not self.shared.may_mount and any(mount.subfolder for mount in plan.mounts):
            raise LaunchRefused(
                N_("Subfolders can be mounted only where the hub and the engine run as root. Mount the whole share.")
            )
        ready = await ensure_folders_soon(plan.mounts, self.shared.settings.nas_dir, plan.identity)
        for note in ready.notes:
            self._note(note)
        notes = {"MLABHUB_NOTES": "\n".join(str(note) for note in self._notes)} if self._notes else {}
        return replace(plan, mounts=ready.mounts, environment={**plan.environment, **notes})

    def _id_map(self, plan: LaunchPlan, around: Surroundings) -> IdMap | None:
        """Return the map of ids that the folders are seen through, if somebody in the container can be root."""
        if not (plan.sudo or around.root_once):
            return None
        gids = (plan.identity.gid, *(group.gid for group in plan.identity.groups))
        return IdMap(plan.identity.uid, gids, around.user_namespace)

    async def _look_around(self, plan: LaunchPlan) -> Surroundings:
        shared = self.shared
        chosen = await shared.images.choose(plan)
        origin, image = chosen.origin, chosen.origin.image
        network, gateway = await shared.networks.ensure(plan.user, user_slug(plan.user))
        return Surroundings(
            instance=shared.settings.instance,
            image=image,
            parent=origin.parent,
            layers=origin.layers,
            root_once=origin.root,
            runtime=chosen.runtime,
            image_environment=origin.environment,
            network=network,
            gateway=gateway,
            port=shared.settings.port,
            tls_name=shared.settings.tls_name,
            ca_file=str(shared.settings.ca_file) if shared.site.ca else "",
            open_files=shared.open_files,
            processes=shared.processes,
            sources=self._make_places(plan),
            user_namespace=shared.user_namespace,
            site_environment=shared.site.environment(gateway),
            site_places=await shared.site.places(image, root=plan.sudo),
        )

    def _make_places(self, plan: LaunchPlan) -> dict[str, str]:
        """Return where the folders are mounted for the engine, by target."""
        if not self.shared.may_mount:
            return {}
        places = make_places(len(plan.mounts), self.shared.mounts_dir / plan.launch_id)
        return {mount.target: place for mount, place in zip(plan.mounts, places, strict=True)}

    async def create_object(self) -> dict[str, str]:
        """Create the container through the engine's own API: Podman's Docker API loses GPUs silently."""
        if self._prepared is None:
            raise MLabError("A container was to be created before its plan was known.")
        try:
            return {"Id": await self.shared.api.create(self._prepared.spec)}
        except EngineError:
            if await self.shared.api.network_subnet(self.network_name) is not None:
                raise
            # The network went with the user's other server, which was stopped just now.
            await self.apply_plan(self._prepared.plan)
            return {"Id": await self.shared.api.create(self._prepared.spec)}

    async def start_object(self) -> None:
        """Start the container, with its folders mounted for it: the very ones that were looked at."""
        prepared = self._prepared
        if prepared is None or not prepared.places:
            await self.shared.api.start(self.container_id)
            return
        own_root, plan = self.shared.settings.nas_dir, prepared.plan
        async with mounted_soon(plan.mounts, prepared.places, own_root, plan.identity, prepared.id_map):
            await self.shared.api.start(self.container_id)

    async def get_object(self) -> dict[str, str] | None:
        """Return the container if there is one."""
        found = await self._container()
        self.object_id = found.id if found else ""
        return {"Id": found.id} if found else None

    async def get_ip_and_port(self) -> tuple[str, int]:
        """Return where the server will answer."""
        found = await self._container()
        address = found.networks.get(self.network_name, "") if found else ""
        if not address:
            raise LaunchRefused(await self._ended_early("exited"), code="ended_early")
        return address, self.port

    async def verify_start(self, plan: LaunchPlan) -> None:
        """Look into the started container for the plan's GPUs."""
        if plan.gpus:
            found = await self._container()
            await asyncio.to_thread(
                verify.check_gpus, found.pid if found else 0, plan.gpus, self.shared.settings.instance
            )

    async def last_words(self) -> str:
        """Return the end of the container's log; what a process wrote in its last moment comes a little later."""
        words = ""
        for _ in range(LOG_ATTEMPTS):
            words = (await self.shared.api.logs(self.object_id or self.object_name, LAST_LINES)).strip()
            if words:
                break
            await asyncio.sleep(0.1)
        return words

    async def ending(self) -> Ending | None:
        """Return how the container ended."""
        found = await self._container()
        if found is None or found.running or found.exit_code is None:
            return None
        return Ending(found.exit_code, found.oom_killed)

    # -- poll, stop

    async def poll(self) -> Any:
        """Return None while the server runs, or while the engine cannot say; else how it ended."""
        if not self.object_id:
            return 0
        try:
            found = await self._container()
        except (EngineUnavailable, EngineError) as error:
            self.log.warning("mlabhub: %s counts as running: %s", self._log_name, error.log_text)
            return None
        if found is None:
            return 0
        if found.running or found.state in {"created", "configured", "initialized"}:
            return None
        return f"exit code {found.exit_code}" + (", out of memory" if found.oom_killed else "")

    async def discard(self) -> None:
        """Stop the container, save what was installed in it, remove it, and its user's network with the last one."""
        found = await self._container()
        if found is not None:
            await self.shared.api.stop(found.id, STOP_SECONDS)
            await self._carry_over(found)
        self.object_id = ""
        for place in self._prepared.places.values() if self._prepared else ():
            unmount(Path(place))
        await self.shared.networks.remove_if_unused(self.user.name, user_slug(self.user.name))

    async def _carry_over(self, stopped: ContainerInfo) -> None:
        """Save and remove a stopped container. If the disk is full, say, it stays as it is: the next start tries again.

        That keeps nobody from its GPUs and memory, which nothing uses any more.
        """
        try:
            await self.shared.saved.carry_over(stopped, self._slug)
        except EngineError as error:
            self.log.error("mlabhub: what was installed in %s stays in it, unsaved: %s", stopped.name, error.log_text)

    async def _carry_over_leftovers(self) -> None:
        found = await self._container()
        if found is not None:
            self.log.warning("mlabhub: %s is left of an earlier start and is saved first", found.name)
            await self.shared.api.stop(found.id, STOP_SECONDS)
            await self.shared.saved.carry_over(found, self._slug)

    async def _container(self) -> ContainerInfo | None:
        found: ContainerInfo | None = await self.shared.api.container(self.object_name)
        return found
