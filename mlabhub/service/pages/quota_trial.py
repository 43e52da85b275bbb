"""A change of quotas tried on what was recorded, before it is made.

Guarantees: for administrators; nothing is changed; the replay goes on while somebody looks at the page, and ends
soon after nobody does.
"""

from __future__ import annotations

from functools import partial

from markupsafe import Markup

from mlabhub.i18n import N_
from mlabhub.service.bodies import parse
from mlabhub.service.pages.quota_words import change_text, name_text, quota_url
from mlabhub.service.pages.quotas import QuotaBase
from mlabhub.service.pages.trial_words import make_trial_view
from mlabhub.service.pages.waits import span_text
from mlabhub.service.quota_bodies import QuotaChangesBody
from mlabhub.service.quota_desk import QuotaDesk
from mlabhub.service.trials import Standing, Trials
from mlabhub.service.trials.quotas import DAY_S, DAYS, make_quota_trial

USUAL_DAYS = 7


class QuotaTrialBase(QuotaBase):
    """The page and its live part."""

    @property
    def days(self) -> int:
        """How many days are replayed."""
        text = self.get_query_argument("days", "")
        return next((one for one in DAYS if str(one) == text), USUAL_DAYS)

    async def standing(self) -> Standing:
        """Return how far the replay is; it begins if it has not. Raises what a change raises that cannot be made."""
        self.require_admin()
        change = self.get_query_argument("change", "")
        desk: QuotaDesk = self.application.settings["quota_desk"]
        trials: Trials = self.application.settings["trials"]
        self.made = await desk.plan(self.person.name, parse(change.encode(), QuotaChangesBody))
        make = partial(make_quota_trial, self.application.settings["world"], self.made, self.days)
        return await trials.ask(self.person.name, f"quotas {self.days} {change}", make)

    def text_of(self, standing: Standing) -> str:
        """Return the part of the page that changes."""
        view = make_trial_view(standing.result, self.t) if standing.state == "done" else None
        fault = self.t.say(standing.fault) if standing.fault is not None else ""
        return self.render_text("_quota_trial.html", standing=standing, view=view, fault=fault, days=self.days)


class QuotaTrialHandler(QuotaTrialBase):
    """``quotas/trial``"""

    async def get(self) -> None:
        """Begin the replay, and show how far it is."""
        standing = await self.standing()
        change, t, first = self.get_query_argument("change", ""), self.t, self.made[0]
        of_user = first.part == "cap"
        self.render_page(
            "quota_trial.html",
            title=t(N_("What it would have meant")),
            whose=name_text(first.name, t, of_user=of_user),
            back=quota_url(self.page_url, first.name, of_user=of_user),
            what=[change_text(one, t) for one in self.made],
            spans=[
                (one, span_text(one * DAY_S, t), self.page_url("quotas/trial", change=change, days=str(one)))
                for one in DAYS
            ],
            days=self.days,
            over=standing.over,
            fragment=Markup(self.text_of(standing)),
            parts_url=self.page_url("quotas/trial/parts", change=change, days=str(self.days)),
            change_url=self.page_url("change-quota", change=change),
        )


class QuotaTrialPartsHandler(QuotaTrialBase):
    """Its live part."""

    answers_json = True

    async def get(self) -> None:
        """Answer with how far the replay is."""
        standing = await self.standing()
        self.finish({"parts": {"trial": self.text_of(standing)}, "moves": not standing.over})
