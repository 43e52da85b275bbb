"""The last launch in one click: what it was, whether it can be had again, and what has changed since if not.

Guarantees: what was launched once is judged anew by the same gate; nothing that has changed is replaced silently.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from mlabhub.core.profiles import LaunchRequest
from mlabhub.i18n import N_, Translator
from mlabhub.messages import Message
from mlabhub.service.pages.choices import as_arguments
from mlabhub.service.pages.forecast import Forecast, make_forecast
from mlabhub.service.pages.words import gpus_text, server_title, size_text
from mlabhub.service.views import PastLaunch, Preview, ServerView

MOST_CHANGES = 6

Ask = Callable[[Sequence[dict[str, Any]]], Awaitable[tuple[Preview, ...]]]


@dataclass(frozen=True)
class Mended:
    """The options of an earlier launch as they can be had now, and why some of them cannot."""

    options: Mapping[str, Any]
    preview: Preview
    lost: tuple[Message, ...]


@dataclass(frozen=True)
class Again:
    """An earlier launch to repeat. ``fields`` are the form that starts it in one click, or queues for it.

    They are empty where neither can be.
    """

    text: str
    server: str
    at: datetime
    forecast: Forecast
    lost: tuple[str, ...]
    fields: Mapping[str, str]
    url: str


async def mend(ask: Ask, options: dict[str, Any], successors: Mapping[str, str]) -> Mended:
    """Return the options without those that cannot be chosen any more; without its profile, nothing is left of it.

    Of images, ``successors`` take the place.
    """
    lost: list[Message] = []
    (preview,) = await ask([options])
    while preview.request is None and len(lost) < MOST_CHANGES:
        lost += [reason.message for reason in preview.reasons]
        less = _without(options, preview.key)
        if less is None:
            break
        if preview.key == "image" and (successor := successors.get(str(options["image"]))):
            less = {**less, "image": successor}
        options = less
        (preview,) = await ask([options])
    return Mended(options, preview, tuple(lost))


def _without(options: dict[str, Any], key: str) -> dict[str, Any] | None:
    """Return the options without one of them; None if it is not one that has a default."""
    further = options.get("options")
    if isinstance(further, Mapping) and key in further:
        return {**options, "options": {slug: value for slug, value in further.items() if slug != key}}
    if key == "profile" or key not in options:
        return None
    return {name: value for name, value in options.items() if name != key}


def make_again(
    past: PastLaunch,
    mended: Mended,
    servers: Sequence[ServerView],
    *,
    t: Translator,
    simulated: bool,
    title: Callable[[str], str],
    url: Callable[..., str],
    now: datetime | None = None,
) -> Again:
    """Say an earlier launch. One click starts the same server or queues for it, if it is stopped and nothing was lost.

    ``now`` is needed to say how long it would wait.
    """
    arguments = as_arguments(mended.options)
    server = next((one for one in servers if one.server_name == past.server_name), None)
    same = {"server": past.server_name} if past.server_name else {}
    stopped = server is None or server.state == "stopped"
    startable = stopped and mended.preview.state in ("now", "later") and not mended.lost
    name = {"name": past.display_name} if past.display_name and not (server and stopped) else {}
    return Again(
        text=_text(mended.preview.request, t, simulated, title),
        server=server_title(t, past),
        at=datetime.fromtimestamp(past.at, timezone.utc).astimezone(),
        forecast=make_forecast(mended.preview, t, simulated=simulated, now=now),
        lost=tuple(t.say(message) for message in mended.lost),
        fields={**arguments, **same, **name} if startable else {},
        url=url(**arguments, **(same if server and stopped else {})),
    )


def _text(request: LaunchRequest | None, t: Translator, simulated: bool, title: Callable[[str], str]) -> str:
    if request is None:
        return ""
    size = size_text(request.cpu, request.memory_gib, gpus_text(t, request.gpus, request.gpu_type, simulated))
    return t(N_("{size} · {image}"), size=size, image=title(request.image))
