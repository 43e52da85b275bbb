"""``mlabhub up``: run hub, proxy and service on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlabhub.settings import BackendName
from mlabhub.supervisor.up import Options, run


def up(
    backend: Annotated[
        str | None,
        typer.Option(help="container (Podman or Docker) or process (nothing is isolated); chosen by itself if absent."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="The configuration folder; the shipped spawner_profiles/ if absent.")
    ] = None,
    state: Annotated[Path | None, typer.Option(help="The state folder; /var/lib/mlabhub for root.")] = None,
    host: Annotated[str, typer.Option(help="The address to listen on; all of them if empty.")] = "",
    port: Annotated[int, typer.Option(help="The one public TCP port.")] = 8000,
    base_url: Annotated[str, typer.Option(help="Path prefix of the hub, such as /lab/.")] = "/",
    public_url: Annotated[
        str, typer.Option(help="The address that people are told, where a web server stands in front.")
    ] = "",
    simulate_gpus: Annotated[str, typer.Option(help="Pretend to have GPUs, such as 4xA100,4xT4.")] = "",
    admin: Annotated[str, typer.Option(help="Name of the first administrator, used at the first start.")] = "admin",
    ledger: Annotated[
        str,
        typer.Option(help="Keep the ledger in PostgreSQL: postgresql://USER@HOST/DATABASE; a file if absent."),
    ] = "",
    ledger_password_file: Annotated[
        Path | None, typer.Option(help="A file of mode 0600 whose first line is the ledger's password.")
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate chain in PEM, for https.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its private key in PEM.")] = None,
) -> None:
    """Run hub, proxy and service on this machine until SIGTERM or Ctrl-C; people's servers run on."""
    if backend not in (None, "container", "process"):
        raise typer.BadParameter(f"{backend!r} is not one of: container, process.", param_hint="--backend")
    if not 1 <= port <= 65535:
        raise typer.BadParameter(f"{port} is no TCP port; 1 to 65535 are.", param_hint="--port")
    chosen: BackendName | None = backend  # type: ignore[assignment]  # checked by the line above
    run(
        Options(
            backend=chosen,
            config_dir=config,
            state_dir=state,
            host=host,
            port=port,
            base_url=base_url,
            public_url=public_url,
            simulate_gpus=simulate_gpus,
            admin=admin,
            ledger=ledger,
            ledger_password_file=ledger_password_file,
            tls_cert=tls_cert,
            tls_key=tls_key,
        )
    )
