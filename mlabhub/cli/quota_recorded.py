"""``mlabhub quota export``: what an installation recorded as a workload, as `mlabhub quota replay` reads it.

Guarantees: nothing is changed, and the service may run: it is asked which machines there are, and the ledger is read. A
file appears under its name only when it is whole.
"""

from __future__ import annotations

import gzip
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from mlabhub.cli.idle_replay import moment
from mlabhub.cli.remote import find_service
from mlabhub.core.quote import quote
from mlabhub.errors import InvalidConfiguration
from mlabhub.ledger import QuotaChange, RecordedRuns, open_to_read
from mlabhub.replay import Workload
from mlabhub.replay.recorded import Recorded, Site, make_workload
from mlabhub.settings import Settings, load_settings

DAYS = 14
DAY_S = 86_400.0
BEGIN = f"From when on: seconds, or such as 2026-12-01T18:00+01:00; without it {DAYS} days back."
END = "Until when; without it until now."


def export(
    begin: Annotated[str | None, typer.Option("--from", metavar="T", help=BEGIN)] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="T", help=END)] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write it there, compressed if it ends with .gz; without it to stdout.")
    ] = None,
    state: Annotated[Path | None, typer.Option(help="The state folder of the installation.")] = None,
) -> None:
    """Write what was recorded as a workload: who asked for what and when, and how long it ran; with names."""
    since, until = read_span(begin, end)
    found, _ = read_recorded(load_settings(state_dir=state), state, since, until)
    for note in found.notes:
        typer.echo(f"note: {note}", err=True)
    lines = lines_of(found.workload)
    if out is None:
        for line in lines:
            typer.echo(line)
        return
    part = out.with_name(out.name + ".part")
    try:
        with gzip.open(part, "wt") if out.suffix == ".gz" else part.open("w") as file:
            file.writelines(f"{line}\n" for line in lines)
        part.replace(out)
    except OSError as error:
        raise InvalidConfiguration(f"--out {out} cannot be written: {error.strerror or error}.") from None
    finally:
        part.unlink(missing_ok=True)
    typer.echo(f"{out}: {len(found.workload.requests)} requests")


def read_span(begin: str | None, end: str | None) -> tuple[float, float]:
    """Return the time that was asked for, the last two weeks if none was. Raises `InvalidConfiguration`."""
    until = min(moment(end, "--to", time.time()), time.time())
    since = max(0.0, moment(begin, "--from", until - DAYS * DAY_S))
    if since >= until:
        raise InvalidConfiguration(
            f"--from {quote(begin) if begin else 'T'} is not before --to, or lies ahead. Name a time that is past."
        )
    return since, until


def read_recorded(
    settings: Settings, state: Path | None, since: float, until: float
) -> tuple[Recorded, tuple[QuotaChange, ...]]:
    """Return what was recorded in a time, on the machines that the service has now, and all changes of quotas."""
    sites = [site_of(node) for node in find_service(state or settings.state_dir).get("gpus")["nodes"]]
    with open_to_read(settings, "mlabhub quota export") as ledger:
        runs = RecordedRuns(ledger)
        found = make_workload(runs.ran(since, until), sites, since, until, time.time(), runs.left_out(since, until))
        return found, runs.quota_changes()


def site_of(node: dict[str, Any]) -> Site:
    """Return a machine as the service tells of it; of its GPUs those that are handed out."""
    types = Counter(gpu["type"] for gpu in node["gpus"] if gpu["usable"])
    return Site(node["name"], node["cpu"], node["memory_gib"], types)


def lines_of(workload: Workload) -> Iterator[str]:
    """Yield a workload's lines."""
    nodes: Iterable[dict[str, Any]] = [node.to_dict() for node in workload.nodes]
    yield json.dumps({"cluster": {"nodes": nodes}})
    for request in workload.requests:
        yield json.dumps(request.to_dict())
