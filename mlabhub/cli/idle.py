"""``mlabhub idle``: whether servers are used, and what a policy of idleness would do."""

from __future__ import annotations

import typer

from mlabhub.cli.idle_export import export
from mlabhub.cli.idle_replay import replay
from mlabhub.cli.idle_shown import explain, list_idle

app = typer.Typer(no_args_is_help=True, help="Say whether servers are used, and try policies of idleness.")
app.command("explain")(explain)
app.command("list")(list_idle)
app.command("replay")(replay)
app.command("export")(export)


@app.callback()
def idle() -> None:
    """Say whether servers are used, and try policies of idleness."""
