"""``mlabhub quota replay``: a change of quotas judged before it is made, on a workload that was recorded or made.

Guarantees: nothing is changed but the file of ``--out``, and of a hub only its machines are asked for; a fault in what
is read is one sentence and exit status 2. What is only worth knowing goes to stderr.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from mlabhub.catalog import default_directory, load_catalog, load_quotas
from mlabhub.cli.quota_recorded import BEGIN, END, read_recorded, read_span
from mlabhub.cli.recordings import number, read_recording, share, write_lines
from mlabhub.cli.shown import Column, make_console, print_json, print_table, working
from mlabhub.core.quota_changes import effective
from mlabhub.core.quota_sums import notes_on_sums
from mlabhub.core.quotas import Quotas
from mlabhub.core.quote import plain
from mlabhub.core.units import format_number
from mlabhub.errors import InvalidConfiguration
from mlabhub.replay import InvalidWorkload, Report, Terms, Workload, live_rules, read_workload, report, run
from mlabhub.replay.baselines import BASELINES
from mlabhub.replay.check import check
from mlabhub.replay.never import capacity_of
from mlabhub.replay.terms import terms_of
from mlabhub.settings import load_settings

OURS = "mlabhub"
GROUPS = (
    Column("group", wraps=True),
    Column("requests", right=True, spare=1),
    Column("wait, mean", right=True),
    Column("half", right=True, spare=2),
    Column("95 %", right=True),
    Column("longest", right=True, spare=3),
    Column("owed, GPU-hours", right=True),
)
MOST_FINDINGS_SHOWN = 20


def replay(
    workload: Annotated[
        Path | None,
        typer.Argument(help="The workload: JSON Lines, as they are or compressed by gzip.", show_default=False),
    ] = None,
    recorded: Annotated[
        bool, typer.Option("--recorded", help="Replay what this installation recorded, on the machines it has now.")
    ] = False,
    begin: Annotated[str | None, typer.Option("--from", metavar="T", help=BEGIN)] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="T", help=END)] = None,
    state: Annotated[Path | None, typer.Option(help="With --recorded: the state folder of the installation.")] = None,
    config: Annotated[
        Path | None, typer.Option(help="A configuration folder: its quotas.yaml, and what profiles say of notices.")
    ] = None,
    quotas: Annotated[
        Path | None, typer.Option(help="A file of quotas, YAML or JSON, in place of the folder's.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write each event there, JSON Lines in order of time.")] = None,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare", help="Also replay simpler policies, and a model of Kueue, and print all side by side."
        ),
    ] = False,
    checked: Annotated[
        bool, typer.Option("--check", help="Hold every event against what is promised; exit status 1 if one breaks it.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Replay a workload under the real rules and these quotas: waits, debts to guarantees, what was taken back."""
    found, limits, terms = gather(workload, (begin, end, state) if recorded else None, config, quotas)
    if workload is not None and (begin, end, state) != (None, None, None):
        raise typer.BadParameter("--from, --to and --state go with --recorded.")
    for note in (*found.notes, *map(str, notes_on_sums(limits, capacity_of(found.nodes)))):
        typer.echo(f"note: {note}", err=True)
    with working("Replaying"):
        outcome = run(found, limits, live_rules, terms)
    if out is not None:
        write_lines(out, outcome.events, workload, "workload itself")
    reports = {OURS: report(found, limits, outcome)}
    if compare:
        for name, make_rules in BASELINES.items():
            with working(f"Replaying {name}"):
                reports[name] = report(found, limits, run(found, limits, make_rules, terms))
    with working("Checking"):
        findings = check(found, limits, outcome.events, terms) if checked else ()
    if as_json:
        print_json(document(reports, findings if checked else None))
    else:
        show(make_console(), found, reports, checked)
    complain(findings, outcome.stranded)


def gather(
    file: Path | None,
    recorded: tuple[str | None, str | None, Path | None] | None,
    config: Path | None,
    quotas: Path | None,
) -> tuple[Workload, Quotas, dict[str, Terms]]:
    """Return the workload of a file, or what an installation recorded: from when, until when, and its state folder.

    Without a file of quotas, or a folder, those count that are in force at the installation now.
    """
    if recorded is None:
        if file is None:
            raise typer.BadParameter("Name a workload, or say --recorded.")
        return read_recording(file, read_workload, InvalidWorkload), *read_quotas(config, quotas)
    if file is not None:
        raise typer.BadParameter(f"--recorded takes the place of a file; leave out {file}, or --recorded.")
    begin, end, state = recorded
    settings = load_settings(state_dir=state)
    found, changes = read_recorded(settings, state, *read_span(begin, end))
    workload = replace(found.workload, notes=tuple(map(str, found.notes)))
    if config is not None or quotas is not None:
        return workload, *read_quotas(config, quotas)
    catalog = load_catalog(settings.config_dir)
    return workload, effective(catalog.quotas, changes, time.time()), terms_of(catalog)


