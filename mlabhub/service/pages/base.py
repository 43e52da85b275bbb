"""What every page shares: who is asking, in which language, under which browser rules, and how errors look.

Guarantees: a page is only ever shown to a person whom the hub vouches for, by the login's cookie and nothing else;
scripts, styles and frames come from this host only and never from inside the page's text; an error is a page with one
sentence and the way on, never a traceback.
"""

from __future__ import annotations

import logging
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlencode

from jupyterhub.services.auth import HubOAuthenticated, UserNotAllowed
from tornado.web import HTTPError, RequestHandler

from mlabhub.core.quote import printable
from mlabhub.errors import MLabError, NotPermitted, Unavailable
from mlabhub.i18n import (
    LANGUAGE_ARGUMENT,
    LANGUAGE_COOKIE,
    LANGUAGES,
    N_,
    Translator,
    choose_language,
    get_translator,
    match_language,
)
from mlabhub.messages import Message
from mlabhub.service.pages.desk import QueueDesk
from mlabhub.service.pages.environment import ENVIRONMENT
from mlabhub.service.pages.queueing import Words
from mlabhub.service.pages.words import server_title
from mlabhub.service.queue_desk import FOR_ADMINISTRATORS
from mlabhub.service.views import Person
from mlabhub.settings import Settings

if TYPE_CHECKING:
    from mlabhub.service.launcher import Launcher

log = logging.getLogger(__name__)
YEAR_DAYS = 365

CONTENT_SECURITY_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)
# What can go wrong before a handler of ours has anything to say.
SENTENCES = {
    400: N_("The hub could not read this request. Go back and try again."),
    403: N_("You may not see this page, or the form was open for too long. Go back, reload the page and try again."),
    404: N_("There is no page at this address. It may have been about a server that is gone."),
    405: N_("This address cannot be used that way. Go on from your servers."),
}
TITLES = {
    403: N_("Not permitted"),
    404: N_("Not found"),
    413: N_("Too large"),
    503: N_("Not available at the moment"),
}


