"""``mlabhub server``: start and stop servers, list them, keep one for a while, give one or its GPUs back.

Guarantees: a start that waits says so, and with --wait ends only when the server runs or never will; a name that is
typed is shown as typed, and the hub's own name is made of it as on the launch page.
"""

from __future__ import annotations

import json
import time
from typing import Annotated, Any
from urllib.parse import quote

import typer

from mlabhub.cli import complete
from mlabhub.cli.gpus import ago
from mlabhub.cli.queue import AsJson, State, clock_of, read_options, what_of, when_of
from mlabhub.cli.remote import Service, find_service
from mlabhub.cli.server_logs import follow_log
from mlabhub.cli.shown import Column, make_console, plain_line, print_json, print_table, say
from mlabhub.client.service import DEFAULT_SERVER
from mlabhub.core.names import make_server_name
from mlabhub.core.quote import plain
from mlabhub.core.quote import quote as shown
from mlabhub.errors import InvalidConfiguration, LaunchRefused, NotFound

POLL_S = 2.0
MOST_HOURS = 24 * 366
COLUMNS = (
    Column("server", wraps=True),
    Column("state"),
    Column("what", wraps=True, spare=2),
    Column("since", right=True, spare=1),
)
OVER = ("failed", "ended", "given_back", "left", "refused")

Json = dict[str, Any]
Server = Annotated[
    str,
    typer.Argument(
        help="The server's name; `_` is the default one. USER/NAME is somebody else's, for administrators.",
        autocompletion=complete.servers,
    ),
]

app = typer.Typer(help="Start, stop and list servers; keep one, give one or its GPUs back.", no_args_is_help=True)


@app.command()
def start(
    profile: Annotated[
        str,
        typer.Argument(
            help="The profile's name; with --safe, as small as can be without it.", autocompletion=complete.profiles
        ),
    ] = "",
    name: Annotated[str, typer.Option(help="The server's name: letters, digits and underscores.")] = "",
    gpus: Annotated[int | None, typer.Option(help="How many GPUs.")] = None,
    gpu_type: Annotated[str | None, typer.Option(help="Of which type.")] = None,
    image: Annotated[str | None, typer.Option(help="The image's name.")] = None,
    group: Annotated[str | None, typer.Option(help="The group that pays.", autocompletion=complete.groups)] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="Anything else as KEY=VALUE: cpu=4; may be given several times.")
    ] = None,
    queue: Annotated[bool, typer.Option("--queue/--no-queue", help="Wait in the queue if it does not start now.")] = (
        True
    ),
    wait: Annotated[bool, typer.Option("--wait", help="End only when the server runs, or never will.")] = False,
    safe: Annotated[
        bool, typer.Option("--safe", help="Run none of its person's start-up files, so that they can be mended in it.")
    ] = False,
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Start a server, or take a place in the queue. Exit status 1 if it is refused."""
    service = find_service(state)
    chosen = {"profile": profile or None, "gpus": gpus, "gpu_type": gpu_type, "image": image, "group": group}
    options = {key: value for key, value in chosen.items() if value is not None} | read_options(option or [])
    told = _start(service, name, options, queue=queue, safe=safe)
    if told["state"] == "queued":
        typer.echo(_queued(told), err=True)
    if wait:
        told = _follow(service, told["launch_id"])
    if as_json:
        print_json(told)
    elif told["state"] != "queued":
        typer.echo(f"{plain(name) or 'The default server'}: {told['state']}, {told['url']}")


def _start(service: Service, name: str, options: Json, *, queue: bool, safe: bool) -> Json:
    """Launch a server; without options in safe mode, as the service chooses them. Raises `InvalidConfiguration`."""
    if safe and not options:
        return service.post(path_of(find_server(service, name or DEFAULT_SERVER), "safe-mode"), {})
    if "profile" not in options:
        raise InvalidConfiguration("Name a profile. Only --safe alone does without, for a server that ran before.")
    chosen = options | ({"safe": True} if safe else {})
    server_name = _server_name(service, name)
    return service.ask(
        "POST",
        "launches",
        {"server_name": server_name, "display_name": name, "user_options": chosen, "queue": queue},
    )


@app.command()
def stop(server: Server, state: State = None, as_json: AsJson = False) -> None:
    """Stop a server of one's own. What was installed in it is kept."""
    _act(find_service(state), server, "stop", as_json, "is being stopped")


