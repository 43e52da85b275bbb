"""Images that somebody chose and the machine lacks: built from our recipes or pulled, once, for all who wait.

Guarantees: there is one job per image, however many launches want it; it outlives the page that asked for it; nothing
is reserved meanwhile; it ends in bounded time; why it failed is kept, in words, for whoever asks next, and a later ask
tries anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from mlabhub.core.profiles import LaunchRequest
from mlabhub.engine.origin import WantedImage
from mlabhub.errors import LaunchRefused, MLabError, Unavailable
from mlabhub.images import load_recipes
from mlabhub.inventory.images import Images, Missing, Report, may_be_pulled
from mlabhub.messages import N_, Message
from mlabhub.service.patience import soon
from mlabhub.site import shown

log = logging.getLogger(__name__)
LONGEST_S = 2 * 3600.0
FAILED_S = 60.0
"""How long a failure is told before an ask tries anew."""
HERE_S = 10.0
"""How long an image that was seen counts as here."""
AT_ONCE = 2
MOST_WAITING = 20
"""Images that are being fetched or wait for it; a person may type in any number of names."""
MOST_TYPED = 3
"""Of these, the ones that one person typed in: the catalogue's must not wait for them."""
_STEP = re.compile(r"STEP (\d+)/(\d+)|\[ *(\d+)/(\d+)\]")

Build = Callable[[str, Report], Awaitable[None]]


@dataclass(frozen=True)
class FetchView:
    """How far the fetching of an image is. ``percent`` and ``seconds_left`` are None while they are not known."""

    image: str
    state: Literal["fetching", "failed"]
    step: Message
    started: float
    percent: float | None = None
    seconds_left: float | None = None


class ImageFetching(LaunchRefused):
    """The image is not on this machine; it is being fetched, or could not be."""

    code = "image_missing"

    def __init__(self, view: FetchView):
        self.view = view
        super().__init__(
            say(view),
            code="image_missing" if view.state == "fetching" else "image_not_fetched",
            key="image",
            image=view.image,
            fetch=describe(view),
        )


def describe(view: FetchView) -> dict[str, Any]:
    """Return how far it is, for the API."""
    return {
        "state": view.state,
        "percent": None if view.percent is None else round(view.percent),
        "step": str(view.step),
        "seconds_left": None if view.seconds_left is None else round(view.seconds_left),
    }


def say(view: FetchView) -> Message:
    """Return the sentence for a person."""
    if view.state == "failed":
        return Message.of(
            N_("The image {image} could not be fetched: {reason} Start again in a minute to try once more."),
            image=view.image,
            reason=view.step,
        )
    if view.percent is None:
        return Message.of(
            N_("The image {image} is being fetched ({step}). Nothing is reserved; start again when it is here."),
            image=view.image,
            step=view.step,
        )
    if view.seconds_left is None:
        return Message.of(
            N_("The image {image} is being fetched: {percent} % ({step}). Start again when it is here."),
            image=view.image,
            percent=round(view.percent),
            step=view.step,
        )
    return Message.of(
        N_("The image {image} is being fetched: {percent} %, about {minutes} min. Start again when it is here."),
        image=view.image,
        percent=round(view.percent),
        minutes=max(1, round(view.seconds_left / 60)),
    )


