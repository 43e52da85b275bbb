"""From an empty state folder to a running hub, and on until SIGTERM.

Guarantees: nothing is started when the configuration is wrong, the folder in use or the port taken; an interrupted
start leaves nothing that the next one trips over; SIGTERM and Ctrl-C stop hub, proxy and service and leave people's
servers alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel

from mlabhub.catalog import load_catalog
from mlabhub.cluster.labels import INSTANCE
from mlabhub.core.profiles import Catalog
from mlabhub.errors import InvalidConfiguration
from mlabhub.inventory.simulated import parse_simulated
from mlabhub.settings import BackendName, Settings, default_state_dir, load_settings
from mlabhub.site import find_site_file, read_site_file
from mlabhub.site.inside import CA_INSIDE, save_site
from mlabhub.supervisor import first_run
from mlabhub.supervisor.addresses import check_public_url, find_address, make_base_url, make_own_url
from mlabhub.supervisor.backend import Backend, ClusterOptions, prepare_backend
from mlabhub.supervisor.children import Children
from mlabhub.supervisor.commands import (
    CHECKOUT,
    find_proxy,
    make_hub_command,
    make_proxy_command,
    make_service_command,
)
from mlabhub.supervisor.steps import Steps
from mlabhub.supervisor.tls import read_name, write_authorities


@dataclass(frozen=True)
class Options:
    """What the command line of `mlabhub up` said."""

    backend: BackendName | None = None
    config_dir: Path | None = None
    state_dir: Path | None = None
    host: str = ""
    port: int = 8000
    base_url: str = "/"
    public_url: str = ""
    simulate_gpus: str = ""
    admin: str = "admin"
    ledger: str = ""
    ledger_password_file: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    cluster: ClusterOptions = field(default_factory=ClusterOptions)


def run(options: Options) -> None:
    """Run until SIGTERM or SIGINT. Raises `MLabError` if it cannot start."""
    console = Console(stderr=False)
    state_dir = (options.state_dir or default_state_dir()).absolute()
    first_run.make_private_folders(state_dir, state_dir / "run", state_dir / "secrets", state_dir / "log")
    with _disk_errors(state_dir), contextlib.closing(first_run.StateLock(state_dir)):
        first_run.check_whole(state_dir)
        asyncio.run(_main(options, state_dir, console))


@contextlib.contextmanager
def _disk_errors(state_dir: Path) -> Iterator[None]:
    """Turn a full or read-only disk into one sentence."""
    try:
        yield
    except OSError as error:
        place = error.filename or state_dir
        raise InvalidConfiguration(
            f"{place}: {error.strerror or error}. Mend that (`df -h {state_dir}` shows the space), then start again."
        ) from error


async def _main(options: Options, state_dir: Path, console: Console) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    steps = Steps(console)
    with steps.step("configuration"):
        # In a thread: asking a cluster takes an event loop of its own, and a signal is to be heard meanwhile.
        settings, backend = await asyncio.to_thread(_prepare, options, state_dir)
    children = Children(settings.log_dir, lambda text: console.print(f"  {escape(text)}", highlight=False))
    starting = asyncio.ensure_future(_start(settings, backend, children, steps))
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            _greet(settings, backend, console, steps.total())
            await stopping
    finally:
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        console.print("  stopping; people's servers run on", highlight=False)
        await children.stop()
        await backend.close(settings)


def _prepare(options: Options, state_dir: Path) -> tuple[Settings, Backend]:
    """Check everything that can be wrong before anything is started."""
    config_dir = (options.config_dir or CHECKOUT / "spawner_profiles").absolute()
    catalog = load_catalog(config_dir)
    _check_ledger(options)
    site = read_site_file(find_site_file())
    tls_name = _prepare_tls(options)
    host, base_url = find_address(options.host), make_base_url(options.base_url)
    public_url = options.public_url and check_public_url(options.public_url, base_url)
    first_run.check_port(host, options.port)
    find_proxy()
    parse_simulated(options.simulate_gpus)
    ports = first_run.choose_ports(state_dir, [options.port])
    first_run.make_secrets(state_dir / "secrets")
    first_run.make_private_file(state_dir / "jupyterhub.sqlite")
    scheme = "https" if options.tls_cert else "http"
    backend = _choose_backend(options, state_dir, catalog, host)
    backend.warnings += moved(state_dir, backend)
    settings = Settings(
        instance=first_run.read_instance(state_dir),
        state_dir=state_dir,
        config_dir=config_dir,
        backend=backend.name,
        host=host,
        port=options.port,
        base_url=base_url,
        public_url=public_url or make_own_url(scheme, tls_name, host, options.port, base_url),
        tls_cert=options.tls_cert and options.tls_cert.absolute(),
        tls_key=options.tls_key and options.tls_key.absolute(),
        tls_name=tls_name,
        hub_port=ports["hub"],
        proxy_api_port=ports["proxy-api"],
        service_port=ports["service"],
        ledger_url=options.ledger,
        ledger_password_file=options.ledger_password_file and options.ledger_password_file.absolute(),
        simulate_gpus=options.simulate_gpus,
        admin=_admin_name(state_dir, options.admin),
        **backend.settings(),
    )
    save_site(site, settings.run_dir, str(settings.ca_file) if backend.name == "process" else CA_INSIDE)
    write_authorities(settings.tls_cert, site.site.ca_file, settings.ca_file)
    settings.save()
    return settings, backend


def _choose_backend(options: Options, state_dir: Path, catalog: Catalog, host: str) -> Backend:
    if options.backend == "kube":
        from mlabhub.supervisor.cluster import prepare_cluster  # a third of a second, which others need not wait for

        if options.simulate_gpus:
            raise InvalidConfiguration("--simulate-gpus is for this machine; a cluster's nodes say what they have.")
        return prepare_cluster(options.cluster, catalog.kubernetes, host)
    if options.cluster != ClusterOptions():
        raise InvalidConfiguration("--kubeconfig, --context, --namespace and --hub-host belong to --backend kube.")
    return prepare_backend(options.backend, state_dir)


def moved(state_dir: Path, backend: Backend) -> list[str]:
    """Return what is to be said where an earlier start had its servers on another cluster, or in another namespace."""
    try:
        earlier = load_settings(state_dir=state_dir)
    except InvalidConfiguration:
        return []
    now = backend.settings()
    if earlier.backend != "kube" or backend.name != "kube":
        return []
    if (earlier.namespace, earlier.kube_context) == (now["namespace"], now["kube_context"]):
        return []
    context = f" --context {earlier.kube_context}" if earlier.kube_context else ""
    return [
        f"The last start had people's servers in the namespace {earlier.namespace} (context {earlier.kube_context}). "
        f"This one does not see them; what is left there: `kubectl{context} get pods -n {earlier.namespace} "
        f"-l {INSTANCE}={earlier.instance}`."
    ]


def _check_ledger(options: Options) -> None:
    """Check the ledger's address; whether it answers, the service finds out."""
    if options.ledger:
        from mlabhub.ledger import parse_address  # a third of a second, which others need not wait for

        parse_address(options.ledger, options.ledger_password_file)
    elif options.ledger_password_file is not None:
        raise InvalidConfiguration("--ledger-password-file belongs to --ledger, which names the database.")


