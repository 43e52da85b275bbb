"""``mlabhub image``: build, push, list and check the images that people's servers run."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import sys
import time
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console

from mlabhub.cli.shown import Column, make_console, print_json, print_table
from mlabhub.images import Built, Finding, build_images, check_image, list_images
from mlabhub.images.accelerator import Accelerator
from mlabhub.images.build import list_saved
from mlabhub.images.program import ImageError, Report
from mlabhub.images.push import Registry, push_images

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None)

STEP = re.compile(r"^STEP \d+/\d+|^#\d+ \[|^(Asking|Making|Another build|No registry|Pushing)")
"""The lines of an engine's output that tell how far it is."""

COLUMNS = (
    Column("image", wraps=True),
    Column("state"),
    Column("size", right=True, spare=1),
    Column("built", spare=2),
    Column("id", spare=3),
)
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command()
def build(
    names: Annotated[list[str] | None, typer.Argument(help="Images of images/; all of them if absent.")] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Build every layer again.")] = False,
    cuda: Annotated[
        bool | None,
        typer.Option("--cuda/--cpu", help="With CUDA's libraries, or for the CPU; what the machine has, if absent."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Build images, and what they grow from, unless they are up to date."""
    accelerator: Accelerator | None = None if cuda is None else "cuda" if cuda else "cpu"
    console = make_console(stderr=as_json)
    with _showing(console) as report:
        try:
            built = build_images(names or (), no_cache=no_cache, report=report, accelerator=accelerator)
        except ImageError as error:
            console.print(error.log_text, style="dim", markup=False)
            raise
    if as_json:
        print_json([dataclasses.asdict(image) for image in built])
        return
    for image in built:
        done = f"built in {image.seconds:.0f} s" if image.seconds else "up to date"
        console.print(f"{image.reference}  {done}, {_size(image)}")


@app.command()
def push(
    registry: Annotated[
        str, typer.Option(help="Where to: a registry with a folder of it, such as harbor.lab:5000/mlabhub.")
    ],
    names: Annotated[list[str] | None, typer.Argument(help="Images of images/; all that are built if absent.")] = None,
    tag: Annotated[str, typer.Option(help="The tag that they get there.")] = "latest",
    tls_verify: Annotated[
        bool, typer.Option("--tls-verify/--no-tls-verify", help="Whether the registry's certificate must be trusted.")
    ] = True,
    username: Annotated[str, typer.Option(help="An account of the registry; absent: the engine's own login.")] = "",
    password_stdin: Annotated[bool, typer.Option("--password-stdin", help="Read its password from stdin.")] = False,
    as_json: AsJson = False,
) -> None:
    """Push images into a registry, from where a cluster's nodes have them (registry in kubernetes.yaml)."""
    if bool(username) != password_stdin:
        raise typer.BadParameter("--username and --password-stdin go together.")
    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else ""
    console = make_console(stderr=as_json)
    with _showing(console) as report:
        try:
            pushed = push_images(
                names or (), Registry(registry, tls_verify, username, password), tag=tag, report=report
            )
        except ImageError as error:
            console.print(error.log_text, style="dim", markup=False)
            raise
    if as_json:
        print_json([{**dataclasses.asdict(image), "exact": image.exact} for image in pushed])
        return
    for image in pushed:
        console.print(f"{image.reference}  pushed in {image.seconds:.0f} s  {image.digest}")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the images of images/ and whether the engine has them, then those that people saved."""
    images = [*list_images(), *list_saved()]
    if as_json:
        print_json([dataclasses.asdict(image) for image in images])
        return
    rows = [(image.name, _state(image), _size(image), (image.created or "")[:19], _short_id(image)) for image in images]
    print_table(make_console(), COLUMNS, rows)
    stale = [image.name for image in images if not image.up_to_date]
    if stale:
        typer.echo(f"To build what is missing or has changed: mlabhub image build {' '.join(stale)}")


@app.command()
def check(
    reference: Annotated[str, typer.Argument(help="An image that the engine has, of ours or of others.")],
    as_json: AsJson = False,
) -> None:
    """Say what an image lacks to run people's servers, and what mends it."""
    console = make_console(stderr=True)
    with _showing(console) as report:
        findings = check_image(reference, report)
    if as_json:
        print_json([{**dataclasses.asdict(finding), "ok": finding.ok} for finding in findings])
    else:
        for finding in findings:
            typer.echo(_describe(finding))
    if any(finding.needed and not finding.ok for finding in findings):
        raise typer.Exit(1)


@contextlib.contextmanager
def _showing(console: Console) -> Iterator[Report]:
    """Show what the engine does: one live line on a terminal, else a line for each of its steps, with the time."""
    started = time.monotonic()

    def line(text: str) -> str:
        minutes, seconds = divmod(int(time.monotonic() - started), 60)
        return f"{minutes}:{seconds:02}  {text}"

    if not console.is_terminal:
        yield lambda text: console.print(line(text), markup=False) if STEP.match(text) else None
        return
    with console.status("") as status:
        step = ""

        def report(text: str) -> None:
            nonlocal step
            step = text if STEP.match(text) else step
            shown = line(step if step == text else f"{step[:60]}  {text}")
            status.update(shown[: console.width - 4].replace("[", "\\["))

        yield report


def _state(image: Built) -> str:
    if image.id is None:
        return "not built"
    return "up to date" if image.up_to_date else "changed since"


def _size(image: Built) -> str:
    return f"{image.size / 2**20:.0f} MiB" if image.size else ""


def _short_id(image: Built) -> str:
    return (image.id or "").removeprefix("sha256:")[:12]


def _describe(finding: Finding) -> str:
    if finding.added:
        return f"added    {finding.name}" + (f" ({finding.found})" if finding.found else "") + f": {finding.added}"
    if finding.ok:
        return f"ok       {finding.name}" + (f" {finding.found}" if finding.found != "yes" else "")
    return f"{'lacks' if finding.needed else 'better'}{'':<4}{finding.name}: {finding.fix}"
