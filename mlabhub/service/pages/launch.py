"""The launch page: can I get it, and who pays? Choose, see at once what would happen, start.

Guarantees: what the line below the choices says comes from the same decision that a launch is judged by; a refused form
comes back with its choices and the reason where it belongs.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from mlabhub.core.names import MAX_DISPLAY_NAME, check_display_name, make_server_name
from mlabhub.core.profiles import Profile
from mlabhub.errors import LaunchRefused, MLabError
from mlabhub.i18n import N_
from mlabhub.messages import Message
from mlabhub.service.pages.base import PageHandler
from mlabhub.service.pages.forecast import Forecast, failed_forecast, make_forecast, nearest
from mlabhub.service.pages.form import choice_field, kept_arguments, make_fields, read_options
from mlabhub.service.pages.words import limit_facts, range_text
from mlabhub.service.views import CatalogView, ServerView


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

    def arguments_of(self, body: bool) -> dict[str, str]:
        """Return the form's fields, of the body or of the address, the last of each."""
        names = self.request.body_arguments if body else self.request.query_arguments
        get = self.get_body_argument if body else self.get_query_argument
        return {name: get(name) for name in names if not name.startswith("_")}

    async def forecast(self, user: str, arguments: Mapping[str, str]) -> Forecast:
        """Return what would happen to these choices, and the nearest that starts now if they do not."""
        options = read_options(arguments)
        try:
            preview = await self.launcher.preview(self.person, user, options)
        except MLabError as error:
            return failed_forecast(error, self.t)
        if preview.starts_now:
            return make_forecast(preview, self.t)
        for choice in nearest(options, preview):
            try:
                other = await self.launcher.preview(self.person, user, {**options, **choice})
            except MLabError:
                continue
            if other.starts_now:
                url = self.page_url("launch", **{**kept_arguments(arguments), **{k: str(v) for k, v in choice.items()}})
                return make_forecast(preview, self.t, other=other, url=url, choice=choice)
        return make_forecast(preview, self.t)


