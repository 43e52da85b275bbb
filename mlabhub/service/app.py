"""Put the service together: the tornado application over the parts, and the process around it.

Guarantees: one service per ledger, kept by a lock; nothing listens before the ledger was read; SIGTERM lets the batch
in hand finish.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import hmac
import logging
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from jupyterhub.services.auth import HubOAuth, HubOAuthCallbackHandler
from tornado import httputil
from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler, url
from ulid import ULID

from mlabhub.catalog import load_catalog
from mlabhub.client import HubAccounts, HubClient
from mlabhub.core.profiles import Catalog
from mlabhub.errors import InvalidConfiguration, MLabError
from mlabhub.inventory import Backend, make_backend
from mlabhub.inventory.process import find_tools
from mlabhub.ledger import SqlSamples, SqlUsage, open_ledger
from mlabhub.messages import N_, Message
from mlabhub.service import pages
from mlabhub.service.audit_desk import AuditDesk
from mlabhub.service.bodylimit import LimitBodies
from mlabhub.service.capacity import FRESH_S, WATCHED_S, CapacityCache, GpuTypes
from mlabhub.service.catalogue import CatalogSource
from mlabhub.service.census import Census
from mlabhub.service.closing import ClosingCapacity
from mlabhub.service.cluster_map.desk import MapDesk
from mlabhub.service.desk import SpawnerDesk
from mlabhub.service.disk import DiskUse, room_of
from mlabhub.service.handlers.meta import AliveHandler
from mlabhub.service.identity import MachineAccounts
from mlabhub.service.idle.desk import IdleDesk
from mlabhub.service.idle.looks import IdleLooks
from mlabhub.service.launcher import Launcher
from mlabhub.service.metrics import Metrics
from mlabhub.service.notify import open_notifier
from mlabhub.service.nudging import Nudging
from mlabhub.service.openapi import make_openapi
from mlabhub.service.people.closing import ClosingDesk
from mlabhub.service.people.desk import Accounts, PeopleDesk
from mlabhub.service.people.sheets import Sheets
from mlabhub.service.queue_desk import QueueDesk
from mlabhub.service.quota_catalogue import QuotaCatalogue
from mlabhub.service.quota_desk import QuotaDesk
from mlabhub.service.quota_looks import QuotaLooks
from mlabhub.service.reconciler import Reconciler
from mlabhub.service.report_tokens import ReportTokens
from mlabhub.service.reports import Reports
from mlabhub.service.routes import api_routes
from mlabhub.service.scopes import ACCESS_SCOPE, CLIENT_ID
from mlabhub.service.server_logs import ServerLogs
from mlabhub.service.shelving.desk import ShelvingDesk
from mlabhub.service.trials import Trials
from mlabhub.service.trials.idle import IdleTrials
from mlabhub.service.usage.desk import UsageDesk
from mlabhub.service.world import Hub, World
from mlabhub.service.writer import Writer
from mlabhub.settings import Settings

log = logging.getLogger(__name__)
BODY_TIMEOUT_S = 20.0
SWITCH_S = 0.0005
"""After how long a thread that computes lets others go on. With Python's own 5 ms, each of the two system calls of an
answer may wait so long for a forecast in another thread: dozens of clients at once waited for 0.4 s."""
COLLECT_AFTER = (10_000, 20, 50)
"""When garbage is looked for. By Python's own rule everything that lives is looked at each second while servers start
by the hundred, for 90 ms each time among 9,000 of them."""
IDLE_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Service:
    """The parts that act, and the application over them."""

    world: World
    reconciler: Reconciler
    shelving: ShelvingDesk
    application: Application


class _Application(Application):
    """An application that answers a body beyond the limit with a sentence."""

    def start_request(self, server_conn: object, request_conn: httputil.HTTPConnection) -> httputil.HTTPMessageDelegate:
        return LimitBodies(super().start_request(server_conn, request_conn), request_conn)


class _OAuthCallback(HubOAuthCallbackHandler):
    """The end of a login, with the application's own connection to the hub's login."""

    def initialize(self) -> None:
        self.hub_auth = self.application.settings["hub_auth"]


def make_service(world: World, *, hub_auth: HubOAuth, spawner_secret: str, accounts: Accounts | None = None) -> Service:
    """Return the service over a world whose writer was started. Cookies are signed by a key made of the hub's token."""
    reconciler = Reconciler(world)
    launcher = Launcher(world, reconciler.settle, reconciler.wake)
    tokens = ReportTokens(hub_auth.api_token)
    desk = SpawnerDesk(world, reconciler.supersede, reconciler.wake, tokens)
    quota_desk = QuotaDesk(world)
    accounts = accounts or HubAccounts(world.settings.hub_url)
    people_desk = PeopleDesk(world, launcher, quota_desk, accounts)
    shelving = ShelvingDesk(world, launcher)
    idle_desk = IdleDesk(world, shelving.order)
    reports = Reports(tokens, lambda: world.writer.projection, world.clock, world.monotonic, world.metrics)
    world.watch.listen_to(reports.latest)
    world.idle.stopping.release = lambda one, why: shelving.release_own(one, actor="idle", why=why)
    trials = Trials(world.monotonic)
    prefix = world.settings.service_prefix
    application = _Application(
        [
            *api_routes(prefix),
            url(prefix + "oauth_callback", _OAuthCallback),
            url("/alive", AliveHandler),
            *pages.routes(prefix),
        ],
        default_handler_class=pages.NotFoundHandler,
        log_function=_log_request,
        world=world,
        launcher=launcher,
        queue_desk=QueueDesk(world, launcher),
        reconciler=reconciler,
        desk=desk,
        reports=reports,
        report_tokens=tokens,
        quota_desk=quota_desk,
        quota_looks=QuotaLooks(world, quota_desk),
        trials=trials,
        idle_trials=IdleTrials(world, trials),
        audit_desk=AuditDesk(world, launcher.viewer),
        shelving=shelving,
        idle_desk=idle_desk,
        idle_looks=IdleLooks(world, idle_desk, reports),
        server_logs=ServerLogs(world.backend),
        map_desk=MapDesk(world),
        usage_desk=UsageDesk(world),
        people_desk=people_desk,
        sheets=Sheets(people_desk, world.clock),
        closing_desk=ClosingDesk(world, launcher, accounts),
        settings=world.settings,
        hub_auth=hub_auth,
        spawner_secret=spawner_secret,
        openapi=make_openapi(prefix),
        cookie_secret=cookie_secret(hub_auth.api_token),
        xsrf_cookies=True,
    )
    return Service(world, reconciler, shelving, application)


