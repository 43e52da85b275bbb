"""A policy of idleness tried on recorded samples, before it is written into ``idle.yaml``.

Guarantees: for administrators; nothing is changed; what is wrong with what was typed is said with its line, and what
was typed stays.
"""

from __future__ import annotations

import math
from typing import Any

from markupsafe import Markup

from mlabhub.catalog import InvalidCatalog
from mlabhub.errors import InvalidLaunch
from mlabhub.i18n import N_
from mlabhub.service.pages.base import PageHandler
from mlabhub.service.pages.trial_words import make_idle_view
from mlabhub.service.pages.waits import span_text
from mlabhub.service.trials import Standing
from mlabhub.service.trials.idle import DAY_S, DAYS, IdleTrials, Spec

USUAL_DAYS = 2
MOST_FAULTS = 20
NO_SHARE = N_("Aggressiveness is a number from 0 to 1, such as 0.7, or empty for what the policy says.")
NOTHING = N_("Choose a policy, another aggressiveness, or type an idle.yaml.")


class IdleTrialBase(PageHandler):
    """The page and its live part."""

    @property
    def idle_trials(self) -> IdleTrials:
        """What tries policies."""
        trials: IdleTrials = self.application.settings["idle_trials"]
        return trials

    def text_of(self, spec: Spec, standing: Standing) -> str:
        """Return the part of the page that changes."""
        view = make_idle_view(standing.result, self.t) if standing.state == "done" else None
        fault = self.t.say(standing.fault) if standing.fault is not None else ""
        days = span_text(spec.days * DAY_S, self.t)
        return self.render_text("_idle_trial.html", standing=standing, view=view, fault=fault, days=days)


class IdleTrialHandler(IdleTrialBase):
    """``idle/trial``"""

    async def get(self) -> None:
        """Show the form, and how far a trial is."""
        self.require_admin()
        key = self.get_query_argument("key", "")
        if not key:
            self._show(Spec("", None, USUAL_DAYS, ""))
            return
        spec, standing = await self.idle_trials.ask(self.person, key)
        self._show(spec, standing)

    async def post(self) -> None:
        """Take what is to be tried, and lead to it."""
        self.require_navigation()
        self.require_admin()
        typed = self.get_body_argument("aggressiveness", "").strip()
        days = self.get_body_argument("days", "")
        text = self.get_body_argument("text", "").replace("\r\n", "\n")
        name = self.get_body_argument("policy", "")
        spec = Spec(
            name, _share(typed), next((one for one in DAYS if str(one) == days), USUAL_DAYS), text.strip() and text
        )
        try:
            if typed and spec.aggressiveness is None:
                raise InvalidLaunch(NO_SHARE, key="aggressiveness")
            if not (spec.name or spec.text or typed):
                raise InvalidLaunch(NOTHING, key="policy")
            key = await self.idle_trials.keep(self.person, spec)
        except InvalidCatalog as error:
            self.set_status(422)
            faults = [(fault.line, self.t.say(fault.line_text).partition(": ")[2]) for fault in error.faults]
            self._show(spec, typed=typed, field="text", faults=faults[:MOST_FAULTS])
        except InvalidLaunch as error:
            self.set_status(error.status)
            problem = self.t.say(error.message)
            self._show(spec, typed=typed, field=str(error.data.get("key", "")), problem=problem)
        else:
            self.redirect(self.page_url("idle/trial", key=key), status=303)

    def _show(self, spec: Spec, standing: Standing | None = None, **more: Any) -> None:
        shown = {"typed": "", "field": "", "problem": "", "faults": [], **more}
        if spec.aggressiveness is not None and not shown["typed"]:
            shown["typed"] = f"{spec.aggressiveness:g}"
        self.render_page(
            "idle_trial.html",
            title=self.t(N_("Try a policy of idleness")),
            spec=spec,
            names=self.idle_trials.names,
            spans=[(one, span_text(one * DAY_S, self.t)) for one in DAYS],
            over=standing is None or standing.over,
            fragment=Markup(self.text_of(spec, standing)) if standing is not None else "",
            parts_url=self.page_url("idle/trial/parts", key=spec.key),
            **shown,
        )


class IdleTrialPartsHandler(IdleTrialBase):
    """Its live part."""

    answers_json = True

    async def get(self) -> None:
        """Answer with how far the trial is."""
        self.require_admin()
        spec, standing = await self.idle_trials.ask(self.person, self.get_query_argument("key", ""))
        self.finish({"parts": {"trial": self.text_of(spec, standing)}, "moves": not standing.over})


def _share(typed: str) -> float | None:
    try:
        share = float(typed)
    except ValueError:
        return None
    return share if math.isfinite(share) and 0 <= share <= 1 else None
