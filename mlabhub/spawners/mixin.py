"""The gate that every start passes, the same for all backends; put it before an ecosystem's own spawner.

Guarantees: no start without a reservation, and none with an amount, image or path that the service's plan does not
name: `user_options` reach the service and nothing else. Every refusal is a `SpawnException` with a sentence. A
reservation is given back only when nothing of the server is left; where that is not known the service's reconciler
finds out. After a restart of the hub a server is known again by `launch_id`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any

from jupyterhub.spawner import SpawnException
from jupyterhub.utils import maybe_future
from tornado import web
from traitlets import Any as AnyTrait
from traitlets import Float, default
from traitlets.config import LoggingConfigurable
from ulid import ULID

from mlabhub.client import ServiceClient
from mlabhub.core.forms import read_query
from mlabhub.core.names import is_server_name
from mlabhub.core.plan import LaunchPlan
from mlabhub.core.quote import quote
from mlabhub.errors import InvalidLaunch, LaunchRefused, MLabError, NotNow, Unavailable
from mlabhub.logs import about
from mlabhub.messages import N_, Message, message_json
from mlabhub.settings import Settings, load_settings
from mlabhub.spawners import reporting
from mlabhub.spawners.answering import answers, place_of
from mlabhub.spawners.endings import Ending, say_ending
from mlabhub.spawners.progress import Progress
from mlabhub.spawners.refusal import make_refusal

if TYPE_CHECKING:
    from jupyterhub.spawner import Spawner as Base
else:
    # Not a Spawner: KubeSpawner's own base classes must come before that one.
    Base = LoggingConfigurable

GRACE_SECONDS = 60.0
"""How long after its time-outs a start may still come to something."""
LOOK_SECONDS = 0.5
"""How often the backend is asked whether a server that does not answer yet still runs."""
FOREVER_SECONDS = 10**8
_STATE = "mlabhub"


def ignore_user_options(spawner: Any, user_options: Any) -> None:
    """Apply no option to the spawner: they are the service's to read."""


