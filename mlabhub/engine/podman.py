"""The client for each engine, and what Podman needs in its own API, libpod.

Its Docker API drops CDI devices and the isolation of networks silently.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from mlabhub.engine.api import LONG_SECONDS, EngineApi
from mlabhub.engine.errors import engine_error
from mlabhub.engine.found import Engine
from mlabhub.engine.idmapped import restore_ids, unmount_shared_memory
from mlabhub.engine.labels import INSTANCE
from mlabhub.engine.spec import ContainerSpec, NetworkSpec, get_libpod_container, get_libpod_network

LIBPOD_VERSION = "/v4.0.0/libpod"


class PodmanApi(EngineApi):
    """Talks to Podman."""

    async def create(self, spec: ContainerSpec) -> str:
        """Create a container and return its id. Raises `EngineError`, status 409 or 500 if the name is taken."""
        answer = await self._call("POST", f"{LIBPOD_VERSION}/containers/create", json=get_libpod_container(spec))
        return str(answer["Id"])

    async def _create_bare(self, reference: str) -> str:
        """Create a container to look into, without the volumes that its image wants at places of its choice."""
        body = {"image": reference, "command": ["true"], "labels": {INSTANCE: ""}, "image_volume_mode": "ignore"}
        return str((await self._call("POST", f"{LIBPOD_VERSION}/containers/create", json=body))["Id"])

    async def create_network(self, spec: NetworkSpec) -> None:
        """Create a network. Raises `EngineError` if its name or subnet is taken."""
        await self._call("POST", f"{LIBPOD_VERSION}/networks/create", json=get_libpod_network(spec))

    async def remove(self, container: str) -> None:
        """End and remove a container with its anonymous volumes; fine if it is gone."""
        found = await self.container(container)
        if found is not None:
            if found.running:
                await self.stop(found.id, 0)
            await asyncio.to_thread(unmount_shared_memory, found.id)
            await super().remove(found.id)

    async def commit(self, container: str, repository: str, tag: str, changes: list[str]) -> str:
        """Save a stopped container's files as an image and return its id."""
        found = await self.container(container)
        if found is not None and found.layer:
            await asyncio.to_thread(restore_ids, Path(found.layer))
        return await self._commit(container, repository, tag, changes, squash=False)

    async def untag(self, reference: str, image_id: str) -> None:
        """Take a name from an image, and remove it if nothing else needs it. Podman's force would end containers."""
        repository, _, tag = reference.rpartition(":")
        params = {"repo": repository, "tag": tag}
        answer = await self._send("POST", f"{LIBPOD_VERSION}/images/sha256:{image_id}/untag", params=params)
        if not answer.is_success and answer.status_code != 404:
            raise engine_error(answer)
        await self.remove_image(f"sha256:{image_id}")

    async def squash(self, container: str, repository: str, tag: str, changes: list[str]) -> str:
        """Save a stopped container's files as an image of one layer and return its id.

        A container with ids of its own shows moved ones to whoever reads all its layers, so another is read.
        """
        layered = await self.commit(container, repository, tag, changes)
        answer = await self._call("POST", f"{LIBPOD_VERSION}/containers/create", json={"image": layered})
        try:
            return await self._commit(answer["Id"], repository, tag, changes, squash=True)
        finally:
            await self.remove(answer["Id"])
            await self.remove_image(f"sha256:{layered}")

    async def _commit(self, container: str, repository: str, tag: str, changes: list[str], *, squash: bool) -> str:
        params = [("container", container), ("repo", repository), ("tag", tag), ("format", "docker")]
        params += [("squash", "true")] if squash else []
        params += [("changes", change) for change in changes]
        answer = await self._call("POST", f"{LIBPOD_VERSION}/commit", params=params, timeout=LONG_SECONDS)
        return str(answer["Id"])


def make_api(engine: Engine) -> EngineApi:
    """Return the client for this engine."""
    return PodmanApi(engine) if engine.kind == "podman" else EngineApi(engine)
