"""What launches would be answered at this moment: one, or every choice that a person has.

Guarantees: pure; nothing is reserved, nobody is noted as waiting; every answer is the decision that a launch would get,
in the words that the viewer may read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mlabhub.core.admission import NOTHING, Capacity, Decision, Holdings, Standing, Viewer, Waiting, decide
from mlabhub.core.borrowing import borrowed_note
from mlabhub.core.forecast import Forecast, forecast
from mlabhub.core.options import NumberOption
from mlabhub.core.profiles import Catalog, LaunchRequest, Profile, visible_profiles
from mlabhub.core.reasons import Reason
from mlabhub.core.resolve import resolve
from mlabhub.core.tools import WORKBENCH
from mlabhub.errors import MLabError
from mlabhub.service.forecasts import NOTHING_SEEN, Seen
from mlabhub.service.views import ChoiceView, Preview, PreviewAnswer

MOST_CHOICES = 500


@dataclass(frozen=True)
class Scene:
    """What previews stand on: one state of the hub, for a user's launches, as one viewer may see it.

    ``kept_images`` are retired ones by server, ``seen`` is when those who wait start, ``standing`` what is promised to
    them; ``known`` are decisions that were made on this state.
    """

    catalog: Catalog
    user: str
    groups: Sequence[str]
    viewer: Viewer
    holdings: Holdings
    queue: Sequence[Waiting]
    capacity: Capacity
    now: float
    kept_images: Mapping[str, str] = field(default_factory=dict)
    seen: Seen = NOTHING_SEEN
    standing: Standing = NOTHING
    known: dict[tuple[object, ...], Decision] = field(default_factory=dict)


def make_preview(scene: Scene, user_options: object, server_name: str = "", *, nearest: bool = False) -> Preview:
    """Return what a launch would be answered; with ``nearest``, also what starts now if this does not."""
    present = scene.capacity.gpu_types
    try:
        request = resolve(
            scene.catalog,
            scene.user,
            scene.groups,
            user_options,
            server_name,
            present=present,
            kept_images=[slug for server, slug in scene.kept_images.items() if server == server_name],
        )
    except MLabError as error:
        return Preview(False, (Reason(error.code, error.message),), None, str(error.data.get("key", "")))
    told = _forecast(scene, request, nearest)
    return Preview(
        starts_now=told.state == "now",
        reasons=told.decision.reasons,
        request=request,
        state=told.state,
        notes=_notes(scene, request, told),
        nearest=told.nearest.changes if told.nearest else None,
        advice=told.advice if nearest else None,
        possible=told.possible.changes if told.possible else None,
        wait=scene.seen.wait_for(request) if told.state == "later" else None,
        borrows=borrows(told.decision.notes),
    )


def _notes(scene: Scene, request: LaunchRequest, told: Forecast) -> tuple[Reason, ...]:
    """Return what to know of a launch that starts, or waits: who borrows is told so before."""
    if told.state != "later":
        return told.decision.notes
    note = borrowed_note(request, request.gpu_type, scene.catalog.quotas, scene.holdings)
    return told.decision.notes if note is None else (*told.decision.notes, note)


def with_every_choice(scene: Scene, user_options: Mapping[str, Any], preview: Preview) -> PreviewAnswer:
    """Return the preview and the forecasts for every profile, type and number of GPUs that the person may choose.

    CPU, memory and the rest are the profiles' defaults; who pays is as in ``user_options``.
    """
    payer = user_options.get("group")
    options = {"group": payer} if isinstance(payer, str) and payer in scene.groups else {}
    views: list[ChoiceView] = []
    left_out = 0
    for request in _requests(scene, options):
        if len(views) >= MOST_CHOICES:
            left_out += 1
            continue
        decision = _decide_once(scene, request)
        state = Forecast(decision).state
        choice = request.profile, request.gpu_type, request.gpus
        wait = scene.seen.wait_for(request) if state == "later" else None
        views.append(ChoiceView(*choice, state, decision.reasons, decision.notes, wait, borrows(decision.notes)))
    return PreviewAnswer(**vars(preview), choices=tuple(views), choices_left_out=left_out)


def borrows(notes: Sequence[Reason]) -> bool:
    """Return whether what starts may be taken back, as its notes say."""
    return any(note.code == "borrowed" for note in notes)


def _forecast(scene: Scene, request: LaunchRequest, nearest: bool) -> Forecast:
    if not nearest and request.gpu_ids is None:
        return Forecast(_decide_once(scene, request))
    catalog = scene.catalog
    profile = catalog.profiles_by_slug[request.profile]
    about = scene.holdings, scene.queue, scene.capacity, scene.now, scene.viewer
    return forecast(request, profile, catalog.quotas, *about, nearest=nearest, standing=scene.standing)


def _decide_once(scene: Scene, request: LaunchRequest) -> Decision:
    """Return the decision on a request without named GPUs: many profiles come to the same amounts."""
    key = (
        *(request.gpu_type, request.gpus, request.cpu, request.memory_gib, request.group),
        *(request.reclaimable, request.notice_seconds),
    )
    if key not in scene.known:
        scene.known[key] = _decide(scene, request)
    return scene.known[key]


def _decide(scene: Scene, request: LaunchRequest) -> Decision:
    quotas = scene.catalog.quotas
    about = scene.holdings, scene.queue, scene.capacity, scene.now, scene.viewer, scene.standing
    return decide(request, quotas, *about)


def _requests(scene: Scene, options: Mapping[str, Any]) -> Iterator[LaunchRequest]:
    present = scene.capacity.gpu_types
    for profile in visible_profiles(scene.catalog, scene.groups):
        if profile.kind != WORKBENCH:
            continue
        chosen = {**options, "profile": profile.slug}
        try:
            usual = resolve(scene.catalog, scene.user, scene.groups, chosen, present=present)
        except MLabError:
            continue  # its defaults cannot be had; a launch that names it is told why
        for count in whole_numbers(profile.gpus):
            for gpu_type in _types(profile, present) if count else (None,):
                yield replace(usual, gpus=count, gpu_type=gpu_type)


def _types(profile: Profile, present: Sequence[str]) -> tuple[str | None, ...]:
    return (None, *present) if profile.any_gpu_type else profile.gpu_types


def whole_numbers(option: NumberOption) -> list[int]:
    """Return the numbers of GPUs that an option permits, the least first; of many, the first hundred."""
    if option.choices:
        return sorted(int(choice) for choice in option.choices)[:100]
    numbers = range(int(option.min), int(option.max) + 1, max(1, int(option.step)))
    return list(numbers[:100])
