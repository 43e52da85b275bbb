"""``mlabhub idle export``: the samples that an installation keeps, as `mlabhub idle replay` reads them.

Guarantees: nothing is changed, and the service may run; one hour of samples at a time is in memory. A file appears
under its name only when it is whole.
"""

from __future__ import annotations

import gzip
import math
from pathlib import Path
from typing import Annotated

import typer

from mlabhub.cli.idle_replay import moment
from mlabhub.cli.shown import working
from mlabhub.errors import InvalidConfiguration
from mlabhub.ledger import open_samples
from mlabhub.settings import load_settings

AGES = 1e12
"""After all samples, in seconds since the epoch."""


def export(
    begin: Annotated[
        str | None,
        typer.Option("--from", metavar="T", help="From when on: seconds, or such as 2026-12-01T18:00+01:00."),
    ] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="T", help="Until when.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write them there, compressed if it ends with .gz; without it to stdout.")
    ] = None,
    state: Annotated[Path | None, typer.Option(help="The state folder of the installation.")] = None,
) -> None:
    """Write the samples of all servers as JSON Lines: the last two days' by the minute, thirty days' by five."""
    since, until = moment(begin, "--from", 0.0), min(moment(end, "--to", math.inf), AGES)
    with open_samples(load_settings(state_dir=state)) as samples:
        lines = samples.export(since, until)
        if out is None:
            for line in lines:
                typer.echo(line)
            return
        part = out.with_name(out.name + ".part")
        try:
            with working("Writing"), gzip.open(part, "wt") if out.suffix == ".gz" else part.open("w") as file:
                count = 0
                for line in lines:
                    file.write(line + "\n")
                    count += 1
            part.replace(out)
        except OSError as error:
            raise InvalidConfiguration(f"--out {out} cannot be written: {error.strerror or error}.") from None
        finally:
            part.unlink(missing_ok=True)
    typer.echo(f"{out}: {count} samples")
