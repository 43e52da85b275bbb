"""How the map of all GPUs is drawn as a page: machines as lists of buttons, in sections by the type of their GPUs.

Guarantees: every value is escaped here, as the pieces are put together by hand: a template would take several times as
long for thousands of GPUs. A GPU's mark and its label say the same in signs and in words. Nothing is told of holders
but of the launches that may be told of.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

from markupsafe import escape

from mlabhub.core.gpu_map import Hold, Place, Spot, State, counts_of, load_of
from mlabhub.core.quote import plain
from mlabhub.core.units import format_gib
from mlabhub.i18n import N_, Translator, get_translator, join_sentences
from mlabhub.service.cluster_map.drawing import Drawn, Recent, View
from mlabhub.service.pages.waits import local

STATE_WORDS: Mapping[State, str] = {
    "held": N_("held"),
    "reserved": N_("for a server that starts"),
    "free": N_("free"),
    "closed": N_("free, but the machine takes no new servers"),
    "sick": N_("sick"),
    "outside": N_("used from outside of this hub"),
    "unknown": N_("not known whether it is free"),
    "taken": N_("held by others on this cluster"),
    "divided": N_("divided: its slices are handed out"),
    "unheld": N_("not held"),
}
LOAD_WORDS = {"busy": N_("busy"), "light": N_("light use"), "idle": N_("idle"), None: N_("use not known")}
COUNT_WORDS: Mapping[State, str] = {
    "held": N_("{count} held"),
    "reserved": N_("{count} for servers that start"),
    "free": N_("{count} free"),
    "closed": N_("{count} on machines that take no new servers"),
    "sick": N_("{count} sick"),
    "outside": N_("{count} used from outside"),
    "unknown": N_("{count} not known"),
    "taken": N_("{count} held by others on this cluster"),
    "unheld": N_("{count} not held"),
}
MARKS: Mapping[State, str] = {
    "reserved": "//",
    "free": "",
    "closed": "//",
    "sick": "×",
    "outside": "○",
    "unknown": "?",
    "taken": "○",
    "divided": "÷",
    "unheld": "",
}
LOAD_MARKS = {"busy": "##", "light": "#", "idle": ".", None: "?"}
HIDDEN_MARK = "="
NO_GPU = N_("No GPU")
NUMBER = N_("GPU {number}")
SINCE = N_("since {moment}")
IDLE_SINCE = N_("counts as idle since {moment}")
USE = N_("{percent} %, {load}")
ALL = N_("{count} GPUs")
ONE_GPU = N_("1 GPU")
NODES = N_("{count} machines")
ONE_NODE = N_("1 machine")
CPU_FREE = N_("CPU {free} of {all} free")
MEMORY_FREE = N_("memory {free} of {all} free")
CPU_ALL = N_("CPU {all}")
MEMORY_ALL = N_("memory {all}")
CLOSED = N_("It takes no new servers.")
GONE = N_("It is not there any more.")
NOT_READ = N_("Its GPUs cannot be read, so what stands here is what was known before: {fault}")
SHOWN = N_("Shown: {shown} of {all} machines.")
NONE_SHOWN = N_("No machine is like that. Take a word away, or choose another type.")
NO_MACHINES = N_("There is no machine yet.")
MOST_REMEMBERED = 8192
"""Of what is said again and again: moments, numbers, names."""

_plain = lru_cache(MOST_REMEMBERED)(plain)


@dataclass(frozen=True)
class Legend:
    """One sign and what it means."""

    kind: str
    mark: str
    text: str


class Words:
    """Says what is on the map in one language, on one day: a moment of another day has its date."""

    def __init__(self, t: Translator, today: date):
        self.t = t
        self.today = today
        self._moments: Recent[int, str] = Recent(MOST_REMEMBERED)
        self._numbers: Recent[float, str] = Recent(MOST_REMEMBERED)
        self._states = {state: t(text) for state, text in STATE_WORDS.items()}
        self._loads = {load: t(text) for load, text in LOAD_WORDS.items()}
        self._number, self._since, self._idle, self._use = (
            t.gettext(text) for text in (NUMBER, SINCE, IDLE_SINCE, USE)
        )

    def moment(self, seconds: float) -> str:
        """Return a moment to the minute."""
        minute = int(seconds // 60)
        said = self._moments.get(minute)
        if said is None:
            when = local(seconds)
            said = self.t.moment(when, when.replace(year=self.today.year, month=self.today.month, day=self.today.day))
            self._moments.put(minute, said)
        return said

    def number(self, value: float) -> str:
        """Return a number as the language writes it."""
        said = self._numbers.get(value)
        if said is None:
            said = self.t.number(value)
            self._numbers.put(value, said)
        return said

    def name(self, spot: Spot) -> str:
        """Return what a GPU is called on its machine."""
        about = _plain(spot.mig) if spot.parent else _plain(spot.type_name)
        number = _plain(spot.uuid) if spot.number is None else self._number.format(number=spot.number)
        return f"{number} ({about})" if about else number

    def state(self, spot: Spot) -> str:
        """Return whether it is held, or could be had."""
        said = self._states[spot.state]
        return f"{said}, {self._states['sick']}" if spot.hold is not None and not spot.healthy else said

    def use(self, percent: float | None) -> str:
        """Return how busy it is."""
        load = self._loads[load_of(percent)]
        return load if percent is None else self._use.format(percent=f"{percent:.0f}", load=load)

    def label(self, spot: Spot, hold: Hold | None) -> str:
        """Return what is known of a GPU in one line; ``hold`` is its holder, if that may be told."""
        parts = [self.name(spot), self.state(spot)]
        if hold is not None:
            parts += [_plain(hold.user), _plain(hold.group or ""), self._since.format(moment=self.moment(hold.since))]
            parts.append(self.use(spot.percent))
            if hold.idle_since is not None:
                parts.append(self._idle.format(moment=self.moment(hold.idle_since)))
        return " · ".join(part for part in parts if part)

    def counts(self, counts: Mapping[State, int]) -> str:
        """Return how many GPUs there are, and how many in each state: ``3,200 GPUs: 2,811 held, 340 free``."""
        t, separator = self.t, self.t(N_(", "))
        count = sum(counts.values())
        total = t(ONE_GPU) if count == 1 else t(ALL, count=count)
        parts = [t(COUNT_WORDS[state], count=count) for state, count in counts.items() if count]
        return t(N_("{all}: {parts}."), all=total, parts=separator.join(parts)) if parts else total

    def room(self, place: Place) -> list[str]:
        """Return CPUs and memory of a machine, all and free, as far as known."""
        found = []
        if place.cpu is not None:
            all_of = self.number(place.cpu * place.cpu_overcommit)
            free = None if place.cpu_free is None else self.number(place.cpu_free)
            found.append(self.t(CPU_ALL, all=all_of) if free is None else self.t(CPU_FREE, free=free, all=all_of))
        if place.memory_gib is not None:
            memory = format_gib(place.memory_gib)
            free = None if place.memory_gib_free is None else format_gib(place.memory_gib_free)
            found.append(self.t(MEMORY_ALL, all=memory) if free is None else self.t(MEMORY_FREE, free=free, all=memory))
        return found

    def notes(self, place: Place) -> str:
        """Return what is to be known about a machine."""
        said = [self.t.say(note) for note in place.notes]
        if place.gone:
            said.append(self.t(GONE))
        elif not place.schedulable and not said:
            said.append(self.t(CLOSED))
        if place.gpu_fault is not None:
            said.append(self.t(NOT_READ, fault=self.t.say(place.gpu_fault)))
        return join_sentences(said)

    def legend(self) -> list[Legend]:
        """Return all signs."""
        loads = [Legend(load or "blur", LOAD_MARKS[load], self._loads[load]) for load in LOAD_WORDS if load]
        signs = [
            ("held", HIDDEN_MARK, N_("held, by whom is not shown")),
            ("free", MARKS["free"], STATE_WORDS["free"]),
            ("reserved", MARKS["reserved"], N_("for a server that starts, or on a machine that takes none")),
            ("sick", MARKS["sick"], STATE_WORDS["sick"]),
            ("outside", MARKS["outside"], N_("used by others than this hub")),
            ("blur", LOAD_MARKS[None], N_("not known")),
            ("divided", MARKS["divided"], N_("divided into slices")),
        ]
        return [*loads, *(Legend(kind, mark, self.t(text)) for kind, mark, text in signs)]


@lru_cache(16)
def words_of(language: str, today: date) -> Words:
    """Return the words of a language on a day; one is enough for all requests."""
    return Words(get_translator(language), today)


@dataclass(frozen=True)
class MapPen:
    """Draws machines for pages. ``known`` is None for a page, else the map that a page has already (0: none)."""

    words: Words
    known: int | None = None

    @property
    def key(self) -> Hashable:
        """The same language and day."""
        return "html", self.words.t.language, self.words.today

    @property
    def form(self) -> Hashable:
        """The whole, or what is new."""
        return self.known

    def draw(self, place: Place, seen: Collection[str] | None) -> str:
        """Return a machine as an item of a list."""
        words, name = self.words, escape(_plain(place.name))
        cells = "".join([self._cell(spot, seen) for spot in place.spots])
        room = "".join([f"<span>{escape(one)}</span>" for one in words.room(place)])
        notes = words.notes(place)
        return (
            f'<li class="mlab-node" data-node="{escape(place.name)}">'
            f'<div class="mlab-node-head"><h3 class="mlab-node-name"><bdi>{name}</bdi></h3>'
            f'<p class="mlab-node-room">{room}</p></div>'
            + (f'<div class="mlab-node-gpus" role="group" aria-label="{name}">{cells}</div>' if cells else "")
            + (f'<p class="mlab-node-note"><bdi>{escape(notes)}</bdi></p>' if notes else "")
            + "</li>"
        )

    def _cell(self, spot: Spot, seen: Collection[str] | None) -> str:
        hold = spot.hold if spot.hold is not None and (seen is None or spot.hold.launch_id in seen) else None
        kind, mark = look_of(spot, hold)
        uuid = escape(spot.uuid)
        more = " mlab-gpu-slice" if spot.parent else ""
        more += " mlab-gpu-sick" if not spot.healthy and kind != "sick" else ""
        return (
            f'<button name="gpu" value="{uuid}" id="gpu-{uuid}" class="mlab-gpu mlab-gpu-{kind}{more}" '
            f'aria-label="{escape(self.words.label(spot, hold))}">{mark}</button>'
        )

    def compose(self, view: View) -> bytes:
        """Return the sections as HTML, or as JSON with those machines alone that are not known yet."""
        kinds: dict[str, list[Drawn]] = {}
        for one in view.drawn:
            kinds.setdefault(one.place.kind, []).append(one)
        if self.known is None:
            sections = (self._section(number, kind, drawn) for number, (kind, drawn) in enumerate(kinds.items()))
            return "".join([self._summary(view), '<div id="map-kinds">', *sections, "</div>"]).encode()
        return json.dumps(self._news(view, kinds, self.known)).encode()

    def _news(self, view: View, kinds: Mapping[str, Sequence[Drawn]], known: int) -> dict[str, object]:
        news = (one for one in view.drawn if view.tick.revisions[one.place.name] > known)
        return {
            "number": view.tick.number,
            "summary": self._summary(view),
            "kinds": [
                {"kind": kind, "head": self._head(number, kind, drawn), "nodes": [one.place.name for one in drawn]}
                for number, (kind, drawn) in enumerate(kinds.items())
            ],
            "nodes": {one.place.name: one.text for one in news},
        }

    def _summary(self, view: View) -> str:
        t, shown, everything = self.words.t, len(view.drawn), len(view.tick.places)
        lines = [f'<p class="lead" id="map-counts">{escape(self.words.counts(view.tick.counts))}</p>']
        if shown != everything:
            lines.append(f"<p>{escape(t(SHOWN, shown=shown, all=everything) if shown else t(NONE_SHOWN))}</p>")
        elif not everything:
            lines = [f'<p class="lead" id="map-counts">{escape(t(NO_MACHINES))}</p>']
        return "".join(lines)

    def _section(self, number: int, kind: str, drawn: Sequence[Drawn]) -> str:
        nodes = "".join([one.text for one in drawn])
        return (
            f'<section class="mlab-kind" data-kind="{escape(kind)}" aria-labelledby="kind-{number}">'
            f'<header>{self._head(number, kind, drawn)}</header><ul class="mlab-nodes">{nodes}</ul></section>'
        )

    def _head(self, number: int, kind: str, drawn: Iterable[Drawn]) -> str:
        t, places = self.words.t, [one.place for one in drawn]
        title = escape(_plain(kind) or t(NO_GPU))
        said = t(ONE_NODE) if len(places) == 1 else t(NODES, count=len(places))
        counts: Counter[State] = Counter(counts_of(places))
        if counts.total():
            said = f"{said} · {self.words.counts(counts)}"
        return f'<h2 class="mlab-step" id="kind-{number}">{title}</h2><p class="mlab-quiet">{escape(said)}</p>'


def look_of(spot: Spot, hold: Hold | None) -> tuple[str, str]:
    """Return how a GPU is shown: a word for its look, and its sign; ``hold`` is its holder, if that may be told."""
    if spot.state != "held":
        return spot.state, MARKS[spot.state]
    if hold is None:
        return "held", HIDDEN_MARK
    load = load_of(spot.percent)
    return load or "blur", LOAD_MARKS[load]
