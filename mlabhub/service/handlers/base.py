"""What every API handler shares: who asks, JSON in, JSON out, errors as JSON with a sentence.

Guarantees: the login's cookie reads and changes nothing, since a page of somebody else's server may share our origin
and could send whatever a page of ours can; a hub token in the header needs the scope to use this service; an
administrator's rights come with a token only if the token itself may start anyone's servers, so that the token inside
an administrator's own server is good for their own servers only.
"""

from __future__ import annotations

import hmac
import logging
from dataclasses import replace
from http.client import responses
from typing import Any, TypeVar
from urllib.parse import unquote

from jupyterhub.services.auth import HubOAuthenticated, UserNotAllowed
from tornado.web import HTTPError, RequestHandler

from mlabhub.client.service import DEFAULT_SERVER, PERSON_HEADER
from mlabhub.core.moments import NoMoment, read_moment
from mlabhub.core.quote import quote
from mlabhub.errors import InvalidLaunch, MLabError, NotFound, NotPermitted, Unavailable
from mlabhub.messages import N_, Message
from mlabhub.service import bodies
from mlabhub.service.desk import SpawnerDesk
from mlabhub.service.json_views import to_json
from mlabhub.service.launcher import Launcher
from mlabhub.service.queue_desk import FOR_ADMINISTRATORS, QueueDesk
from mlabhub.service.reconciler import Reconciler
from mlabhub.service.scopes import SEE_ALL_SCOPE
from mlabhub.service.views import Person
from mlabhub.service.world import World

log = logging.getLogger(__name__)
B = TypeVar("B", bound=bodies.Body)
LATEST = 1e11
"""No moment is later than this: the year 5138."""
NO_TIME = N_("For {name} give seconds since the epoch, or a moment such as 2026-12-01T18:00Z; it is {value}.")
MOST_NAME = 100
ALL_SERVERS = {"start:servers", "delete:servers"}


class JsonHandler(RequestHandler):
    """JSON out, errors included; nothing about who asks."""

    @property
    def world(self) -> World:
        """The parts of this process."""
        world: World = self.application.settings["world"]
        return world

    @property
    def launcher(self) -> Launcher:
        """The one launcher of this process."""
        launcher: Launcher = self.application.settings["launcher"]
        return launcher

    @property
    def queue_desk(self) -> QueueDesk:
        """Where people meet the queue."""
        desk: QueueDesk = self.application.settings["queue_desk"]
        return desk

    @property
    def reconciler(self) -> Reconciler:
        """The one reconciler of this process."""
        reconciler: Reconciler = self.application.settings["reconciler"]
        return reconciler

    @property
    def desk(self) -> SpawnerDesk:
        """Where spawners are answered."""
        desk: SpawnerDesk = self.application.settings["desk"]
        return desk

    def set_default_headers(self) -> None:
        """Answers are JSON for this one request."""
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")

    def compute_etag(self) -> None:
        """Answers are never cached, so they need no tag."""

    def body(self, shape: type[B]) -> B:
        """Return the request's body as that shape."""
        return bodies.parse(self.request.body, shape)

    def answer(self, value: Any, status: int = 200) -> None:
        """Finish with a view or a dictionary."""
        self.set_status(status)
        self.finish(to_json(value))

    def log_exception(self, kind: Any, value: Any, trace: Any) -> None:
        """Log a refusal in one line, and only what nobody expected with its traceback."""
        if isinstance(value, MLabError):
            log.info("%s %s: %s", self.request.method, self.request.path, value.log_text)
        else:
            super().log_exception(kind, value, trace)

    def write_error(self, status_code: int, **keywords: Any) -> None:
        """Answer with a sentence, whatever went wrong."""
        error = keywords.get("exc_info", (None, None, None))[1]
        if not isinstance(error, MLabError):
            error = _sentence(status_code)
        else:
            status_code = error.status
        self.answer(error.to_dict(), status_code)


