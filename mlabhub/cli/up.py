"""``mlabhub up``: run hub, proxy and service on this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, get_args

import typer

from mlabhub import logs
from mlabhub.settings import BackendName
from mlabhub.supervisor.backend import ClusterOptions
from mlabhub.supervisor.up import Options, run

BACKENDS: tuple[BackendName, ...] = get_args(BackendName)


def up(
    backend: Annotated[
        str | None,
        typer.Option(
            help="container (Podman or Docker), kube (a Kubernetes cluster) or process (nothing is isolated); absent: "
            "containers, or processes where there is no engine."
        ),
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
    kubeconfig: Annotated[
        Path | None, typer.Option(help="With kube: how to reach the cluster; KUBECONFIG or ~/.kube/config if absent.")
    ] = None,
    context: Annotated[str, typer.Option(help="With kube: the kubeconfig's context; its current one if empty.")] = "",
    namespace: Annotated[
        str, typer.Option(help="With kube: where people's servers are; kubernetes.yaml's or mlabhub if empty.")
    ] = "",
    hub_host: Annotated[
        str, typer.Option(help="With kube: this machine's address for pods; that on the way to the nodes if empty.")
    ] = "",
    log_format: Annotated[
        str, typer.Option(envvar=logs.VARIABLE, help="How hub and service log: text, or json for who collects logs.")
    ] = "text",
) -> None:
    """Run hub, proxy and service on this machine until SIGTERM or Ctrl-C; people's servers run on."""
    if backend not in (None, *BACKENDS):
        raise typer.BadParameter(f"{backend!r} is not one of: {', '.join(BACKENDS)}.", param_hint="--backend")
    if not 1 <= port <= 65535:
        raise typer.BadParameter(f"{port} is no TCP port; 1 to 65535 are.", param_hint="--port")
    if log_format not in logs.FORMATS:
        raise typer.BadParameter(f"{log_format!r} is not one of: text, json.", param_hint="--log-format")
    os.environ[logs.VARIABLE] = log_format  # for all that is started from here
    chosen: BackendName | None = backend  # checked by the line above
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
            cluster=ClusterOptions(kubeconfig, context, namespace, hub_host),
        )
    )