def cookie_secret(token: str) -> bytes:
    """Return the key that cookies are signed by, made of the hub's token."""
    return hmac.new(token.encode(), b"mlabhub service cookies", hashlib.sha256).digest()


def make_hub_auth(settings: Settings, token: str) -> HubOAuth:
    """Return the connection to the hub's login."""
    return HubOAuth(**login_options(settings, token))


def login_options(settings: Settings, token: str) -> dict[str, Any]:
    """Return how the service uses the hub's login. A person's groups and rights are asked again after 20 s."""
    return {
        "api_url": settings.hub_url + "api",
        "api_token": token,
        "base_url": settings.service_prefix,
        "hub_prefix": settings.base_url + "hub/",
        "oauth_client_id": CLIENT_ID,
        "oauth_redirect_uri": settings.service_prefix + "oauth_callback",
        "access_scopes": {ACCESS_SCOPE},
        "cache_max_age": 20,
    }


@asynccontextmanager
async def open_world(settings: Settings, *, hub: Hub, backend: Backend | None = None) -> AsyncIterator[World]:
    """Open the ledger, read the catalogue, start the writer; close them in the end, and a backend of our own."""
    ledger = await asyncio.to_thread(open_ledger, settings)
    metrics = Metrics()
    catalog = CatalogSource(settings.config_dir, partial(_load, settings), time.monotonic)
    accounts = MachineAccounts(lambda: catalog().storage, time.monotonic, own_folders=_owns_folders(settings))

    own_backend = None if backend is not None else make_backend(settings, lambda: catalog().kubernetes)
    chosen = backend or own_backend
    assert chosen is not None

    def gpu_types() -> GpuTypes:
        return catalog().gpu_types

    writer = Writer(ledger, time.time, metrics.commit_seconds.time, metrics.count)
    world = World(
        settings=settings,
        ledger=ledger,
        writer=writer,
        hub=hub,
        backend=chosen,
        capacity=ClosingCapacity(
            CapacityCache(chosen.capacity, time.monotonic, gpu_types, _fresh_for(settings)),
            lambda: catalog().quotas,
            time.time,
        ),
        census=Census(writer, ledger, chosen, time.time, gpu_types),
        accounts=accounts,
        catalog=QuotaCatalogue(catalog, writer, time.time),
        clock=time.time,
        make_launch_id=lambda: str(ULID()),
        metrics=metrics,
        disk=DiskUse(time.monotonic, partial(room_of, state_dir=str(settings.state_dir))),
        samples=SqlSamples(ledger),
        usage=SqlUsage(ledger),
    )
    await world.writer.start()
    watching = asyncio.create_task(catalog.watch(), name="catalogue")
    notifier = open_notifier(
        settings,
        writer,
        lambda: catalog().quotas.privacy,
        metrics,
        time.time,
        idle_told=world.idle.delivery.taken,
    )
    try:
        async with notifier as world.news:
            world.unused_after_s = world.news.unused_after_s
            yield world
    finally:
        watching.cancel()
        await world.watch.close()
        await world.fetcher.close()
        await world.writer.stop()
        if own_backend is not None:
            await own_backend.close()
        accounts.close()
        ledger.close()


