"""What people do, and what befalls the site; each deed draws what it needs from dice of its own.

So a deed does the same whatever other deeds are left out, as far as that is possible.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from mlabhub.core.capacity import Node
from mlabhub.errors import Unavailable
from mlabhub.service.quota_bodies import QuotaChangesBody
from mlabhub.service.views import Person

if TYPE_CHECKING:
    from tests.simulator.story import Story

Do = Callable[["Story", random.Random], Awaitable[None]]
SERVERS = ("", "x", "y")


class Deed(NamedTuple):
    """What is done ``gap`` seconds after the one before it."""

    kind: str
    gap: float
    seed: int


@dataclass(frozen=True)
class Kind:
    """How often it is done, and how."""

    weight: float
    do: Do


async def launch(story: Story, dice: random.Random) -> None:
    """Somebody asks for a server, and asks again under the same key while no answer comes."""
    user, server, options = _wish(story, dice)
    key = f"key-{dice.getrandbits(40)}"
    wait = dice.random() < 0.85
    story.note(f"{user}/{server} asks for {options}")
    for _ in range(3):
        try:
            answer = await story.ask(
                lambda life: life.launcher.launch(
                    Person(user),
                    user=user,
                    server_name=server,
                    display_name="",
                    user_options=options,
                    idempotency_key=key,
                    queue=wait,
                )
            )
        except Unavailable:
            await asyncio.sleep(dice.choice((0.5, 5.0)))
            continue
        story.accounts.knows(answer.launch_id)
        story.note(f"{user}/{server} is told {answer.state} {answer.launch_id}")
        return


async def start_at_the_hub(story: Story, dice: random.Random) -> None:
    """Somebody starts a server by the hub's own page, perhaps with the id of an earlier launch."""
    user, server, options = _wish(story, dice)
    if dice.random() < 0.3 and story.accounts.reservations:
        options["launch_id"] = dice.choice(sorted(story.accounts.reservations))
    story.note(f"{user}/{server} starts at the hub {options}")
    try:
        await story.hub.start(user, server, display_name="", user_options=options)
    except Exception as error:
        story.note(f"  {user}/{server}: {error}")


async def stop(story: Story, dice: random.Random) -> None:
    """Somebody stops a server."""
    user, server = _running(story, dice)
    story.note(f"{user}/{server} is stopped")
    await story.ask(lambda life: life.launcher.stop(Person(user), user, server))


async def stop_at_the_hub(story: Story, dice: random.Random) -> None:
    """Somebody stops a server by the hub's own page."""
    user, server = _running(story, dice)
    story.note(f"{user}/{server} is stopped at the hub")
    await story.hub.stop(user, server)


async def exits(story: Story, dice: random.Random) -> None:
    """A container ends by itself."""
    running = sorted(one.launch_id for one in story.machines.running.values() if one.state == "running")
    if running:
        launch_id = dice.choice(running)
        story.note(f"{launch_id} exits")
        story.machines.exits(launch_id)


async def work(story: Story, dice: random.Random) -> None:
    """Some people work in their servers: the hub knows."""
    for key, one in list(story.hub.servers.items()):
        if one.ready and dice.random() < 0.6:
            story.hub.servers[key] = replace(one, last_activity=story.wall())


async def leave(story: Story, dice: random.Random) -> None:
    """Somebody leaves the queue."""
    waiting = _waiting(story)
    if waiting:
        user, launch_id = dice.choice(waiting)
        story.note(f"{user} leaves {launch_id}")
        await story.ask(lambda life: life.queue_desk.leave(Person(user), launch_id))


async def change(story: Story, dice: random.Random) -> None:
    """Somebody asks for something else, or takes what starts now."""
    waiting = _waiting(story)
    if not waiting:
        return
    user, launch_id = dice.choice(waiting)
    options = _options(dice)
    if dice.random() < 0.4:
        story.note(f"{user} takes the nearest for {launch_id}")
        await story.ask(lambda life: life.queue_desk.nearest(Person(user), launch_id))
    else:
        story.note(f"{user} changes {launch_id} to {options}")
        await story.ask(lambda life: life.queue_desk.change(Person(user), launch_id, options))


async def move(story: Story, dice: random.Random) -> None:
    """An administrator puts one of a person's launches first."""
    waiting = _waiting(story)
    if waiting:
        _, launch_id = dice.choice(waiting)
        await story.ask(lambda life: life.queue_desk.move(Person("admin", admin=True), launch_id))


async def look_at_queue(story: Story, dice: random.Random) -> None:
    """Somebody looks at the queue."""
    user = dice.choice(story.people)
    await story.ask(lambda life: life.queue_desk.queue(Person(user)))


async def change_quota(story: Story, dice: random.Random) -> None:
    """An administrator changes a quota, at once or soon, for a while."""
    start = dice.choice((None, story.wall() + 20, story.wall() + 90))
    body: dict[str, Any] = {
        "group": dice.choice(("nlp", "vision")),
        dice.choice(("guaranteed", "limit")): {"gpu": dice.choice((0, 1, 2, 4, "+1", "-1"))},
        "reason": "r",
        "from": start,
        "until": (start or story.wall()) + dice.choice((40, 400)),
    }
    story.note(f"quota {body}")
    made = QuotaChangesBody.model_validate(body)
    await story.ask(lambda life: life.quota_desk.change("admin", made))