class LaunchHandler(LaunchBase):
    """The page and its form."""

    async def get(self) -> None:
        """Show the form, with the choices that the address has."""
        await self._show(self.arguments_of(body=False))

    async def post(self) -> None:
        """Start the server, or show the form again with the reason."""
        self.require_own_form()
        arguments = self.arguments_of(body=True)
        user = self.subject()
        try:
            server_name, display_name = await self._names(user, arguments)
            answer = await self.launcher.launch(
                self.person,
                user=user,
                server_name=server_name,
                display_name=display_name,
                user_options=read_options(arguments),
                idempotency_key=arguments.get("key") or None,
            )
        except MLabError as error:
            field = str(error.data.get("key", ""))
            await self._show(arguments, Problem(self.t.say(error.message), field, error.status))
            return
        self.redirect(self.page_url(f"starting/{answer.launch_id}", **kept_arguments(arguments)), status=303)

    async def _names(self, user: str, arguments: Mapping[str, str]) -> tuple[str, str]:
        """Return the hub's name and the shown name for what was typed.

        Nothing typed means the default server; the name of a stopped server means that very server.
        """
        servers = await self.launcher.servers(user)
        known = _restarted(servers, arguments.get("server", ""))
        if known is not None:
            return known.server_name, known.display_name
        typed = arguments.get("name", "").strip()
        if not typed:
            return "", ""
        check_display_name(typed)
        same = next((server for server in servers if server.display_name == typed), None)
        if same is None:
            return make_server_name(typed, {server.server_name for server in servers}), typed
        if same.state == "stopped":
            return same.server_name, same.display_name
        raise LaunchRefused(
            Message.of(
                N_("You have a server called {name} already, and it is not stopped. Give this one another name."),
                name=typed,
            ),
            key="display_name",
        )

    async def _show(self, arguments: dict[str, str], problem: Problem | None = None) -> None:
        user = self.subject()
        view = await self.launcher.catalog_for(replace(self.person, name=user))
        profile = _chosen(view.profiles, arguments.get("profile", ""))
        form = await self._form(user, view, profile, arguments) if profile else {"profiles": [], "fields": {}}
        if problem is not None:
            self.set_status(problem.status)
            if problem.field not in {*form["fields"], "display_name"}:
                problem = replace(problem, field="")
        self.render_page(
            "launch.html",
            title=self.t(N_("Start a server")),
            other=user if user != self.person.name else None,
            problem=problem,
            **form,
        )

    async def _form(self, user: str, view: CatalogView, profile: Profile, arguments: dict[str, str]) -> dict[str, Any]:
        """Return what the template needs to show the form for a profile."""
        arguments = {**arguments, "profile": profile.slug}
        servers = await self.launcher.servers(user)
        fields = make_fields(profile, view.images, view.gpu_types, arguments, self.t)
        order = list(fields)
        if view.groups:
            chosen = arguments.get("group") or view.default_group or ""
            fields["group"] = choice_field("group", [(group, group) for group in view.groups], chosen, self.t, "select")
        payer = fields["group"].value if "group" in fields else None
        return {
            "profile": profile.slug,
            "profiles": await self._cards(user, view, profile, arguments),
            "fields": fields,
            "order": order,
            "forecast": await self.forecast(user, arguments),
            "facts": limit_facts(view, payer, self.t),
            "restart": _restarted(servers, arguments.get("server", "")),
            "default_taken": any(not one.server_name and one.state != "stopped" for one in servers),
            "typed_name": arguments.get("name", ""),
            "longest_name": MAX_DISPLAY_NAME,
            "key": secrets.token_urlsafe(16),
        }

    async def _cards(
        self, user: str, view: CatalogView, chosen: Profile, arguments: Mapping[str, str]
    ) -> list[ProfileCard]:
        forecasts = await asyncio.gather(*(self._plain_forecast(user, profile) for profile in view.profiles))
        kept = {
            name: text
            for name, text in kept_arguments(arguments).items()
            if name in ("user", "name", "group", "server")
        }
        return [
            ProfileCard(
                slug=profile.slug,
                name=profile.display_name,
                description=profile.description,
                size=range_text(profile, profile.offered_gpu_types(view.gpu_types)),
                forecast=forecast,
                selected=profile is chosen,
                url=self.page_url("launch", **{**kept, "profile": profile.slug}),
            )
            for profile, forecast in zip(view.profiles, forecasts, strict=True)
        ]

    async def _plain_forecast(self, user: str, profile: Profile) -> Forecast:
        """Return what would happen to a profile as it comes."""
        try:
            return make_forecast(await self.launcher.preview(self.person, user, {"profile": profile.slug}), self.t)
        except MLabError as error:
            return failed_forecast(error, self.t)


class PreviewHandler(LaunchBase):
    """The line below the choices, for the page's script."""

    answers_json = True

    async def post(self) -> None:
        """Answer with the line for the form as it stands."""
        arguments = self.arguments_of(body=True)
        forecast = await self.forecast(self.subject(), arguments)
        self.finish({"kind": forecast.kind, "html": self.render_text("_forecast.html", forecast=forecast)})


def _restarted(servers: tuple[ServerView, ...], name: str) -> ServerView | None:
    """Return the stopped server that is to be started again, if the form is about one."""
    return next((one for one in servers if name and one.server_name == name and one.state == "stopped"), None)


def _chosen(profiles: tuple[Profile, ...], slug: str) -> Profile | None:
    """Return the chosen profile, else the first that needs no GPU: a page opens on what everybody can have."""
    by_slug = {profile.slug: profile for profile in profiles}
    without_gpu = next((profile for profile in profiles if profile.gpus.min == 0), None)
    return by_slug.get(slug) or without_gpu or next(iter(profiles), None)
