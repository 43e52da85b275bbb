"""Calls about idleness: why a server is kept or at risk, keeping it, giving its GPUs back, and what all of it comes to.

Guarantees: somebody else's server is not there (404) for anybody but administrators, whether it runs or not.
"""

from __future__ import annotations

from mlabhub.core.quote import quote
from mlabhub.errors import InvalidLaunch, NotFound
from mlabhub.messages import N_, Message
from mlabhub.service import bodies
from mlabhub.service.handlers.base import ApiHandler, server_of
from mlabhub.service.idle.answers import idle_answer, sample_answer
from mlabhub.service.idle.desk import NOT_RUNNING, IdleDesk
from mlabhub.service.idle.looks import IdleLooks
from mlabhub.service.shelving.desk import ShelvingDesk
from mlabhub.service.views import LaunchAnswer, Person

DAY_S = 86400.0
MOST_S = 7 * DAY_S
TOO_LONG = N_("Between since and until there are at most {days} days, and since is the earlier one.")


class IdleHandlers(ApiHandler):
    """What these calls share."""

    @property
    def idle_desk(self) -> IdleDesk:
        """Where idleness is explained, and servers are kept."""
        desk: IdleDesk = self.application.settings["idle_desk"]
        return desk

    @property
    def looks(self) -> IdleLooks:
        """What there is to see of idleness."""
        looks: IdleLooks = self.application.settings["idle_looks"]
        return looks

    @property
    def shelving(self) -> ShelvingDesk:
        """Where GPUs are given back."""
        desk: ShelvingDesk = self.application.settings["shelving"]
        return desk

    def check_own(self, person: Person, user: str, server: str) -> str:
        """Return the server's name, if it may be theirs to ask about. Raises `NotFound`."""
        name = server_of(server)
        if not (person.admin or person.name == user):
            raise NotFound(Message.of(NOT_RUNNING, server=quote(name), user=quote(user)))
        return name


class IdleHandler(IdleHandlers):
    """``GET servers/USER/SERVER/idle``"""

    async def get(self, user: str, server: str) -> None:
        """Explain the verdict on a server."""
        name = self.check_own(self.reader, user, server)
        self.answer(idle_answer(self.looks.view(self.reader, user, name), self.world.settings.service_prefix))


class SamplesHandler(IdleHandlers):
    """``GET servers/USER/SERVER/samples``"""

    async def get(self, user: str, server: str) -> None:
        """Return how busy a server was; ``?since=``, ``?until=``."""
        name = self.check_own(self.reader, user, server)
        until = self.moment("until")
        until = self.world.clock() if until is None else until
        since = self.moment("since")
        since = until - DAY_S if since is None else since
        if not 0 <= until - since <= MOST_S:
            raise InvalidLaunch(Message.of(TOO_LONG, days=MOST_S / DAY_S), key="since")
        samples = await self.looks.history(self.reader, user, name, since, until)
        self.answer({"since": since, "until": until, "samples": tuple(map(sample_answer, samples))})


class ExtendHandler(IdleHandlers):
    """``POST servers/USER/SERVER/extend``"""

    async def post(self, user: str, server: str) -> None:
        """Keep a server for a while although it is idle."""
        name, body = self.check_own(self.person, user, server), self.body(bodies.ExtendBody)
        view = await self.idle_desk.extend(self.person, user, name, body.length_s, body.reason)
        self.answer(idle_answer(view, self.world.settings.service_prefix))


class ReleaseGpuHandler(IdleHandlers):
    """``POST servers/USER/SERVER/release-gpu``"""

    async def post(self, user: str, server: str) -> None:
        """Give a server's GPUs back, and keep its work."""
        name, body = self.check_own(self.person, user, server), self.body(bodies.ReasonBody)
        self.answer(await self.shelving.release(self.person, user, name, body.reason), 202)


class BringBackHandler(IdleHandlers):
    """``POST servers/USER/SERVER/bring-back``"""

    async def post(self, user: str, server: str) -> None:
        """Give a server its GPUs again."""
        name, body = self.check_own(self.person, user, server), self.body(bodies.BringBackBody)
        told = await self.shelving.bring_back(self.person, user, name, queue=body.queue)
        self.answer(told, 201 if isinstance(told, LaunchAnswer) else 202)


class IdleOverviewHandler(IdleHandlers):
    """``GET idle``"""

    async def get(self) -> None:
        """Show administrators what idleness comes to."""
        self.answer(await self.looks.overview(self.reader))