async def undo_quota(story: Story, dice: random.Random) -> None:
    """An administrator takes a change of quotas back."""
    if story.accounts.changes:
        change_id = dice.choice(sorted(story.accounts.changes))
        story.note(f"quota change {change_id} is undone")
        await story.ask(lambda life: life.quota_desk.undo("admin", change_id))


async def join_or_leave_group(story: Story, dice: random.Random) -> None:
    """Somebody is in other groups from now on."""
    user = dice.choice(story.people)
    groups = dice.choice((("vision",), ("nlp",), ("guests",), ()))
    story.note(f"{user} is in {groups}")
    story.hub.users[user] = replace(story.hub.users[user], groups=groups)


async def kill_service(story: Story, dice: random.Random) -> None:
    """The service is killed."""
    if story.life is not None:
        story.note("the service is killed")
        story.life.kill()


async def kill_hub(story: Story, dice: random.Random) -> None:
    """The hub is killed, and comes back after a while."""
    if not story.hub.up:
        return
    story.note("the hub is killed")
    story.hub.kill()
    await asyncio.sleep(dice.choice((4.0, 30.0, 200.0)))
    story.note("the hub is back")
    story.hub.come_back()


async def outage(story: Story, dice: random.Random) -> None:
    """Hub, machines or ledger do not answer for a while, or the disk is full."""
    what = dice.choice(("hub", "machines", "ledger", "disk"))
    story.note(f"outage of {what}")
    _set_outage(story, what, True)
    await asyncio.sleep(dice.choice((3.0, 30.0, 600.0)))
    story.note(f"end of the outage of {what}")
    _set_outage(story, what, False)


async def step_clock(story: Story, dice: random.Random) -> None:
    """The wall clock is set."""
    by = dice.choice((-3600.0, -60.0, -5.0, 5.0, 60.0, 3600.0))
    story.note(f"the clock steps by {by}")
    story.set_clock(by)


async def close_node(story: Story, dice: random.Random) -> None:
    """A node takes no new servers for a while, or some of its GPUs are broken."""
    name, broken = dice.choice([node.name for node in story.nodes]), dice.randint(0, 3)
    story.note(f"{name} closes" if not broken else f"{broken} GPUs of {name} are broken")
    _set_node(story, name, lambda node: _worse(node, broken))
    await asyncio.sleep(dice.choice((10.0, 100.0, 500.0)))
    story.note(f"{name} is well")
    whole = next(node for node in story.nodes if node.name == name)
    _set_node(story, name, lambda _: whole)


async def nothing(story: Story, dice: random.Random) -> None:
    """Time goes by."""
    await asyncio.sleep(0.0)


def _worse(node: Node, broken: int) -> Node:
    if not broken:
        return replace(node, schedulable=False)
    return replace(node, gpus=(*node.gpus[:-broken], *(replace(one, healthy=False) for one in node.gpus[-broken:])))


def _set_node(story: Story, name: str, make: Callable[[Node], Node]) -> None:
    story.machines.nodes = tuple(make(node) if node.name == name else node for node in story.machines.nodes)
    story.see_machines()


def _set_outage(story: Story, what: str, is_so: bool) -> None:
    if what == "hub":
        story.hub.silent = is_so
    elif what == "machines":
        story.machines.down = is_so
    elif what == "ledger":
        story.ledger_away = is_so
    else:
        story.disk_full = is_so


def _wish(story: Story, dice: random.Random) -> tuple[str, str, dict[str, Any]]:
    return dice.choice(story.people), dice.choice(SERVERS), _options(dice)


def _options(dice: random.Random) -> dict[str, Any]:
    options: dict[str, Any] = {
        "profile": "gpu",
        "gpus": dice.choice((0, 1, 1, 2, 2, 4, 4, 6)),
        "cpu": dice.randint(1, 4),
    }
    if options["gpus"] and dice.random() < 0.4:
        options["gpu_type"] = dice.choice(("a100", "t4"))
    return options


def _waiting(story: Story) -> list[tuple[str, str]]:
    entries = story.accounts.entries.values()
    return sorted((one.user, one.launch_id) for one in entries if one.state == "waiting")


def _running(story: Story, dice: random.Random) -> tuple[str, str]:
    """Return a server that is there, if there is one; now and then any."""
    there = sorted(key for key, one in story.hub.servers.items() if one.active)
    return dice.choice(there) if there and dice.random() < 0.9 else (dice.choice(story.people), dice.choice(SERVERS))


DEEDS = {
    "launch": Kind(16, launch),
    "start at the hub": Kind(2, start_at_the_hub),
    "stop": Kind(3, stop),
    "stop at the hub": Kind(1, stop_at_the_hub),
    "exits": Kind(1, exits),
    "work": Kind(4, work),
    "leave": Kind(1, leave),
    "change": Kind(2, change),
    "move": Kind(0.5, move),
    "look at the queue": Kind(1, look_at_queue),
    "change a quota": Kind(0.8, change_quota),
    "undo a quota": Kind(0.4, undo_quota),
    "other groups": Kind(0.3, join_or_leave_group),
    "kill the service": Kind(0.3, kill_service),
    "kill the hub": Kind(0.3, kill_hub),
    "outage": Kind(0.5, outage),
    "step the clock": Kind(0.3, step_clock),
    "close a node": Kind(0.5, close_node),
    "nothing": Kind(4, nothing),
}