@app.command()
def extend(
    server: Server,
    hours: Annotated[float, typer.Option(help="For how many hours; its rule may allow less.")] = 2.0,
    reason: Annotated[str, typer.Option(help="Why; administrators see it.")] = "",
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Keep a server for a while although it is idle. Exit status 1 if its rule does not allow that any more."""
    service = find_service(state)
    if not 0 < hours <= MOST_HOURS:
        raise InvalidConfiguration(f"--hours must be more than 0 and at most {MOST_HOURS}.")
    one = find_server(service, server)
    told = service.post(path_of(one, "extend"), {"hours": hours, "reason": reason})
    until = clock_of(told["keepings"][-1]["until"], time.time())
    left = f"It can be kept {told['keep_left']} times more before it is used again."
    say(told, as_json, f"{name_of(one)} is kept until {until}. {left}")


@app.command()
def release(
    server: Server,
    stop: Annotated[
        bool, typer.Option("--stop", help="Stop it altogether and give back all that it holds, as a notice asks.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Why the GPUs are given back; it stands in the audit.")] = "",
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Give a server's GPUs back and keep the work: it saves, and starts again by itself without them.

    A server without GPUs is stopped, and gives back what it holds.
    """
    service = find_service(state)
    one = find_server(service, server)
    if stop or not one["gpus"]:
        _act(service, server, "release", as_json, "gives back what it holds")
        return
    told = service.post(path_of(one, "release-gpu"), {"reason": reason})
    say(told, as_json, f"{name_of(one)} gives its GPUs back: it saves what is open, and goes on without them.")


@app.command()
def logs(
    server: Server,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what it writes, until it ends.")] = False,
    lines: Annotated[int, typer.Option(help="How many of the last lines.", min=0, max=2000)] = 200,
    state: State = None,
    as_json: AsJson = False,
) -> None:
    """Show what a server wrote, its last lines. Exit status 1 without a log: a container's ends with it."""
    service = find_service(state)
    path = path_of(find_server(service, server), "logs")
    if follow:
        for line in follow_log(service, path, lines):
            typer.echo(json.dumps({"line": line}) if as_json else line)
        return
    told = service.get(f"{path}?lines={lines}")
    for line in [json.dumps(told)] if as_json else told["lines"]:
        typer.echo(line)


@app.command("list")
def list_servers(state: State = None, as_json: AsJson = False) -> None:
    """List one's own servers."""
    servers = find_service(state).get("servers")["servers"]
    if as_json:
        print_json({"servers": servers})
    elif not servers:
        typer.echo("There is no server.")
    else:
        now = time.time()
        print_table(make_console(), COLUMNS, [row_of(one, now) for one in servers])


def row_of(one: Json, now: float) -> tuple[str, ...]:
    """Return a server's row."""
    held = one["cpu"] is not None and one["memory_gib"] is not None
    return (
        one["display_name"] or one["server_name"] or "(default)",
        one["state"],
        what_of(one) if held else "",
        "" if one["since"] is None else ago(now - one["since"]),
    )


def _server_name(service: Service, name: str) -> str:
    """Return the hub's name for a server: of the one that is called so, or a new one; empty for the default one."""
    if not name:
        return ""
    servers = service.get("servers")["servers"]
    for one in servers:
        if name in (one["display_name"], one["server_name"]):
            return str(one["server_name"])
    return make_server_name(name, [one["server_name"] for one in servers])


def find_server(service: Service, word: str) -> Json:
    """Return the server that a word stands for: of one's own, or ``USER/NAME``. Raises `NotFound`."""
    owner, slash, rest = word.partition("/")
    path, name = (f"servers?user={quote(owner, safe='')}", rest) if slash else ("servers", word)
    typed = "" if name == DEFAULT_SERVER else name
    servers: list[Json] = service.get(path)["servers"]
    exact = [one for one in servers if typed == one["server_name"]]
    for one in exact or [one for one in servers if typed and typed == one["display_name"]]:
        return one
    raise NotFound(f"There is no server {shown(word)}. `mlabhub server list` shows one's own.")


def path_of(one: Json, what: str) -> str:
    """Return the address of a call about a server."""
    user, server = (quote(part, safe="") for part in (one["user"], one["server_name"] or DEFAULT_SERVER))
    return f"servers/{user}/{server}/{what}"


def name_of(one: Json) -> str:
    """Return what a server is called in a sentence."""
    return plain(one["display_name"] or one["server_name"]) or "The default server"


def _act(service: Service, name: str, what: str, as_json: bool, done: str) -> None:
    told = service.ask("POST", path_of(find_server(service, name), what))
    say(told, as_json, f"{plain(name)} {done}.")


def _queued(told: Json) -> str:
    why = plain_line(" ".join(reason["message"] for reason in told["reasons"]))
    when = when_of(told["wait"], time.time())
    return f"It waits, as number {told['position']}; probably {when}. {why}".strip()


def _follow(service: Service, launch_id: str) -> Json:
    """Return what became of a launch, once it runs. Raises `LaunchRefused` if it never will."""
    while True:
        told = service.get(f"launches/{quote(launch_id, safe='')}")
        if told["state"] == "ready":
            return told
        if told["state"] in OVER:
            raise LaunchRefused(told.get("failure") or f"The launch is over: {told['state']}.")
        time.sleep(POLL_S)