class ImageFetcher:
    """Fetches what launches lack. ``images`` None: servers have none, and nothing is ever missing."""

    def __init__(self, images: Images | None, clock: Callable[[], float], build: Build | None = None):
        self._images = images
        self._clock = clock
        self._build = build or build_image
        self._views: dict[str, FetchView] = {}
        self._ended: dict[str, float] = {}
        self._here: dict[str, float] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._typed_by: dict[str, str] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def require(self, request: LaunchRequest) -> None:
        """Return if a launch has its image. Raises `ImageFetching` if it is missing, and fetches it."""
        if self._images is None:
            return
        wanted = WantedImage(
            request.user, request.server_name, request.image, request.image_reference, request.image_kind
        )
        shared = request.image_kind != "saved"
        if shared and self._clock() - self._here.get(request.image_reference, -HERE_S) < HERE_S:
            return
        try:
            missing = await soon(self._images.missing(wanted), launch=True)
        except Unavailable as error:
            log.warning("Whether %s is here cannot be known: %s", request.image, error.log_text)
            return  # the spawner finds out, and says so
        if missing is None:
            if shared:
                self._here[request.image_reference] = self._clock()
            return
        raise ImageFetching(self._fetch(wanted))

    def view(self, image: str) -> FetchView | None:
        """Return how far an image is; None if nobody fetches it."""
        view = self._views.get(image)
        if view is None or view.state == "failed" or not view.percent:
            return view
        spent = self._clock() - view.started
        return replace(view, seconds_left=spent * (100 - view.percent) / view.percent if spent > 5 else None)

    def views(self) -> dict[str, FetchView]:
        """Return all that is being fetched, or could not be, by image."""
        return {name: view for name in self._views if (view := self.view(name)) is not None}

    async def close(self) -> None:
        """Stop fetching. What was built or fetched so far is not lost."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _fetch(self, wanted: WantedImage) -> FetchView:
        name, now = wanted.name, self._clock()
        known = self.view(name)
        if known is not None and (known.state == "fetching" or now - self._ended.get(name, 0.0) < FAILED_S):
            return known
        if len(self._tasks) >= MOST_WAITING:
            raise LaunchRefused(N_("Too many images are being fetched already. Try again in a few minutes."))
        if wanted.kind == "typed":
            if list(self._typed_by.values()).count(wanted.user) >= MOST_TYPED:
                raise LaunchRefused(
                    Message.of(
                        N_("{most} images that you typed in are being fetched already. Try again when one is here."),
                        most=MOST_TYPED,
                    )
                )
            self._typed_by[name] = wanted.user
        self._forget_failures()
        started = FetchView(name, "fetching", Message(N_("waiting for its turn")), now)
        self._views[name] = started
        task = asyncio.create_task(self._run(wanted), name=f"fetch {name}")
        self._tasks[name] = task
        task.add_done_callback(lambda _: self._over(name))
        return started

    def _over(self, name: str) -> None:
        self._tasks.pop(name, None)
        self._typed_by.pop(name, None)

    async def _run(self, wanted: WantedImage) -> None:
        name = wanted.name

        def report(percent: float | None, step: Message) -> None:
            self._views[name] = replace(self._views[name], percent=percent, step=step)

        try:
            async with self._slots:
                await asyncio.wait_for(self._get(wanted, report), LONGEST_S)
            del self._views[name]
            log.info("The image %s was fetched", name)
        except MLabError as error:
            self._failed(name, error.message, error.log_text)
        except asyncio.TimeoutError:
            self._failed(name, Message.of(N_("it took longer than {hours} hours."), hours=LONGEST_S / 3600), "too long")
        except Exception as error:
            log.exception("The image %s could not be fetched", name)
            self._failed(name, Message(N_("the service made a mistake; its log has the details.")), str(error))

    def _forget_failures(self) -> None:
        old = [name for name, ended in self._ended.items() if self._clock() - ended > 10 * FAILED_S]
        for name in old:
            del self._ended[name]
            if name not in self._tasks:
                self._views.pop(name, None)

    def _failed(self, name: str, why: Message, log_text: str) -> None:
        log.warning("The image %s could not be fetched: %s", name, log_text)
        self._views[name] = replace(self._views[name], state="failed", step=why, seconds_left=None)
        self._ended[name] = self._clock()

    async def _get(self, wanted: WantedImage, report: Report) -> None:
        """Fetch one thing after the other until nothing is missing; an image may turn out to need something added."""
        assert self._images is not None
        done: set[Missing] = set()
        while (missing := await self._images.missing(wanted)) is not None:
            if missing in done:
                raise MLabError(N_("it was fetched, but the engine does not have it."))
            done.add(missing)
            if missing.packed:
                report(None, Message(N_("unpacking the tools that are added to images from elsewhere")))
                await self._images.unpack()
            elif (recipe := recipe_of(missing.reference)) is not None:
                await self._build(recipe, report)
            elif may_be_pulled(missing.reference):
                report(None, Message(N_("asking the registry")))
                await self._images.pull(missing.reference, report)
            else:
                raise LaunchRefused(
                    Message.of(
                        N_("{reference} names no registry, and no recipe makes it. Tell an administrator."),
                        reference=missing.reference,
                    )
                )


def recipe_of(reference: str) -> str | None:
    """Return the name of our recipe that makes this image."""
    made = (recipe.name for recipe in load_recipes().values() if recipe.reference in {reference, f"{reference}:latest"})
    return next(made, None)


async def build_image(name: str, report: Report) -> None:
    """Run ``mlabhub image build``, in a process of its own that ends with us. Raises `MLabError`."""
    report(None, Message.of(N_("building {name}"), name=name))
    program = str(Path(sys.executable).with_name("mlabhub"))
    process = await asyncio.create_subprocess_exec(
        program,
        "image",
        "build",
        name,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    last = ""
    try:
        async for raw in process.stdout:
            # Whoever waits reads it, and clients name addresses whole: with the site's passwords.
            last = shown(raw.decode(errors="replace").strip()) or last
            if (at := read_step(last)) is not None:
                step, steps = at
                words = Message.of(N_("building {name}, step {step} of {steps}"), name=name, step=step, steps=steps)
                report(100 * (step - 1) / steps, words)
        if await process.wait():
            raise MLabError(last.removeprefix("mlabhub: "), log_text=f"mlabhub image build {name}: {last}")
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            await process.wait()


def read_step(line: str) -> tuple[int, int] | None:
    """Return how far a build is, as a step and how many there are; None for a line that tells no step."""
    match = _STEP.search(line)
    if match is None:
        return None
    step, steps = (int(number) for number in match.groups() if number)
    return (step, steps) if 0 < step <= steps else None
