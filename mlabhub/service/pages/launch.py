"""The launch page: can I get it, and who pays? Choose, see at once what would happen, start.

Guarantees: what the line below the choices says comes from the same decision that a launch is judged by; a refused form
comes back with its choices and the reason where it belongs; pressing *Start* twice starts one server.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mlabhub.core.names import MAX_DISPLAY_NAME, check_display_name, make_server_name
from mlabhub.core.profiles import Profile
from mlabhub.errors import LaunchRefused, MLabError
from mlabhub.i18n import N_
from mlabhub.messages import Message
from mlabhub.service.pages.base import PageHandler
from mlabhub.service.pages.forecast import Forecast, Offer, make_forecast, nearest
from mlabhub.service.pages.form import kept_arguments, make_fields, read_options
from mlabhub.service.pages.words import gpus_text, limit_facts, range_text
from mlabhub.service.views import CatalogView, Preview, ServerView

# What another profile's link takes along from the form as it stands.
KEPT_FOR_PROFILE = frozenset({"user", "name", "group", "server"})


@dataclass(frozen=True)
class ProfileCard:
    """One profile to choose."""

    slug: str
    name: str
    description: str
    size: str
    forecast: Forecast
    selected: bool
    url: str


@dataclass(frozen=True)
class Problem:
    """Why the form came back, and at which field it is shown; without a field, above the form."""

    sentence: str
    field: str = ""
    status: int = 422


class LaunchBase(PageHandler):
    """What the page and its live line share."""

    @property
    def simulated(self) -> bool:
        """Whether the GPUs are."""
        return bool(self.site.simulate_gpus)

    def arguments_of(self, *, body: bool) -> dict[str, str]:
        """Return the form's fields, of the body or of the address, the last of each."""
        names = self.request.body_arguments if body else self.request.query_arguments
        get = self.get_body_argument if body else self.get_query_argument
        return {name: get(name) for name in names if not name.startswith("_")}

    async def view_of(self, user: str) -> CatalogView:
        """Return what a person may choose, as the one who asks may know it."""
        return await self.launcher.catalog_for(replace(self.person, name=user))

    async def forecast(
        self, user: str, arguments: Mapping[str, str], preview: Preview, profile: Profile, gpu_types: Sequence[str]
    ) -> Forecast:
        """Return what would happen to these choices, and the nearest that starts now if they do not."""
        choices = nearest(preview, profile, gpu_types)
        options = read_options(arguments)
        others = await self.launcher.previews(self.person, user, [{**options, **choice} for choice in choices])
        first = next((n for n, other in enumerate(others) if other.starts_now), None)
        offer = None
        if first is not None and (request := others[first].request) is not None:
            text = gpus_text(self.t, request.gpus, request.gpu_type, self.simulated)
            query = {**kept_arguments(arguments), **{name: str(value) for name, value in choices[first].items()}}
            offer = Offer(self.t(N_("Take {gpus}, which starts now"), gpus=text), self.page_url("launch", **query))
        return make_forecast(preview, self.t, simulated=self.simulated, offer=offer)


