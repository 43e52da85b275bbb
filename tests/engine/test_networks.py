"""A network for each user: pure choice of subnets, and what can be reached on a real Podman."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlabhub.core.names import user_slug
from mlabhub.engine import ContainerInfo, EngineApi, firewall
from mlabhub.engine.networks import UserNetworks, choose_subnet, gateway_of, interface_prefix
from mlabhub.errors import LaunchRefused
from tests.engine.podman import Playground

POOL = "10.91.0.0/16"
_GREET = "import socket\ns = socket.create_server(('', 8888))\nwhile True: s.accept()[0].send(b'hello')"
LISTENER = f'python3 -c "{_GREET}"'


@pytest.mark.parametrize(
    ("taken", "expected"),
    [
        pytest.param([], (0, "10.91.0.0/28", "10.91.0.1"), id="empty"),
        pytest.param(["10.91.0.0/28"], (1, "10.91.0.16/28", "10.91.0.17"), id="first taken"),
        pytest.param(["10.91.0.16/28"], (0, "10.91.0.0/28", "10.91.0.1"), id="gap"),
        pytest.param(["10.91.0.0/24"], (16, "10.91.1.0/28", "10.91.1.1"), id="a larger one"),
        pytest.param(["10.91.0.5/32", "10.91.0.17/30"], (2, "10.91.0.32/28", "10.91.0.33"), id="smaller ones"),
        pytest.param(["10.0.0.0/8"], None, id="all of it"),
        pytest.param(["10.88.0.0/16", "fd00::/64"], (0, "10.91.0.0/28", "10.91.0.1"), id="others"),
    ],
)
def test_the_first_free_subnet_is_chosen(taken: list[str], expected: tuple[int, str, str] | None) -> None:
    assert choose_subnet(POOL, taken) == expected


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(8, 32)), max_size=20))
def test_a_chosen_subnet_overlaps_with_none(others: list[tuple[int, int]]) -> None:
    taken = [str(ipaddress.IPv4Network((address, bits), strict=False)) for address, bits in others]
    chosen = choose_subnet("10.91.0.0/24", taken)
    if chosen is not None:
        subnet = ipaddress.IPv4Network(chosen[1])
        assert subnet.subnet_of(ipaddress.IPv4Network("10.91.0.0/24"))
        assert not any(subnet.overlaps(ipaddress.IPv4Network(other)) for other in taken)


def test_interface_names_fit_and_are_told_apart() -> None:
    assert interface_prefix("0123abcd") == "mlab0123a"
    assert len(f"{interface_prefix('0123abcd')}n4095") < 16


@pytest.fixture
async def networks(ground: Playground, api: EngineApi) -> UserNetworks:
    return UserNetworks(api, ground.instance, POOL)


async def connect_from(ground: Playground, container: str, address: str, port: int) -> str:
    """Return what a connection from inside a container comes to."""
    code = f"import socket; print(socket.create_connection(('{address}', {port}), 2).recv(9))"
    return await asyncio.to_thread(ground.run_in, container, f'python3 -c "{code}" 2>&1 | cat')


async def wait_until_it_greets(address: str) -> None:
    """Return when this machine, as the hub does, reaches the listener there."""
    for attempt in range(100):
        try:
            with socket.create_connection((address, 8888), 2) as connection:
                assert connection.recv(9) == b"hello"
                return
        except OSError:
            assert attempt < 99, f"{address} does not answer"
            await asyncio.sleep(0.05)


async def start_listener(
    ground: Playground, api: EngineApi, networks: UserNetworks, user: str, **more: object
) -> ContainerInfo:
    """Start a container of a user that says hello on port 8888."""
    network, _ = await networks.ensure(user, user_slug(user))
    container = await api.create(ground.spec(user, LISTENER, network=network, **more))
    await api.start(container)
    found = await api.container(container)
    assert found is not None
    return found


@pytest.fixture
def host_ports() -> Iterator[dict[str, int]]:
    """Two ports of this machine that say hello, on all its addresses."""
    servers = {name: socket.create_server(("0.0.0.0", 0)) for name in ("public", "inner")}

    def greet(server: socket.socket) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.send(b"hello")

    threads = [threading.Thread(target=greet, args=(server,)) for server in servers.values()]
    for thread in threads:
        thread.start()
    yield {name: server.getsockname()[1] for name, server in servers.items()}
    for server in servers.values():
        server.shutdown(socket.SHUT_RDWR)
        server.close()
    for thread in threads:
        thread.join()


@pytest.mark.engine
async def test_users_reach_neither_each_other_nor_inner_ports(
    ground: Playground, api: EngineApi, networks: UserNetworks, host_ports: dict[str, int]
) -> None:
    firewall.apply_firewall(ground.instance, host_ports["public"])
    alice, bob = [await start_listener(ground, api, networks, user) for user in ("alice", "bob")]
    [(network, address)] = alice.networks.items()
    gateway = gateway_of((await api.network_subnet(network)) or "")
    bobs = next(iter(bob.networks.values()))
    for own in (address, bobs):
        await wait_until_it_greets(own)
    reached = {
        "own": await connect_from(ground, alice.id, address, 8888),
        "public": await connect_from(ground, alice.id, gateway, host_ports["public"]),
        "inner": await connect_from(ground, alice.id, gateway, host_ports["inner"]),
        "bob": await connect_from(ground, alice.id, bobs, 8888),
        "metadata": await connect_from(ground, alice.id, "169.254.169.254", 80),
    }
    assert {name for name, said in reached.items() if "hello" in said} == {"own", "public"}, reached


@pytest.mark.engine
async def test_other_containers_of_this_machine_are_apart(
    ground: Playground, api: EngineApi, networks: UserNetworks
) -> None:
    firewall.apply_firewall(ground.instance, 18000)
    alice = await start_listener(ground, api, networks, "alice")
    stranger = await api.create(ground.spec("stranger", LISTENER))
    await api.start(stranger)
    found = await api.container(stranger)
    assert found is not None
    addresses = [next(iter(one.networks.values())) for one in (alice, found)]
    for address in addresses:
        await wait_until_it_greets(address)
    assert "hello" not in await connect_from(ground, stranger, addresses[0], 8888)
    assert "hello" not in await connect_from(ground, alice.id, addresses[1], 8888)


@pytest.mark.engine
@pytest.mark.parametrize("apart", [False, True], ids=["plain", "user namespace"])
async def test_a_network_goes_with_its_last_server(
    ground: Playground, api: EngineApi, networks: UserNetworks, apart: bool
) -> None:
    alice = await start_listener(ground, api, networks, "alice", user_namespace=apart)
    [name] = alice.networks
    assert not await networks.remove_if_unused("alice", "alice")
    await api.stop(alice.id, 1)
    await api.remove(alice.id)
    assert await networks.remove_if_unused("alice", "alice")
    assert await api.network_subnet(name) is None
    assert await networks.remove_if_unused("alice", "alice")


@pytest.mark.engine
async def test_twenty_at_once_get_twenty_networks(ground: Playground, api: EngineApi, networks: UserNetworks) -> None:
    users = [f"user{number}" for number in range(10)]
    made = await asyncio.gather(*(networks.ensure(user, user) for user in users * 2))
    assert len({gateway for _, gateway in made}) == len(users)
    other = UserNetworks(api, ground.instance, POOL)
    assert await asyncio.gather(*(other.ensure(user, user) for user in users)) == made[: len(users)]
    await networks.remove_unused()
    assert await api.networks({"mlabhub.instance": ground.instance}) == {}


@pytest.mark.engine
async def test_a_full_pool_is_a_sentence(ground: Playground, api: EngineApi) -> None:
    small = UserNetworks(api, ground.instance, "10.92.0.0/28")
    await small.ensure("alice", "alice")
    with pytest.raises(LaunchRefused, match=re.escape("10.92.0.0/28")):
        await small.ensure("bob", "bob")
    await small.remove_unused()
