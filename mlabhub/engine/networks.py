"""A network of its own for each user.

Guarantees: two users never share a bridge; subnets come from the installation's pool and never overlap with another
network of the engine; a network goes when no server of its user is left. A subnet's number in the pool names its
interface, so interface names are as unique as subnets are.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Iterable

from mlabhub.engine import labels
from mlabhub.engine.api import EngineApi
from mlabhub.engine.errors import EngineError
from mlabhub.engine.spec import NetworkSpec
from mlabhub.errors import LaunchRefused
from mlabhub.messages import N_, Message

SUBNET_BITS = 28
"""Room for 13 servers of one user."""
_ATTEMPTS = 5
_PAUSE_SECONDS = 0.1


def interface_prefix(instance: str) -> str:
    """Return how the names of this installation's bridges begin; the firewall knows them by it."""
    return f"mlab{instance[:5]}"


def choose_subnet(pool: str, taken: Iterable[str]) -> tuple[int, str, str] | None:
    """Return number, subnet and gateway of the first subnet that overlaps with none in ``taken``; None if all are."""
    network = ipaddress.IPv4Network(pool)
    first, size = int(network.network_address), 2 ** (32 - SUBNET_BITS)
    used: set[int] = set()
    for text in taken:
        other = ipaddress.ip_network(text, strict=False)
        if isinstance(other, ipaddress.IPv4Network) and other.overlaps(network):
            low = max(0, (int(other.network_address) - first) // size)
            high = (min(int(other.broadcast_address), int(network.broadcast_address)) - first) // size
            used.update(range(low, high + 1))
    for number in range(network.num_addresses // size):
        if number not in used:
            subnet = ipaddress.IPv4Network((first + number * size, SUBNET_BITS))
            return number, str(subnet), str(subnet.network_address + 1)
    return None


def gateway_of(subnet: str) -> str:
    """Return the address of this machine in a subnet of ours."""
    return str(ipaddress.IPv4Network(subnet).network_address + 1)


class UserNetworks:
    """Makes and removes the users' networks of one installation."""

    def __init__(self, api: EngineApi, instance: str, pool: str):
        self._api = api
        self._instance = instance
        self._pool = pool
        self._lock = asyncio.Lock()

    async def ensure(self, user: str, user_slug: str) -> tuple[str, str]:
        """Return name and gateway of the user's network, which is made if it is not there."""
        name = labels.network_name(self._instance, user_slug)
        async with self._lock:
            for attempt in range(_ATTEMPTS):
                subnet = await self._api.network_subnet(name)
                if subnet is not None:
                    return name, gateway_of(subnet)
                try:
                    await self._api.create_network(await self._spec(name, user))
                except EngineError:
                    # Another installation took the subnet, or another process of ours made the network.
                    if attempt == _ATTEMPTS - 1:
                        raise
        raise AssertionError("unreachable")

    async def remove_if_unused(self, user: str, user_slug: str) -> bool:
        """Remove the user's network unless a container of theirs is left. Return whether it is gone."""
        for _ in range(_ATTEMPTS):
            if await self._api.containers({labels.INSTANCE: self._instance, labels.USER: user}):
                return False
            if await self._api.remove_network(labels.network_name(self._instance, user_slug)):
                return True
            await asyncio.sleep(_PAUSE_SECONDS)  # The engine may still be taking the last container off it.
        return False

    async def remove_unused(self) -> None:
        """Remove every network of this installation that no container uses."""
        mine = {labels.INSTANCE: self._instance}
        used = {name for container in await self._api.containers(mine) for name in container.networks}
        for name in await self._api.networks(mine):
            if name not in used:
                await self._api.remove_network(name)

    async def _spec(self, name: str, user: str) -> NetworkSpec:
        taken = [subnet for subnets in (await self._api.networks()).values() for subnet in subnets]
        chosen = choose_subnet(self._pool, taken)
        if chosen is None:
            raise LaunchRefused(
                Message.of(
                    N_("All networks of {pool} are in use. Stop a server, or ask an administrator for a larger pool."),
                    pool=self._pool,
                )
            )
        number, subnet, gateway = chosen
        return NetworkSpec(
            name=name,
            interface=f"{interface_prefix(self._instance)}n{number}",
            subnet=subnet,
            gateway=gateway,
            labels={labels.INSTANCE: self._instance, labels.USER: user},
        )