class PageHandler(HubOAuthenticated, RequestHandler):
    """A page for a person who is logged in at the hub."""

    answers_json = False
    t: Translator

    @property
    def launcher(self) -> Launcher:
        """The one launcher of this process."""
        launcher: Launcher = self.application.settings["launcher"]
        return launcher

    @property
    def queue_desk(self) -> QueueDesk:
        """The queue."""
        desk: QueueDesk = self.application.settings["queue_desk"]
        return desk

    @property
    def words(self) -> Words:
        """What the queue is said with."""
        return Words(self.t, self.page_url, datetime.now().astimezone(), simulated=bool(self.site.simulate_gpus))

    @property
    def site(self) -> Settings:
        """This installation."""
        settings: Settings = self.application.settings["settings"]
        return settings

    @property
    def person(self) -> Person:
        """Who is asking."""
        model = self.current_user
        return Person(name=model["name"], admin=bool(model.get("admin")), groups=tuple(model.get("groups") or ()))

    def initialize(self) -> None:
        """Take the application's own connection to the hub's login; until it is asked, nobody is logged in."""
        self.hub_auth = self.application.settings["hub_auth"]
        self.current_user = None
        self._set_language()

    def set_default_headers(self) -> None:
        """Tell the browser what pages of ours never do.

        Users' servers may share our origin. ``noopener-allow-popups`` cuts the tie to whatever page opened ours, also
        to one of the same origin, so that it cannot read a form's token out of our window.
        """
        self.set_header("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        self.set_header("Cross-Origin-Opener-Policy", "noopener-allow-popups")
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")
        self.set_header("X-Frame-Options", "DENY")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Referrer-Policy", "same-origin")
        self.set_header("Cache-Control", "no-store")

    def compute_etag(self) -> None:
        """Pages are never stored, so they need no tag."""

    async def prepare(self) -> None:
        """Find out who is asking, or lead to the login.

        A token in a header or address is no login: the token inside a person's server, which its notebooks can read,
        must not open that person's pages.
        """
        try:
            model = await self.hub_auth.get_user(self, sync=False)
            if model and getattr(self, "_token_authenticated", False):
                raise NotPermitted(
                    N_("Pages are for browsers that are logged in. Programs use api/v1 with their token.")
                )
            self.current_user = self.check_hub_user(model) if model else None
        except UserNotAllowed:
            raise NotPermitted(N_("This account may not use this hub's servers. Ask an administrator.")) from None
        except HTTPError as error:
            raise Unavailable(
                N_("The hub cannot say who you are at the moment. Running servers go on; try again in a minute."),
                log_text=str(error),
            ) from None
        if self.current_user is None:
            if self.answers_json or self.request.method not in ("GET", "HEAD"):
                raise HTTPError(403)
            self.redirect(self.get_login_url())

    def _set_language(self) -> None:
        raw = self.request.query_arguments.get(LANGUAGE_ARGUMENT)
        wish = raw[-1].decode("ascii", "replace") if raw else None
        language = choose_language(wish, self.get_cookie(LANGUAGE_COOKIE), self.request.headers.get("Accept-Language"))
        self.t = get_translator(language)
        if match_language(wish):
            path = self.site.base_url
            self.set_cookie(LANGUAGE_COOKIE, language, path=path, expires_days=YEAR_DAYS, samesite="Lax")

    def require_navigation(self) -> None:
        """Refuse what a script sent, or another site: people follow links and press buttons of ours.

        Browsers send these headers on secure connections and to localhost, and no script can set them; where they are
        absent the form's token alone has to do.
        """
        sent = self.request.headers
        if (
            sent.get("Sec-Fetch-Mode", "navigate") != "navigate"
            or sent.get("Sec-Fetch-Dest", "document") != "document"
            or (self.request.method == "POST" and sent.get("Sec-Fetch-Site", "same-origin") != "same-origin")
        ):
            raise NotPermitted(N_("This was not sent by a form of this page. Open the page yourself and try again."))

    def subject(self) -> str:
        """Return the name of the person whom the page is about: oneself, or for admins the one in ``?user=``."""
        name = self.get_argument("user", "") or self.person.name
        if name != self.person.name and not self.person.admin:
            raise NotPermitted(
                Message.of(
                    N_("You are {person} and may not act for {user}: only administrators act for others."),
                    person=self.person.name,
                    user=name,
                )
            )
        return name

    def other(self, user: str) -> str | None:
        """Return the name if it is somebody else's."""
        return user if user != self.person.name else None

    def require_admin(self) -> None:
        """Let only administrators pass."""
        if not self.person.admin:
            raise NotPermitted(FOR_ADMINISTRATORS)

    def page_url(self, path: str = "", **query: str | None) -> str:
        """Return the address of a page of ours; queries that are None or empty are left out."""
        kept = {name: value for name, value in query.items() if value}
        return self.site.service_prefix + path + (f"?{urlencode(kept)}" if kept else "")

    def render_page(self, template: str, /, **values: Any) -> None:
        """Finish the answer with a page."""
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish(self.page_text(template, **values))

    def page_text(self, template: str, /, **values: Any) -> str:
        """Return a page's text, with what its frame needs beside what `render_text` gives."""
        return self.render_text(
            template,
            languages=self._other_languages(),
            catalog_faults=self._for_administrators("catalog_faults"),
            quota_notes=self._for_administrators("quota_notes"),
            **values,
        )

    def render_text(self, template: str, /, **values: Any) -> str:
        """Return the text of a part of a page, with what all templates need."""
        site = self.site
        return ENVIRONMENT.get_template(template).render(
            _=self.t,
            t=self.t,
            now=datetime.now().astimezone(),
            person=self.person if self.current_user else None,
            base_url=site.base_url,
            prefix=site.service_prefix,
            page_url=self.page_url,
            server_title=partial(server_title, self.t),
            hub_static=f"{site.base_url}hub/static/",
            isolated=site.backend != "process",
            simulated=bool(site.simulate_gpus),
            xsrf=self.xsrf_token.decode("ascii"),
            **values,
        )

    def _for_administrators(self, what: Literal["catalog_faults", "quota_notes"]) -> list[str]:
        """Return why the configuration is not in force, or cannot be kept, if the person who asks can mend it."""
        if self.current_user is None or not self.person.admin:
            return []
        return [self.t.say(line) for line in getattr(self.launcher, what)(self.person)]

    def _other_languages(self) -> list[tuple[str, str, str]]:
        """Return tag, name and address of this page in each other language; after a post, of the page itself."""
        query = {name: values[-1] for name, values in self.request.query_arguments.items()}
        return [
            (code.replace("_", "-"), name, f"{self.request.path}?{urlencode({**query, LANGUAGE_ARGUMENT: code})}")
            for code, name in LANGUAGES.items()
            if code != self.t.language
        ]

    def log_exception(self, kind: Any, value: Any, trace: Any) -> None:
        """Log our own refusals in one line; what nobody foresaw with its traceback."""
        if isinstance(value, MLabError):
            log.info("%s %s: %s", self.request.method, self.request.path, value.log_text)
            return
        super().log_exception(kind, value, trace)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Show an error as a page in the same look, or as JSON where a script asked."""
        error = (kwargs.get("exc_info") or (None, None, None))[1]
        if isinstance(error, MLabError):
            self.set_status(error.status)
            sentence = printable(self.t.say(error.message))
        else:
            sentence = self._sentence(status_code)
        if self.answers_json:
            self.finish({"error": {"message": sentence}})
            return
        title = self.t(TITLES.get(self.get_status(), N_("This did not work")))
        self.render_page("error.html", status=self.get_status(), title=title, sentence=sentence)

    def _sentence(self, status_code: int) -> str:
        if status_code in SENTENCES:
            return self.t(SENTENCES[status_code])
        return self.t(
            N_(
                "This page could not be made because of a fault in the hub. Your servers go on. "
                "Your administrator finds the fault in the service's log at {time}."
            ),
            time=self.t.time(datetime.now().astimezone()),
        )
