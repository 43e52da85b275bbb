"""Find Podman or Docker on this machine and talk to it.

Guarantees: Docker is used only where its daemon already answers; of what the engine has, nothing is touched that does
not carry this installation's label; an engine that does not answer is `EngineUnavailable`, never an empty answer.
"""

from mlabhub.engine.api import EngineApi
from mlabhub.engine.errors import EngineError
from mlabhub.engine.found import Engine, find_engine
from mlabhub.engine.info import ContainerInfo, ImageInfo
from mlabhub.engine.podman import PodmanApi, make_api
from mlabhub.engine.podman_service import podman_service_command, write_containers_conf
from mlabhub.engine.spec import Bind, ContainerSpec, NetworkSpec

__all__ = [
    "Bind",
    "ContainerInfo",
    "ContainerSpec",
    "Engine",
    "EngineApi",
    "EngineError",
    "ImageInfo",
    "NetworkSpec",
    "PodmanApi",
    "find_engine",
    "make_api",
    "podman_service_command",
    "write_containers_conf",
]
