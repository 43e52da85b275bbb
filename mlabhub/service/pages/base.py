"""What every page shares: who is asking, in which language, under which browser rules, and how errors look.

Guarantees: a page is only ever shown to a person whom the hub vouches for; scripts, styles and frames come from this
host only and never from inside the page's text; an error is a page with one sentence and the way on, never a traceback.
"""

from __future__ import annotations

import logging
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from jupyterhub.services.auth import HubOAuthenticated, UserNotAllowed
from tornado.web import HTTPError, RequestHandler

from mlabhub.errors import MLabError, NotPermitted
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
from mlabhub.service.pages.environment import make_environment
from mlabhub.service.pages.words import server_title
from mlabhub.service.views import Person
from mlabhub.settings import Settings

if TYPE_CHECKING:
    from mlabhub.service.launcher import Launcher

log = logging.getLogger(__name__)
ENVIRONMENT = make_environment()

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
# One sentence each for what can go wrong before a handler of ours has anything to say.
STATUS_SENTENCES = {
    400: N_("The hub could not read this request. Go back and try again."),
    403: N_("You may not see this page, or the form was open for too long. Go back, reload the page and try again."),
    404: N_("There is no page at this address. It may have been about a server that is gone."),
    405: N_("This address cannot be used that way. Go back to your servers."),
    413: N_("This request is too large."),
    502: N_("The hub does not answer at the moment. Running servers go on; try again in a few seconds."),
    503: N_("The hub does not answer at the moment. Running servers go on; try again in a few seconds."),
}
UNKNOWN_FAULT = N_(
    "This page could not be made because of a fault in the hub. Your servers go on. "
    "Your admin finds the fault in the service's log at {time}."
)
STATUS_TITLES = {
    403: N_("Not permitted"),
    404: N_("Not found"),
    413: N_("Too large"),
    502: N_("The hub does not answer"),
    503: N_("Not available at the moment"),
}


class PageHandler(HubOAuthenticated, RequestHandler):
    """A page for a person who is logged in at the hub."""

    answers_json = False
    t: Translator = get_translator("en")

    @property
    def launcher(self) -> Launcher:
        """The one launcher of this process."""
        launcher: Launcher = self.application.settings["launcher"]
        return launcher

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
        """Take the hub's authentication from the application, where it has one of its own."""
        if (hub_auth := self.application.settings.get("hub_auth")) is not None:
            self.hub_auth = hub_auth

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

    async def prepare(self) -> None:
        """Find out language and person, or lead to the login."""
        self._set_language()
        try:
            model = await self.hub_auth.get_user(self, sync=False)
            self.current_user = self.check_hub_user(model) if model else None
        except UserNotAllowed:
            raise NotPermitted(
                N_("This account may not use this hub's servers. Ask your admin to let it in.")
            ) from None
        if self.current_user is None:
            if self.answers_json or self.request.method not in ("GET", "HEAD"):
                raise HTTPError(403)
            self.redirect(self.get_login_url())

    def _set_language(self) -> None:
        wish = self.get_query_argument(LANGUAGE_ARGUMENT, None)
        language = choose_language(wish, self.get_cookie(LANGUAGE_COOKIE), self.request.headers.get("Accept-Language"))
        self.t = get_translator(language)
        if match_language(wish):
            self.set_cookie(LANGUAGE_COOKIE, language, path=self.site.base_url, expires_days=365, samesite="Lax")

    def require_own_form(self) -> None:
        """Refuse a post that a script sent, or that came from another site; forms of ours navigate.

        Browsers send these headers on secure connections and to localhost; where they are absent the form's token
        alone has to do.
        """
        mode = self.request.headers.get("Sec-Fetch-Mode", "navigate")
        site = self.request.headers.get("Sec-Fetch-Site", "same-origin")
        if mode != "navigate" or site != "same-origin":
            raise NotPermitted(N_("This was not sent by a form of this page. Open the page yourself and try again."))

    def subject(self) -> str:
        """Return the name of the person whom the page is about: oneself, or for admins the one in ``?user=``."""
        name = self.get_argument("user", "") or self.person.name
        if name != self.person.name and not self.person.admin:
            raise NotPermitted(
                Message.of(
                    N_("Only an admin may act for {user}. You are logged in as {person}."),
                    user=name,
                    person=self.person.name,
                )
            )
        return name

    def page_url(self, path: str = "", **query: str | None) -> str:
        """Return the address of a page of ours; queries that are None or empty are left out."""
        kept = {name: value for name, value in query.items() if value}
        return self.site.service_prefix + path + (f"?{urlencode(kept)}" if kept else "")

    def render_page(self, template: str, /, **values: Any) -> None:
        """Finish the answer with a page."""
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish(self.render_text(template, **values))

    def render_text(self, template: str, /, **values: Any) -> str:
        """Return a template's text with what all templates need."""
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
            languages=[
                (code, name, self._language_url(code)) for code, name in LANGUAGES.items() if code != self.t.language
            ],
            isolated=site.backend != "process",
            simulated=bool(site.simulate_gpus),
            xsrf=self.xsrf_token.decode("ascii"),
            **values,
        )

    def _language_url(self, language: str) -> str:
        """Return this page in another language; after a post, the page's plain address."""
        query = {name: self.get_query_argument(name) for name in self.request.query_arguments}
        return f"{self.request.path}?{urlencode({**query, LANGUAGE_ARGUMENT: language})}"

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
            sentence = self.t.say(error.message)
        elif status_code in STATUS_SENTENCES:
            sentence = self.t(STATUS_SENTENCES[status_code])
        else:
            sentence = self.t(UNKNOWN_FAULT, time=self.t.time(datetime.now().astimezone()))
        if self.answers_json:
            self.finish({"error": {"message": sentence}})
            return
        title = self.t(STATUS_TITLES.get(self.get_status(), N_("This did not work")))
        self.render_page("error.html", status=self.get_status(), title=title, sentence=sentence)