class ApiHandler(HubOAuthenticated, JsonHandler):
    """A call for people: by the hub's login, or by a hub token."""

    person: Person
    _identifying = False

    def initialize(self) -> None:
        """Take the application's own connection to the hub's login."""
        self.hub_auth = self.application.settings["hub_auth"]

    def check_xsrf_cookie(self) -> None:
        """Check it while identifying, when it is known whether a cookie is used; not at tornado's earlier call."""
        if self._identifying:
            super().check_xsrf_cookie()

    async def prepare(self) -> None:
        """Find out who asks. Raises `NotPermitted`."""
        self._identifying = True
        self.current_user = None  # nobody yet; without this, the check of the token would ask the hub, blocking
        try:
            model = await self.hub_auth.get_user(self, sync=False)
            model = self.check_hub_user(model) if model else None
        except UserNotAllowed:
            raise NotPermitted(
                N_("This account or token may not use this service; a token needs access:services!service=mlabhub.")
            ) from None
        except HTTPError as error:
            raise Unavailable(
                N_("The hub cannot say who you are. Try again in a minute."), log_text=str(error)
            ) from None
        if model is None:
            raise NotPermitted(
                N_("Log in, or send a token of the hub. With a login's cookie, the page's X-Xsrftoken is needed, too.")
            )
        if not getattr(self, "_token_authenticated", False) and self.request.method not in ("GET", "HEAD"):
            raise NotPermitted(
                N_("The browser's login may read here, and change nothing. Use the pages, or send a token of the hub.")
            )
        self.current_user = model
        self.person = self._person(model)

    @property
    def reader(self) -> Person:
        """Who asks, as far as reading goes: the command line on the hub's own machine sees all and changes nothing."""
        sees_all = bool(self.hub_auth.check_scopes({SEE_ALL_SCOPE}, self.current_user))
        return replace(self.person, admin=self.person.admin or sees_all)

    def moment(self, name: str) -> float | None:
        """Return a moment that the address gives, in seconds since the epoch; None where it gives none."""
        text = self.get_query_argument(name, None)
        if text is None:
            return None
        try:
            value = float(text) if text.replace(".", "", 1).isascii() and text[:1].isdigit() else None
        except ValueError:
            value = None
        try:
            value = read_moment(text) if value is None else value
        except NoMoment:
            value = LATEST
        if not 0 <= value < LATEST:
            raise InvalidLaunch(Message.of(NO_TIME, name=name, value=quote(text)), key=name)
        return value

    @property
    def author(self) -> str:
        """Who acts; of the command line on the hub's own machine, who of that machine's people says to be it.

        Nobody at the hub has such a name.
        """
        name = unquote(self.request.headers.get(PERSON_HEADER, ""))[:MOST_NAME]
        of_machine = self.current_user.get("kind") == "service" and name.isprintable()
        return f"command line ({name})" if of_machine and name else self.person.name

    def require_admin(self) -> None:
        """Let only administrators pass."""
        if not self.person.admin:
            raise NotPermitted(FOR_ADMINISTRATORS)

    def subject(self, name: str | None) -> str:
        """Return whom the call is about: oneself, or for administrators anyone."""
        if name is None or name == self.person.name:
            return self.person.name
        self.require_admin()
        return name

    def _person(self, model: dict[str, Any]) -> Person:
        admin = bool(model.get("admin"))
        if getattr(self, "_token_authenticated", False):
            admin = admin and self.hub_auth.check_scopes(ALL_SERVERS, model) == ALL_SERVERS
        name = str(model["name"])
        if model.get("kind") != "user":
            name = f"service {name}"  # no user can have a space and this word: a service is nobody's namesake
        return Person(name, admin, tuple(str(group) for group in model.get("groups") or ()))


class SpawnerHandler(JsonHandler):
    """A call for spawners: by the shared secret."""

    def check_xsrf_cookie(self) -> None:
        """No cookie counts here."""

    def prepare(self) -> None:
        """Check the secret."""
        if not knows_secret(self):
            raise NotPermitted(N_("This call is for the hub's spawners: the secret is missing or wrong."))

    def path_server(self, name: str) -> str:
        """Return the server's name from its place in the URL."""
        return server_of(name)


class NoSuchCall(JsonHandler):
    """Whatever else is below the API's address."""

    def check_xsrf_cookie(self) -> None:
        """There is nothing to protect."""

    def prepare(self) -> None:
        """Say so."""
        raise NotFound(
            Message.of(
                N_("There is no call {method} {path}. All calls are in api/v1/openapi.json."),
                method=self.request.method,
                path=self.request.path[:200],
            )
        )


def knows_secret(handler: RequestHandler) -> bool:
    """Return whether a request carries the spawners' secret."""
    given = handler.request.headers.get("Authorization", "").encode("utf-8", "replace")
    wanted: str = handler.application.settings["spawner_secret"]
    return hmac.compare_digest(given, f"Bearer {wanted}".encode())


def server_of(name: str) -> str:
    """Return the hub's server name for its place in a URL; ``_`` and nothing stand for the default server."""
    return "" if name == DEFAULT_SERVER else name


def _sentence(status: int) -> MLabError:
    texts = {
        400: N_("The request cannot be understood."),
        403: N_("You may not do this."),
        404: N_("There is nothing at this address."),
        405: N_("This address has no such method; all calls are in api/v1/openapi.json."),
    }
    text = texts.get(status)
    if text is None and status < 500:
        return MLabError(responses.get(status, "The request is wrong."), code="http")
    return MLabError(
        text or N_("The service failed at this; nothing was changed. Its log has the details."),
        code="http" if text else "internal",
    )