class LaunchHandler(LaunchBase):
    """The page and its form."""

    async def get(self) -> None:
        """Show the form, with the choices that the address has."""
        await self._show(self.arguments_of(body=False))

    async def post(self) -> None:
        """Start the server, or show the form again with the reason."""
        self.require_navigation()
        arguments = self.arguments_of(body=True)
        user = self.subject()
        kept = {**kept_arguments(arguments), "user": self.other(user)}
        try:
            servers = await self.launcher.servers(user)
            server_name, display_name = choose_names(servers, arguments)
            known = next((one for one in servers if one.server_name == server_name), None)
            if known is not None and known.state == "pending" and known.launch_id:
                launch_id = known.launch_id  # the second press of Start
            else:
                answer = await self.launcher.launch(
                    self.person,
                    user=user,
                    server_name=server_name,
                    display_name=display_name,
                    user_options=read_options(arguments),
                    idempotency_key=_idempotency_key(arguments),
                )
                launch_id = answer.launch_id
        except MLabError as error:
            await self._show(
                arguments, Problem(self.t.say(error.message), str(error.data.get("key", "")), error.status)
            )
            return
        self.redirect(self.page_url(f"starting/{launch_id}", **kept), status=303)

    async def _show(self, arguments: dict[str, str], problem: Problem | None = None) -> None:
        user = self.subject()
        view = await self.view_of(user)
        profile = choose_profile(view.profiles, arguments.get("profile", ""))
        form = await self._form(user, view, profile, arguments) if profile else {"profiles": [], "fields": {}}
        if problem is not None:
            self.set_status(problem.status)
            if problem.field not in {*form["fields"], "display_name"}:
                problem = replace(problem, field="")
        self.render_page(
            "launch.html", title=self.t(N_("Start a server")), other=self.other(user), problem=problem, **form
        )

    async def _form(self, user: str, view: CatalogView, profile: Profile, arguments: dict[str, str]) -> dict[str, Any]:
        """Return what the template needs to show the form for a profile."""
        arguments = {**arguments, "profile": profile.slug}
        servers = await self.launcher.servers(user)
        fields = make_fields(profile, view, arguments, self.t)
        plain = [{"profile": one.slug} for one in view.profiles]
        chosen, *previews = await self.launcher.previews(self.person, user, [read_options(arguments), *plain])
        payer = fields["group"].value if "group" in fields else None
        return {
            "profile": profile.slug,
            "profiles": self._cards(view, profile, previews, arguments),
            "fields": fields,
            "forecast": await self.forecast(user, arguments, chosen, profile, view.gpu_types),
            "facts": [
                *limit_facts(view, payer, self.t, self.other(user)),
                (self.t(N_("Folders in it")), ", ".join(view.folders)),
            ],
            "restart": restarted(servers, arguments.get("server", "")),
            "default_taken": any(not one.server_name and one.state != "stopped" for one in servers),
            "typed_name": arguments.get("name", ""),
            "longest_name": MAX_DISPLAY_NAME,
            "key": secrets.token_urlsafe(16),
        }

    def _cards(
        self, view: CatalogView, chosen: Profile, previews: Sequence[Preview], arguments: Mapping[str, str]
    ) -> list[ProfileCard]:
        kept = {name: text for name, text in kept_arguments(arguments).items() if name in KEPT_FOR_PROFILE}
        return [
            ProfileCard(
                slug=profile.slug,
                name=profile.display_name,
                description=profile.description,
                size=range_text(self.t, profile, profile.offered_gpu_types(view.gpu_types), self.simulated),
                forecast=make_forecast(preview, self.t, simulated=self.simulated),
                selected=profile is chosen,
                url=self.page_url("launch", **{**kept, "profile": profile.slug}),
            )
            for profile, preview in zip(view.profiles, previews, strict=True)
        ]


class PreviewHandler(LaunchBase):
    """The line below the choices, for the page's script."""

    answers_json = True

    async def post(self) -> None:
        """Answer with the line for the form as it stands."""
        arguments, user = self.arguments_of(body=True), self.subject()
        view = await self.view_of(user)
        profile = choose_profile(view.profiles, arguments.get("profile", ""))
        (preview,) = await self.launcher.previews(self.person, user, [read_options(arguments)])
        if profile is None:
            forecast = make_forecast(preview, self.t, simulated=self.simulated)
        else:
            forecast = await self.forecast(user, arguments, preview, profile, view.gpu_types)
        self.finish({"kind": forecast.kind, "html": self.render_text("_forecast.html", forecast=forecast)})


def choose_profile(profiles: Sequence[Profile], slug: str) -> Profile | None:
    """Return the chosen profile, else the first that needs no GPU: a page opens on what everybody can have."""
    by_slug = {profile.slug: profile for profile in profiles}
    without_gpu = next((profile for profile in profiles if profile.gpus.max == 0), None)
    return by_slug.get(slug) or without_gpu or next(iter(profiles), None)


def restarted(servers: Sequence[ServerView], name: str) -> ServerView | None:
    """Return the stopped server that is to be started again, if the form is about one."""
    return next((one for one in servers if name and one.server_name == name and one.state == "stopped"), None)


def choose_names(servers: Sequence[ServerView], arguments: Mapping[str, str]) -> tuple[str, str]:
    """Return the hub's name and the shown name of the server that a form is about.

    Nothing typed means the default server; the name of a server that is stopped, or is just starting, means that one.
    """
    known = restarted(servers, arguments.get("server", ""))
    if known is not None:
        return known.server_name, known.display_name
    typed = arguments.get("name", "").strip()
    if typed:
        check_display_name(typed)
        same = next((one for one in servers if one.display_name == typed), None)
        if same is None:
            return make_server_name(typed, {one.server_name for one in servers}), typed
        sentence = N_("There is a server called {name} already, and it is running. Give this one another name.")
    else:
        same = next((one for one in servers if not one.server_name), None)
        sentence = N_("The server without a name is running already. Give this one a name.")
    if same is None or same.state in ("stopped", "pending"):
        return (same.server_name, same.display_name) if same is not None else ("", "")
    raise LaunchRefused(Message.of(sentence, name=typed), key="display_name")


def _idempotency_key(arguments: Mapping[str, str]) -> str | None:
    """Return a key for this form as it was sent: the same form twice is one launch, a changed one is another."""
    key = arguments.get("key", "")
    if not key:
        return None
    sent = json.dumps(sorted(arguments.items())).encode()
    return hashlib.sha256(sent).hexdigest()
