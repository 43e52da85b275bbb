"""``mlabhub idle replay``: a policy of idleness judged before it is live, on samples that were recorded.

Guarantees: nothing is asked of a hub and nothing is changed, but the file of ``--out``; a fault in what is read is one
sentence and exit status 2. What is only worth knowing goes to stderr.
"""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mlabhub.catalog import default_directory, load_catalog, load_idle
from mlabhub.cli.recordings import number, read_recording, share, write_lines
from mlabhub.cli.shown import Column, make_console, print_json, print_table, working
from mlabhub.core.idle.file import Idle
from mlabhub.core.idle.policy import Policy
from mlabhub.core.moments import NoMoment, read_moment
from mlabhub.core.quote import quote, quote_all
from mlabhub.errors import InvalidConfiguration
from mlabhub.replay.idle import InvalidSamples, Totals, read_samples, run


def replay(
    samples: Annotated[
        Path, typer.Argument(help="The samples: JSON Lines, as they are or compressed by gzip.", show_default=False)
    ],
    config: Annotated[Path | None, typer.Option(help="A configuration folder, for its idle.yaml.")] = None,
    policy: Annotated[
        str | None, typer.Option(help="The policy, a preset or one of idle.yaml; without it the one that holds there.")
    ] = None,
    aggressiveness: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="0 waits a day, 0.5 is what the policy says, 1 the least that is allowed."),
    ] = None,
    begin: Annotated[
        str | None,
        typer.Option("--from", metavar="T", help="From when on: seconds, or such as 2026-12-01T18:00+01:00."),
    ] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="T", help="Until when.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write each decision there, JSON Lines in order of time.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Replay recorded samples under a policy of idleness: who would be warned and stopped, and what that is worth."""
    chosen = choose_policy(read_idle(config), policy)
    if aggressiveness is not None:
        chosen = chosen.at(aggressiveness)
    read = partial(read_samples, begin=moment(begin, "--from", -math.inf), end=moment(end, "--to", math.inf))
    recording = read_recording(samples, read, InvalidSamples)
    for note in recording.notes:
        typer.echo(f"note: {note}", err=True)
    with working("Replaying"):
        outcome = run(recording, chosen)
    if out is not None:
        write_lines(out, outcome.decisions, samples, "samples themselves")
    if as_json:
        print_json({"policy": chosen.name, **outcome.totals.to_dict()})
    else:
        show(make_console(), outcome.totals, chosen)


def read_idle(config: Path | None) -> Idle:
    """Return what a folder's ``idle.yaml`` says; a folder without profiles is enough."""
    folder = default_directory() if config is None else config
    if (folder / "profiles.yaml").exists():
        return load_catalog(folder).idle
    if not (folder / "idle.yaml").exists():
        raise InvalidConfiguration(f"{folder} has neither profiles.yaml nor idle.yaml. Name a folder that has.")
    return load_idle(folder / "idle.yaml")


def choose_policy(idle: Idle, name: str | None) -> Policy:
    """Return the policy of that name, or the one that holds where no rule fits."""
    name = idle.policy if name is None else name
    if name not in idle.names:
        known = quote_all(list(idle.names))
        raise InvalidConfiguration(f"--policy: there is no policy {quote(name)}; there are: {known}.")
    return idle.named(name)


def moment(text: str | None, option: str, otherwise: float) -> float:
    """Return a moment that was given in seconds since the epoch, or as people write it."""
    if text is None:
        return otherwise
    try:
        seconds = float(text)
    except ValueError:
        try:
            return read_moment(text)
        except NoMoment as error:
            raise InvalidConfiguration(f"{option}: {error.told}.") from None
    if math.isnan(seconds):
        raise InvalidConfiguration(f"{option}: {quote(text)} is not a number of seconds.")
    return seconds


def show(console: Console, totals: Totals, policy: Policy) -> None:
    """Print the totals as a table."""
    held = totals.gpu_hours_held
    console.print(
        f"Policy {policy.name}, aggressiveness {policy.aggressiveness:g}: {totals.servers} servers, "
        f"{totals.samples} samples.",
        soft_wrap=True,
    )
    hours = (
        ("GPU-hours held", held),
        ("idle", totals.gpu_hours_idle),
        ("not known", totals.gpu_hours_unknown),
        ("reclaimed", totals.gpu_hours_reclaimed),
    )
    counts = (
        ("warnings", totals.warnings),
        ("withdrawn", totals.withdrawn),
        ("stops", totals.stops),
        ("wanted again", totals.wanted_again),
        ("stops of a busy server", totals.stops_of_a_busy_server),
    )
    rows = [(heading, number(amount), share(amount / held) if held else "") for heading, amount in hours]
    rows += [(heading, str(count), "") for heading, count in counts]
    print_table(console, (Column(""), Column("", right=True), Column("", right=True)), rows)