class Shared:
    """What all spawners of one hub share: settings and the client of the service."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.service = ServiceClient.from_settings(settings)


class MLabSpawnerMixin(Base):
    """Redeem or ask for admission, start exactly what was planned, give it back."""

    backend = ""
    """The backend's name in our API."""

    user_options = AnyTrait(default_value={})
    """Not a Dict: what a request sends instead of one is refused in words, by the gate."""

    up_interval = Float(0.1, help="Seconds between two looks at whether a started server answers.").tag(config=True)

    answer_timeout = Float(
        120, help="Seconds within which a server must answer once it runs; pulling an image does not count."
    ).tag(config=True)

    _shared: Shared | None = None
    _usual_http_timeout: int | None = None
    _background: set[asyncio.Task[None]] = set()  # noqa: RUF012 - one for all spawners: tasks outlive their spawner

    @default("apply_user_options")
    def _ignore_user_options(self) -> Callable[..., None]:
        return ignore_user_options

    @default("options_from_form")
    def _read_options(self) -> Callable[..., dict[str, Any]]:
        return read_query

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.launch_id = ""
        self.gpus: tuple[str, ...] = ()
        self.spent: dict[str, float] = {}
        self._progress = Progress()
        self._notes: tuple[Message, ...] = ()
        self._left_over = self._served = False
        self._give_up = 0.0
        super().__init__(*args, **kwargs)

    # -- what a backend says about itself

    async def apply_plan(self, plan: LaunchPlan) -> None:
        """Prepare the start of exactly this plan."""
        raise NotImplementedError

    def get_env(self) -> dict[str, str]:
        """Return what the hub says to the server, and where and how often it tells whether somebody works in it."""
        environment: dict[str, str] = super().get_env()
        return {**environment, **reporting.make_environment(self.shared.settings, self.hub_connect_url)}

    async def verify_start(self, plan: LaunchPlan) -> None:
        """Look whether what was started has what the plan gives it. Raises `MLabError` if not."""

    async def last_words(self) -> str:
        """Return the end of the server's log, for when it ended too early."""
        return ""

    async def ending(self) -> Ending | None:
        """Return how a server ended by itself; None if that is not known."""
        return None

    async def discard(self) -> None:
        """Stop and remove whatever there is of this server, keeping what was installed. Idempotent."""
        raise NotImplementedError

    @classmethod
    def share(cls, settings: Settings) -> Shared:
        """Return what this hub's spawners share."""
        return Shared(settings)

    @property
    def shared(self) -> Any:
        """What this hub's spawners share, made at first use."""
        cls = type(self)
        if cls._shared is None:
            cls._shared = cls.share(load_settings())
        return cls._shared

    # -- start

    async def start(self) -> Any:
        """Pass the gate and start what it admitted. Raises `SpawnException`."""
        self._progress = Progress()
        self._notes = ()
        self.spent = {}
        # Somewhat before the hub does, which would stop what is still being started.
        self._give_up = time.monotonic() + self.start_timeout - 5
        self.launch_id, self.gpus, self._left_over, self._served = "", (), False, False
        if self._usual_http_timeout is not None:
            self.http_timeout, self._usual_http_timeout = self._usual_http_timeout, None
        try:
            with about(user=self.user.name, server=self.name):
                return await self._start_admitted()
        except (SpawnException, asyncio.CancelledError):
            raise
        except MLabError as error:
            raise make_refusal(error) from error
        except Exception as error:
            with self._about():
                self.log.exception("mlabhub: the start of %s failed", self._log_name)
            sentence = N_("The server could not be started; the reason is in the hub's log. Tell an administrator.")
            raise make_refusal(MLabError(sentence, log_text=f"{type(error).__name__}: {error}")) from error

    def _about(self) -> contextlib.AbstractContextManager[None]:
        """Name this server in the lines that are logged meanwhile."""
        return about(user=self.user.name, server=self.name, launch_id=self.launch_id)

    async def _start_admitted(self) -> Any:
        with self._phase("gate"):
            plan = await self._pass_gate()
        try:
            with self._phase("plan"):
                await self.apply_plan(plan)
            self._progress.add(40, Message(N_("Starting the server")))
            with self._phase("start"):
                address = await super().start()
            with self._phase("verify"):
                await self.verify_start(plan)
            self._progress.add(60, Message(N_("Waiting for it to answer")))
            with self._phase("jupyter"):
                await self._wait_until_up(address)
            with self._phase("held"):
                await self.shared.service.held(self.user.name, self.name, self.launch_id, self._notes)
        except asyncio.CancelledError:
            # The hub gives a start that it interrupts one second to end, and stops what there is of it itself.
            self._later(self._undo())
            raise
        except BaseException as error:
            why = error.message if isinstance(error, MLabError) else None
            await self._undo(why, passing=isinstance(error, Unavailable | NotNow))
            raise
        self._progress.add(95, Message(N_("It answers")))
        with self._about():
            self.log.info("mlabhub: %s runs as launch %s; %s", self._log_name, self.launch_id, self._times())
        return address

    async def _pass_gate(self) -> LaunchPlan:
        self._progress.add(5, Message(N_("Asking for a place")))
        check_is_name(self.name)
        options = check_is_object(self.user_options)
        named = options.get("launch_id")
        launch_id = named if isinstance(named, str) and named else str(ULID())
        admission = await self.shared.service.reserve(
            self.user.name,
            self.name,
            launch_id=launch_id,
            user_options=options,
            groups=tuple(sorted(group.name for group in self.user.groups)),
            backend=self.backend,
            deadline_s=self.start_timeout + self.http_timeout + GRACE_SECONDS,
        )
        if not admission.admitted or admission.plan is None:
            raise LaunchRefused(admission.sentence or N_("The launch was refused without a reason."))
        plan: LaunchPlan = admission.plan
        self.launch_id, self.gpus, self._left_over = plan.launch_id, plan.gpus, True
        self._forget_redeemed(options)
        if plan.gpus:
            what = Message.of(N_("Admitted, with {gpus} GPUs"), gpus=len(plan.gpus))
        else:
            what = Message(N_("Admitted"))
        self._progress.add(15, what)
        return plan

    def _note(self, note: Message) -> None:
        """Say now in the log and in the start's progress, and later on the pages, what its owner is to know."""
        self.log.warning("mlabhub: %s starts: %s", self._log_name, note)
        self._progress.add(20, note)
        self._notes += (note,)

    def _forget_redeemed(self, options: dict[str, Any]) -> None:
        """Store the options without the launch that is used now: the hub replays them when it is asked without any."""
        if "launch_id" in options:
            self.user_options = {key: value for key, value in options.items() if key != "launch_id"}
            self.orm_spawner.user_options = self.user_options
            self.user.db.commit()

    async def _wait_until_up(self, address: Any) -> None:
        """Return when the server answers. Raises with its last words if it ended instead, or takes too long."""
        host, port = place_of(address)
        give_up = min(self._give_up, time.monotonic() + self.answer_timeout)
        began = looked = time.monotonic()
        while True:
            answered = await answers(host, port, self.server.base_url)
            if answered or time.monotonic() > looked + LOOK_SECONDS:
                # Also after an answer: where a container is gone its address leads elsewhere, and something may answer.
                await self._check_alive()
                looked = time.monotonic()
            if answered:
                return
            if time.monotonic() > give_up:
                template = N_("The server did not answer within {seconds} seconds. Its last words: {words}")
                words = await self.last_words() or "-"
                raise LaunchRefused(
                    Message.of(template, seconds=round(time.monotonic() - began), words=words), code="too_slow"
                )
            await asyncio.sleep(self.up_interval)

    async def _check_alive(self) -> None:
        status = await self.poll()
        if status is not None:
            raise LaunchRefused(await self._ended_early(status), code="ended_early")

    async def _ended_early(self, status: Any) -> Message:
        template = N_("The server ended right after its start ({status}). Its last words: {words}")
        return Message.of(template, status=status, words=await self.last_words() or "-")

    async def _undo(self, why: Message | None = None, *, passing: bool = False) -> None:
        """Leave nothing of what is over; if that is not possible now, the reservation stays for the reconciler.

        ``why`` is the sentence for its owner; ``passing``: the same may start later, as it stands.
        """
        launch_id = self.launch_id
        try:
            await self.discard()
        except (MLabError, OSError) as error:
            with self._about():
                self.log.warning("mlabhub: what is left of launch %s stays for the reconciler: %s", launch_id, error)
        else:
            if self.launch_id == launch_id:
                self._gone(why, passing=passing)

    # -- stop

    async def stop(self, now: bool = False) -> None:
        """Stop the server and leave nothing of it but what was installed."""
        try:
            await self.discard()
        except MLabError as error:
            with self._about():
                self.log.warning("mlabhub: %s could not be stopped: %s", self._log_name, error.log_text)
            # What is left stays for the reconciler: `run_post_stop_hook` would only wait as long again.
            self._left_over = False
            refusal = web.HTTPError(error.status, error.log_text)
            refusal.jupyterhub_message = str(error.message)  # type: ignore[attr-defined]
            raise refusal from error
        self._gone(served=self._served)

    def add_poll_callback(self, callback: Any, *args: Any, **kwargs: Any) -> None:
        """The hub asks for this as soon as people are let in: from then on a stop is none of a start gone wrong."""
        self._served = True
        super().add_poll_callback(callback, *args, **kwargs)

    async def run_post_stop_hook(self) -> None:
        """Clean up after a server that ended by itself and say why, then run the site's own hook."""
        if self._left_over:
            ending = await self._how_it_ended()
            await self._undo(say_ending(ending) if ending else None)
        await maybe_future(super().run_post_stop_hook())

    async def _how_it_ended(self) -> Ending | None:
        try:
            return await self.ending()
        except MLabError as error:
            self.log.warning("mlabhub: how %s ended is not known: %s", self._log_name, error.log_text)
            return None

    def _gone(self, why: Message | None = None, *, passing: bool = False, served: bool = False) -> None:
        """Give the reservation back without waiting for the answer: the reconciler guarantees it."""
        launch_id, self.launch_id, self.gpus, self._left_over = self.launch_id, "", (), False
        if launch_id:
            self._later(self._release(launch_id, why, passing, served))

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something that nobody waits for."""
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _release(self, launch_id: str, why: Message | None, passing: bool, served: bool) -> None:
        try:
            about_it = self.user.name, self.name, launch_id
            await self.shared.service.released(*about_it, reason=why, passing=passing, served=served)
        except MLabError as error:
            self.log.warning("mlabhub: launch %s could not be given back, the reconciler will: %s", launch_id, error)

    # -- state

    def get_state(self) -> dict[str, Any]:
        """Return what a restarted hub needs to know the server again."""
        state: dict[str, Any] = super().get_state()
        if self.launch_id:
            state[_STATE] = {"launch_id": self.launch_id, "gpus": list(self.gpus)}
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        """Know a server again that an earlier hub started."""
        super().load_state(state)
        ours = state.get(_STATE) or {}
        self.launch_id = str(ours.get("launch_id", ""))
        self.gpus = tuple(ours.get("gpus", ()))
        self._left_over = bool(self.launch_id)
        if self.launch_id and self._usual_http_timeout is None:
            # A restarted hub stops what does not answer within this time. A server that hangs, say on its NAS, has work
            # in it: only `start` goes back to the usual time.
            self._usual_http_timeout, self.http_timeout = self.http_timeout, FOREVER_SECONDS

    # -- what a person sees of it

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """Yield what the start is doing: ``message`` for the hub's pages, ``said`` for ours, in any language."""
        async for step in self._progress.follow():
            yield {"progress": step.percent, "message": str(step.message), "said": message_json(step.message)}

    @contextlib.contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.spent[name] = self.spent.get(name, 0.0) + time.monotonic() - began

    def _times(self) -> str:
        return ", ".join(f"{name} {seconds * 1000:.0f} ms" for name, seconds in self.spent.items())


def check_is_name(name: str) -> None:
    """Refuse a server's name that only the hub's own API lets through. Raises `InvalidLaunch`."""
    if name and not is_server_name(name):
        raise InvalidLaunch(
            Message.of(
                N_("{name} cannot be a server's name: use a to z, 0 to 9 and single dashes, 1 to 30, a letter first."),
                name=quote(name),
            )
        )


def check_is_object(options: Any) -> dict[str, Any]:
    """Return launch options that can be sent on. Raises `InvalidLaunch`."""
    if options is None:
        return {}
    if not isinstance(options, dict):
        raise InvalidLaunch(
            Message.of(
                N_("user_options must be an object of names and values, not {kind}."), kind=type(options).__name__
            )
        )
    try:
        json.dumps(options, allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidLaunch(
            Message(N_("user_options has a number that is none, such as NaN or Infinity. Give a finite number.")),
            log_text=str(error),
        ) from error
    return options
