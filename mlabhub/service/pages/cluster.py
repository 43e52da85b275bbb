"""The cluster page: the map of all GPUs, now and back in the day, with what is known of one of them beside it.

Guarantees: it works without JavaScript: GPUs are buttons of the form that has the filters, so pressing one keeps them.
What everybody sees alike is drawn and compressed once. Who holds a GPU is told as far as privacy lets, and a GPU that
is not there is answered in a sentence.
"""

from __future__ import annotations

import json
import zlib
from datetime import datetime
from functools import cached_property

from markupsafe import Markup

from mlabhub.core.gpu_map import Place, Spot
from mlabhub.core.privacy import Viewer
from mlabhub.core.quote import plain
from mlabhub.core.sample_history import DAY_S
from mlabhub.core.units import format_gib
from mlabhub.i18n import N_
from mlabhub.service.cluster_map.desk import MapDesk
from mlabhub.service.cluster_map.drawing import Tick, Wanted
from mlabhub.service.cluster_map.sending import send
from mlabhub.service.pages.base import PageHandler
from mlabhub.service.pages.map_pen import MapPen, Words, words_of
from mlabhub.service.pages.waits import local

STEP_MIN = 5
MOST_MIN = int(DAY_S / 60) - STEP_MIN
LONGEST = 100
PLACE = "<!--map-->"
NOBODY = N_("Names are shown as this hub's privacy setting allows.")
THEN = N_("As it was at {moment}. Which GPUs could have been had then was not recorded: they are held, or not held.")


class ClusterBase(PageHandler):
    """What the page, its live part and its details share."""

    @property
    def map_desk(self) -> MapDesk:
        """Where the map is made."""
        desk: MapDesk = self.application.settings["map_desk"]
        return desk

    @property
    def viewer(self) -> Viewer:
        """What the person may know."""
        return self.launcher.viewer(self.person)

    @cached_property
    def map_words(self) -> Words:
        """How the map is said to them."""
        return words_of(self.t.language, datetime.now().astimezone().date())

    @cached_property
    def ago(self) -> int:
        """How many minutes back the map is asked for, in whole steps; what is no such number is now."""
        text = self.get_query_argument("ago", "")
        minutes = int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else 0
        return min(minutes // STEP_MIN * STEP_MIN, MOST_MIN)

    @cached_property
    def at(self) -> float | None:
        """The moment that the map is asked for, the same for all who ask within a step; None for now."""
        step = 60 * STEP_MIN
        return (self.map_desk.clock() - 60 * self.ago) // step * step if self.ago else None

    @cached_property
    def wanted(self) -> Wanted:
        """Which machines are asked for."""
        text = self.get_query_argument("q", "").strip()[:LONGEST]
        return Wanted(text, self.get_query_argument("kind", "")[:LONGEST], self.get_query_argument("free", "") == "1")

    def moment_line(self) -> str:
        """Return which moment it is about, if it is over."""
        return (
            "" if self.at is None else self.t(THEN, moment=self.t.moment(local(self.at), local(self.map_desk.clock())))
        )

    def details(self, tick: Tick) -> str:
        """Return what is known of the GPU that was asked for, empty if none was."""
        uuid = self.get_query_argument("gpu", "")
        if not uuid:
            return ""
        found = next(((place, spot) for place in tick.places for spot in place.spots if spot.uuid == uuid), None)
        if found is None:
            return self.render_text("_gpu.html", gpu=None)
        return self.render_text("_gpu.html", gpu=self._about(*found))

    def _about(self, place: Place, spot: Spot) -> dict[str, object]:
        words, t, hold = self.map_words, self.t, spot.hold
        rows = [(t(N_("State")), words.state(spot))]
        rows += [(t(N_("Fault")), t.say(one)) for one in spot.health]
        url = ""
        if hold is not None and self.viewer.may_know(hold.user, hold.group):
            rows += [
                (t(N_("Holder")), plain(hold.user)),
                (t(N_("Server")), plain(hold.display_name or hold.server) or t(N_("Default server"))),
                (t(N_("Profile")), plain(hold.profile)),
                (t(N_("Paid by")), plain(hold.group or "")),
                (t(N_("Held since")), words.moment(hold.since)),
                (
                    t(N_("Use in that minute") if self.at is not None else N_("Use in the last minute")),
                    words.use(spot.percent),
                ),
            ]
            if hold.idle_since is not None:
                rows.append((t(N_("Counts as idle since")), words.moment(hold.idle_since)))
            if self.at is None and (self.person.admin or self.person.name == hold.user):
                url = self.page_url(f"idle/{hold.launch_id}")
        elif hold is not None:
            rows.append((t(N_("Holder")), t(NOBODY)))
        rows.append((t(N_("Memory")), format_gib(spot.memory_gib) if spot.memory_gib is not None else ""))
        return {
            "title": f"{plain(place.name)} · {words.name(spot)}",
            "rows": [(name, text) for name, text in rows if text],
            "uuid": plain(spot.uuid),
            "simulated": spot.simulated,
            "url": url,
        }

    def seal(self) -> str:
        """Return what a drawn machine depends on besides itself: whoever comes with another needs all of them anew."""
        viewer = self.viewer
        about = (viewer.name, viewer.admin, viewer.privacy, sorted(viewer.groups), self.wanted, self.map_words.today)
        return f"{zlib.crc32(repr((about, self.at)).encode()):08x}"


class ClusterHandler(ClusterBase):
    """The page."""

    async def get(self) -> None:
        """Show the map."""
        tick = await self.map_desk.look(self.at)
        piece = await self.map_desk.draw(self.viewer, MapPen(self.map_words), self.at, self.wanted)
        page = self.page_text(
            "cluster.html",
            title=self.t(N_("Cluster")),
            map=Markup(PLACE),
            details=Markup(self.details(tick)),
            kinds=[kind for kind in tick.kinds if kind],
            wanted=self.wanted,
            ago=self.ago,
            most=MOST_MIN,
            step=STEP_MIN,
            moment=self.moment_line(),
            legend=self.map_words.legend(),
            parts_url=self.page_url("cluster/parts"),
            events_url=self.page_url("api/v1/gpus/map/events"),
        )
        before, after = page.split(PLACE)
        self.set_header("Content-Type", "text/html; charset=utf-8")
        send(self, piece, before, after)


class ClusterPartsHandler(ClusterBase):
    """What changes by itself on the page: machines that are not as the page has them."""

    answers_json = True

    async def get(self) -> None:
        """Answer with what is new since ``?known=``, which is what the last answer called itself."""
        number, _, seal = self.get_query_argument("known", "").partition(".")
        fresh = number.isascii() and number.isdecimal() and len(number) < 20 and seal == self.seal()
        pen = MapPen(self.map_words, int(number) if fresh else 0)
        piece = await self.map_desk.draw(self.viewer, pen, self.at, self.wanted)
        self.set_header("Content-Type", "application/json")
        about = json.dumps({"seal": self.seal(), "moment": self.moment_line()})
        send(self, piece, f'{about[:-1]},"map":', "}")


class ClusterGpuHandler(ClusterBase):
    """What is known of one GPU."""

    answers_json = True

    async def get(self) -> None:
        """Answer with the text beside the map."""
        tick = await self.map_desk.look(self.at)
        self.finish({"html": self.details(tick)})
