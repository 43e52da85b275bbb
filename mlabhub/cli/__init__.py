"""The command line: one program for administrators and users.

Guarantees: an error is one line on stderr, never a traceback; exit status 0 done, 1 refused or failed, 2 wrong usage or
invalid configuration, 3 hub, service or engine cannot be reached. Modules of a verb are imported when it runs, so that
`mlabhub up` is not slowed down by what it does not need, and a shell completes verbs at once.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

import typer
import typer.core
import typer.main

from mlabhub import __version__
from mlabhub.core.quote import quote
from mlabhub.errors import InvalidConfiguration, MLabError, Unavailable

if TYPE_CHECKING:
    from typer import _click as click  # the types of what is overridden here: typer carries its own click
    from typer._click.shell_completion import CompletionItem

VERBS = {
    "up": ("mlabhub.cli.up:up", "Run hub, proxy and service on this machine."),
    "login": ("mlabhub.cli.login:login", "Use a hub elsewhere as oneself."),
    "logout": ("mlabhub.cli.login:logout", "Forget the token of a hub elsewhere, and end it there."),
    "check": ("mlabhub.cli.check:check", "Validate the configuration folder."),
    "schema": ("mlabhub.cli.check:schema", "Print the JSON schema of the configuration folder."),
    "doctor": ("mlabhub.cli.doctor:doctor", "Say what this machine lacks, with the fix in words."),
    "gpus": ("mlabhub.cli.gpus:gpus", "Show every GPU, and who holds it."),
    "quota": ("mlabhub.cli.quota:app", "Show quotas, and change them at run time."),
    "queue": ("mlabhub.cli.queue:app", "Show who waits for what; leave, change and move entries."),
    "usage": ("mlabhub.cli.usage:usage", "Show GPU-hours allocated, used and wasted."),
    "idle": ("mlabhub.cli.idle:app", "Say whether servers are used, and try policies of idleness."),
    "server": ("mlabhub.cli.server:app", "Start, stop and list servers; give one back."),
    "image": ("mlabhub.cli.image:app", "Build, push, list and check the images that people work in."),
    "notify": ("mlabhub.cli.notify:app", "Try the addresses that messages go to."),
    "audit": ("mlabhub.cli.audit:audit", "Show who did what, when and why; search it, and save it as CSV."),
    "reconcile": ("mlabhub.cli.reconcile:reconcile", "Compare hub, backend and ledger; --repair heals."),
    "backup": ("mlabhub.cli.backup:backup", "Write the installation into one file, also while it runs."),
    "restore": ("mlabhub.cli.backup:restore", "Put a backup back."),
    "user": ("mlabhub.cli.user:app", "Open, close and change accounts."),
}


class LazyGroup(typer.core.TyperGroup):
    """Imports a verb's module only when the verb is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order of this module."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a verb, or None for an unknown one."""
        if cmd_name not in VERBS:
            return None
        path, _ = VERBS[cmd_name]
        module, attribute = path.split(":")
        target = getattr(import_module(module), attribute)
        if isinstance(target, typer.Typer):
            return typer.main.get_group(target)
        verb = typer.Typer(add_completion=False)
        verb.command(name=cmd_name)(target)
        return typer.main.get_command(verb)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete verbs without importing them, and options."""
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        from typer._click.shell_completion import CompletionItem

        return [CompletionItem(verb, help=text) for verb, (_, text) in VERBS.items() if verb.startswith(incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing them."""
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, text) for verb, (_, text) in VERBS.items()])


app = typer.Typer(cls=LazyGroup, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.callback(invoke_without_command=True)
def root(
    version: bool = typer.Option(False, "--version", help="Print the version and end.", is_eager=True),
) -> None:
    """One address in the browser for a lab's GPUs."""
    if version:
        typer.echo(__version__)
        raise typer.Exit


def exit_status(error: MLabError) -> int:
    """Return the exit status that stands for an error."""
    if isinstance(error, InvalidConfiguration):
        return 2
    if isinstance(error, Unavailable):
        return 3
    return 1


def main() -> None:
    """Run the program; the entry point of `mlabhub`."""
    try:
        app()
    except MLabError as error:
        print(f"mlabhub: {error}", file=sys.stderr)
        sys.exit(exit_status(error))
    except BrokenPipeError:
        sys.exit(1)
    except OSError as error:  # of what was named on the command line: a name too long, a disk that is full
        named = f"{quote(str(error.filename))}: " if error.filename is not None else ""
        print(f"mlabhub: {named}{error.strerror or error}. Mend that, then try again.", file=sys.stderr)
        sys.exit(1)
