"""The client for each engine, and what Podman needs in its own API, libpod.

Its Docker API drops CDI devices and the isolation of networks silently.
"""

from __future__ import annotations

from mlabhub.engine.api import LONG_SECONDS, EngineApi
from mlabhub.engine.found import Engine
from mlabhub.engine.spec import ContainerSpec, NetworkSpec, get_libpod_container, get_libpod_network

LIBPOD_VERSION = "/v4.0.0/libpod"


class PodmanApi(EngineApi):
    """Talks to Podman."""

    async def create(self, spec: ContainerSpec) -> str:
        """Create a container and return its id. Raises `EngineError`, status 409 or 500 if the name is taken."""
        answer = await self._call("POST", f"{LIBPOD_VERSION}/containers/create", json=get_libpod_container(spec))
        return str(answer["Id"])

    async def create_network(self, spec: NetworkSpec) -> None:
        """Create a network. Raises `EngineError` if its name or subnet is taken."""
        await self._call("POST", f"{LIBPOD_VERSION}/networks/create", json=get_libpod_network(spec))

    async def commit(self, container: str, repository: str, tag: str, changes: list[str]) -> str:
        """Save a stopped container's files as an image and return its id."""
        return await self._commit(container, repository, tag, changes, squash=False)

    async def squash(self, container: str, repository: str, tag: str, changes: list[str]) -> str:
        """Save a stopped container's files as an image of one layer and return its id."""
        return await self._commit(container, repository, tag, changes, squash=True)

    async def _commit(self, container: str, repository: str, tag: str, changes: list[str], *, squash: bool) -> str:
        params = [("container", container), ("repo", repository), ("tag", tag), ("format", "docker")]
        params += [("squash", "true")] if squash else []
        params += [("changes", change) for change in changes]
        answer = await self._call("POST", f"{LIBPOD_VERSION}/commit", params=params, timeout=LONG_SECONDS)
        return str(answer["Id"])


def make_api(engine: Engine) -> EngineApi:
    """Return the client for this engine."""
    return PodmanApi(engine) if engine.kind == "podman" else EngineApi(engine)