def _load(settings: Settings, folder: Path) -> Catalog:
    """Return the folder's catalogue as it is for this installation, if it fits."""
    catalog = load_catalog(folder).located(str(settings.nas_dir))
    if settings.backend != "kube":
        catalog = catalog.without_egress()
    # Whatever images say, plain processes have what is on the machine.
    return catalog.with_tools(find_tools()) if settings.backend == "process" else catalog


async def serve(
    settings: Settings, *, hub: Hub | None = None, backend: Backend | None = None, hub_auth: HubOAuth | None = None
) -> None:
    """Run until SIGTERM or SIGINT. Raises `MLabError` when it cannot start."""
    token, secret = _read_secret(settings.service_token_file), _read_secret(settings.spawner_secret_file)
    with only_one(settings):
        own_hub = None if hub is not None else HubClient(settings.hub_url, token)
        chosen = hub or own_hub
        assert chosen is not None
        async with open_world(settings, hub=chosen, backend=backend) as world:
            login = hub_auth or make_hub_auth(settings, token)
            service = make_service(world, hub_auth=login, spawner_secret=secret)
            server = _listen(service.application, settings)
            tasks = [asyncio.create_task(run(), name=name) for name, run in loops_of(service).items()]
            gc.freeze()  # what is loaded stays: collections need not look at it again
            gc.set_threshold(*COLLECT_AFTER)
            sys.setswitchinterval(SWITCH_S)
            log.info("The service listens on %s", settings.service_url)
            await _until_stopped()
            server.stop()
            for task in tasks:
                task.cancel()
            await server.close_all_connections()
        if own_hub is not None:
            await own_hub.close()


def loops_of(service: Service) -> dict[str, Callable[[], Coroutine[Any, Any, None]]]:
    """Return what goes on all the time beside the answers to requests, by name."""
    world = service.world
    return {
        "reconciler": service.reconciler.run,
        "queue": world.queue.run,
        "idle": world.idle.run,
        "history": world.forecasts.history.run,
        "forecasts": world.forecasts.run,
        "nudging": Nudging(world, world.unused_after_s).run,
        "shelving": service.shelving.run,
        "quota notes": world.quota_notes.run,
        "watch": world.watch.run,
        "disk count": partial(world.disk_count.run, world),
        "usage": world.usage_loop.run,
    }


def only_one(settings: Settings) -> FileLock:
    """Return the lock on this installation's ledger, taken. Raises `MLabError` if another service has it."""
    settings.run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = FileLock(settings.run_dir / "service.lock", mode=0o600)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise MLabError(
            Message.of(
                N_("Another service uses the ledger of {folder} already. Stop that one first; there can be only one."),
                folder=str(settings.state_dir),
            )
        ) from None
    return lock


def _listen(application: Application, settings: Settings) -> HTTPServer:
    server = HTTPServer(
        application,
        xheaders=True,
        trusted_downstream=["127.0.0.1", "::1"],
        body_timeout=BODY_TIMEOUT_S,
        idle_connection_timeout=IDLE_TIMEOUT_S,
        max_header_size=64 * 1024,
    )
    try:
        server.listen(settings.service_port, settings.service_host)
    except OSError as error:
        raise MLabError(
            Message.of(
                N_("Port {port} cannot be used ({reason}). End the program that has it, or start with another --port."),
                port=settings.service_port,
                reason=error.strerror or str(error),
            )
        ) from error
    return server


async def _until_stopped() -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await stopped.wait()


def _fresh_for(settings: Settings) -> float:
    """Return for how many seconds it need not be asked again what there is."""
    return WATCHED_S if settings.backend == "kube" else FRESH_S


def _owns_folders(settings: Settings) -> bool:
    """Return whether servers run under their users' own numbers, so that folders' owners mean something."""
    return settings.backend == "container" and not settings.engine_rootless


def _read_secret(file: Path) -> str:
    try:
        secret = file.read_text().strip()
    except OSError as error:
        raise InvalidConfiguration(
            Message.of(
                N_("The secret {file} cannot be read ({reason}). `mlabhub up` makes it; run that first."),
                file=str(file),
                reason=error.strerror or str(error),
            )
        ) from error
    if len(secret) < 16:
        raise InvalidConfiguration(
            Message.of(N_("The secret {file} is too short. Remove it; `mlabhub up` makes a new one."), file=str(file))
        )
    return secret


def _log_request(handler: RequestHandler) -> None:
    status = handler.get_status()
    level = logging.ERROR if status >= 500 and status != 503 else logging.INFO if status >= 400 else logging.DEBUG
    request = handler.request
    log.log(level, "%d %s %s %.1f ms", status, request.method, request.path, 1000 * request.request_time())