def complain(findings: Sequence[str], stranded: Sequence[str]) -> None:
    """Say what broke a promise, and what never started. Raises `typer.Exit` if anything did."""
    for finding in findings[:MOST_FINDINGS_SHOWN]:
        typer.echo(f"mlabhub: {finding}", err=True)
    if stranded:
        names = ", ".join(plain(one) for one in stranded[:5])
        typer.echo(f"mlabhub: {len(stranded)} requests never started: {names}.", err=True)
    if findings or stranded:
        raise typer.Exit(1)


def read_quotas(config: Path | None, quotas: Path | None) -> tuple[Quotas, dict[str, Terms]]:
    """Return the quotas that count, and what each profile says of what is taken back.

    A folder without profiles is enough: then only its ``quotas.yaml`` is read.
    """
    folder = config if config is not None else default_directory()
    if config is not None and not (folder / "profiles.yaml").exists():
        file = folder / "quotas.yaml"
        if quotas is None and not file.exists():
            raise InvalidConfiguration(f"{folder} has neither profiles.yaml nor quotas.yaml. Name a folder that has.")
        return load_quotas(file if quotas is None else quotas), {}
    if config is None and quotas is not None:
        return load_quotas(quotas), {}
    catalog = load_catalog(folder)
    return (catalog.quotas if quotas is None else load_quotas(quotas)), terms_of(catalog)


def document(reports: Mapping[str, Report], findings: tuple[str, ...] | None) -> dict[str, Any]:
    """Return all figures as one document: those of our rules at its top, all policies by name where there are more."""
    found: dict[str, Any] = reports[OURS].to_dict()
    if findings is not None:
        found["findings"] = list(findings)
    if len(reports) > 1:
        found["policies"] = {name: one.to_dict() for name, one in reports.items()}
    return found


def show(console: Console, workload: Workload, reports: Mapping[str, Report], checked: bool) -> None:
    """Print the figures as tables."""
    ours = reports[OURS]
    console.print(
        f"Requests: {ours.requests}; machines: {len(workload.nodes)}, with {workload.gpus} GPUs; the last one came "
        f"after {hours(ours.span.seconds)}, the last one ended after {hours(ours.whole.seconds)}.",
        soft_wrap=True,
    )
    columns = (Column(""), *(Column(plain(name), right=True) for name in reports))
    print_table(console, columns, [(heading, *cells) for heading, cells in figures(list(reports.values()))])
    print_table(console, GROUPS, list(groups(ours)))
    starved = ", ".join(plain(one) for one in ours.starved_ids[:5])
    if ours.starved:
        more = ", …" if ours.starved > 5 else ""
        console.print(f"Overtaken again and again, and waited far longer than others of their kind: {starved}{more}")
    if checked:
        console.print("Every event was checked.")


def figures(reports: list[Report]) -> Iterator[tuple[str, list[str]]]:
    """Yield each figure with its values."""
    yield "goodput", [share(one.span.goodput) for one in reports]
    yield "GPUs in use", [share(one.span.utilisation) for one in reports]
    yield "goodput to the end", [share(one.whole.goodput) for one in reports]
    yield "wait: mean", [hours(one.waits.mean) for one in reports]
    yield "wait: median", [hours(one.waits.p50) for one in reports]
    yield "wait: 95 %", [hours(one.waits.p95) for one in reports]
    yield "wait: longest", [hours(one.waits.longest) for one in reports]
    yield "owed, GPU-hours", [number(one.debt_gpu_hours) for one in reports]
    yield "lost, GPU-hours", [number(one.lost_gpu_hours) for one in reports]
    yield "reclaims", [str(one.reclaims) for one in reports]
    yield "most of one", [str(one.most_reclaims) for one in reports]
    yield "notices withdrawn", [str(one.withdrawn) for one in reports]
    yield "starved", [str(one.starved) for one in reports]
    yield "unusable GPUs", [f"{one.unusable_gpus:.1f}" for one in reports]
    yield "of the free ones", [share(one.fragmented) for one in reports]
    yield "refused", [str(one.refused) for one in reports]
    yield "never served", [str(one.unfinished) for one in reports]


def groups(one: Report) -> Iterator[tuple[str, ...]]:
    """Yield the row of waits and debts of each group."""
    for name, waits in one.waits_by_group.items():
        owed = number(one.debt_by_group.get(name, 0.0))
        times = [hours(value) for value in (waits.mean, waits.p50, waits.p95, waits.longest)]
        yield (name or "(none)", str(waits.count), *times, owed)


def hours(seconds: float) -> str:
    """Print a length of time: ``40 s``, ``12 min``, ``3.5 h``, ``6.2 d``."""
    for unit, size in (("d", 86_400.0), ("h", 3600.0)):
        if seconds >= 2 * size or (unit == "h" and seconds >= size):
            return f"{seconds / size:.1f} {unit}"
    return f"{format_number(round(seconds / 60))} min" if seconds >= 60 else f"{seconds:.0f} s"