def _prepare_tls(options: Options) -> str:
    """Check the certificate; return the hub's name in it, empty without one."""
    if bool(options.tls_cert) != bool(options.tls_key):
        raise InvalidConfiguration("--tls-cert and --tls-key belong together: give both, or neither.")
    if options.tls_cert is None or options.tls_key is None:
        return ""
    for file in (options.tls_cert, options.tls_key):
        if not os.access(file, os.R_OK):
            raise InvalidConfiguration(f"{file} cannot be read; it must be a PEM file that this user may read.")
    return read_name(options.tls_cert, options.tls_key, datetime.now(timezone.utc))


def _admin_name(state_dir: Path, wanted: str) -> str:
    """The first administrator's name is decided by the first start."""
    values, _ = first_run.make_first_run(state_dir, "", wanted)
    return values["admin"]


async def _start(settings: Settings, backend: Backend, children: Children, steps: Steps) -> None:
    await asyncio.to_thread(backend.prepare, settings)
    with steps.step("proxy, hub and service" + (f", {backend.label}" if backend.label else "")):
        # All at once: each waits by itself for what it needs of the others.
        commands = [make_proxy_command(settings), make_hub_command(settings), make_service_command(settings)]
        await asyncio.gather(*(children.start(command) for command in (*backend.commands(settings), *commands)))
    await backend.build_base_image(steps)


def _greet(settings: Settings, backend: Backend, console: Console, seconds: float) -> None:
    known, _ = first_run.make_first_run(settings.state_dir, settings.public_url, settings.admin)
    shown = settings.state_dir / "run" / "password-shown"
    lines = [f"mlabhub runs at [bold]{escape(settings.public_url)}[/]  [dim]({seconds:.1f} s)[/]"]
    if settings.backend == "kube":
        context = f"context {settings.kube_context}, " if settings.kube_context else ""
        lines += [escape(f"on Kubernetes: {context}namespace {settings.namespace}")]
    if urlsplit(settings.public_url).hostname == "localhost" and not settings.host:
        elsewhere = settings.public_url.replace("localhost", socket.gethostname(), 1)
        lines += [f"from other machines: {escape(elsewhere)}"]
    if not shown.exists():
        lines += [
            f"first administrator: [bold]{escape(known['admin'])}[/]",
            f"password: [bold]{escape(known['password'])}[/]",
        ]
        lines += [f"[dim](shown once; kept in {escape(str(settings.state_dir / 'first-run.json'))})[/]"]
        shown.touch(mode=0o600)
    lines += [f"[yellow]{escape(warning)}[/]" for warning in backend.warnings]
    lines += [f"[dim]logs: {escape(str(settings.log_dir))} · Ctrl-C stops the hub; people's servers run on[/]"]
    console.print(Panel.fit("\n".join(lines), padding=(0, 2)), highlight=False)
