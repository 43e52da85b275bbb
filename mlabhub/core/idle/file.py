"""``idle.yaml``: which policy of idleness holds for which servers, and when.

Guarantees: a policy that is written here starts from a preset, or from another one of the file, and changes only what
it names; one that leads back to itself, or names what is not there, is a fault at its line. Of several rules that fit,
the first counts.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, tzinfo
from functools import cached_property
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from mlabhub.core.idle.fold import Thresholds
from mlabhub.core.idle.policy import LEAST_GRACE_S, LEAST_WINDOW_S, Action, Policy, Rule, is_within
from mlabhub.core.idle.presets import PRESETS
from mlabhub.core.quote import quote, quote_all
from mlabhub.core.schema import KeyFault, Model, Slug, Text, key_faults
from mlabhub.messages import N_, Message

MOST_MINUTES = 30 * 24 * 60.0
Window = Annotated[float, Field(strict=True, ge=LEAST_WINDOW_S / 60, le=MOST_MINUTES, allow_inf_nan=False)]
Grace = Annotated[float, Field(strict=True, ge=LEAST_GRACE_S / 60, le=MOST_MINUTES, allow_inf_nan=False)]
AnyMinutes = Annotated[float, Field(strict=True, ge=0, le=MOST_MINUTES, allow_inf_nan=False)]
Hours = Annotated[float, Field(strict=True, ge=0, le=MOST_MINUTES / 60, allow_inf_nan=False)]
Percent = Annotated[float, Field(strict=True, gt=0, le=100, allow_inf_nan=False)]
Cores = Annotated[float, Field(strict=True, gt=0, le=1e6, allow_inf_nan=False)]
Share = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]

NO_HOURS = N_("must be two times of the day such as 22:00-07:00; it is {value}")
NO_POLICY = N_("there is no policy {name}; there are: {known}")
CIRCLE = N_("leads back to itself; one of them has to start from {known}")
NOISE_ABOVE = N_("is more than busy_percent, {busy}; below it nothing is work, from busy_percent on all is")
_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)\s*-\s*([01]\d|2[0-3]):([0-5]\d)", re.ASCII)


def _hours(value: str) -> str:
    if not _HOURS.fullmatch(value):
        raise key_faults([KeyFault((), Message.of(NO_HOURS, value=quote(value)))])
    return value


DayHours = Annotated[str, Field(strict=True, max_length=20), AfterValidator(_hours)]


def minutes_of(hours: str) -> tuple[int, int]:
    """Return from which minute of the day to which; the second may be the smaller one, over midnight."""
    match = _HOURS.fullmatch(hours)
    assert match is not None
    return int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])


class IdleUse(Model):
    """What counts as use of a server with, or without, GPUs, and how long it may go without."""

    stopped: bool | None = Field(default=None, description="Whether such servers are ever stopped for idleness.")
    window_minutes: Window | None = Field(default=None, description="How long idle before the first warning.")
    busy_percent: Percent | None = Field(default=None, description="A GPU is at work from this use on.")
    noise_percent: Percent | None = Field(
        default=None,
        description="Below this no GPU is at work: a screen or a look at it. In between, the processors tell.",
    )
    cpu_cores: Cores | None = Field(
        default=None,
        description="So many cores in use are work: they tell real work on a GPU from noise; without a GPU they alone "
        "count.",
    )
    held_minutes: AnyMinutes | None = Field(
        default=None,
        description="How long a server is held after what nobody can check: keys and pointer, kernels and terminals "
        "that say they are busy, processors alone beside a GPU.",
    )
    held_most_hours: Hours | None = Field(
        default=None, description="How long all that can hold it at most, from when it was last seen at work."
    )
    hole_minutes: Annotated[float, Field(strict=True, ge=1, le=10)] | None = Field(
        default=None, description="How long samples may be missing before idleness is counted anew."
    )

    @model_validator(mode="after")
    def _noise_is_less(self) -> IdleUse:
        if self.noise_percent is not None and self.busy_percent is not None and self.noise_percent > self.busy_percent:
            message = Message.of(NOISE_ABOVE, busy=self.busy_percent)
            raise key_faults([KeyFault(("noise_percent",), message)])
        return self

    def applied(self, rule: Rule) -> Rule:
        """Return a rule with what is named here changed."""
        use = rule.thresholds
        busy = self.busy_percent or use.busy_percent
        thresholds = Thresholds(
            busy_percent=busy,
            noise_percent=min(self.noise_percent or use.noise_percent, busy),
            cpu_cores=self.cpu_cores or use.cpu_cores,
            hole_s=use.hole_s if self.hole_minutes is None else self.hole_minutes * 60,
            by_activity=use.by_activity,
        )
        window = rule.window_s if self.window_minutes is None else self.window_minutes * 60
        if self.stopped and window is None:
            window = Rule().window_s
        return replace(
            rule,
            thresholds=thresholds,
            window_s=None if self.stopped is False else window,
            held_s=rule.held_s if self.held_minutes is None else self.held_minutes * 60,
            held_most_s=rule.held_most_s if self.held_most_hours is None else self.held_most_hours * 3600,
        )


class IdlePolicy(Model):
    """A policy; what it does not name is as in the one that it starts from."""

    like: Slug = Field(
        default="default",
        description="What it starts from: `default`, `princeton`, `gpu-pruner`, `activity-only`, or another one here.",
    )
    with_gpu: IdleUse = Field(default=IdleUse(), description="Servers with GPUs.")
    without_gpu: IdleUse = Field(default=IdleUse(), description="Servers without.")
    grace_minutes: Grace | None = Field(
        default=None, description="How long between the delivery of the first warning and the stop."
    )
    reminder_minutes: tuple[AnyMinutes, ...] | None = Field(
        default=None, max_length=10, description="Further warnings, so many minutes before the stop each."
    )
    quiet_hours: tuple[DayHours, ...] | None = Field(
        default=None,
        max_length=10,
        description="Times of the day, such as `22:00-07:00` on the machine's clock, when nobody is warned or stopped.",
    )
    longest_hours: Annotated[Hours, Field(gt=0)] | None = Field(
        default=None, description="How long a server may run at all, used or not; it is warned before as well."
    )
    action: Action | None = Field(
        default=None,
        description="What happens then: `stop`; `release-gpu`, which goes on without a GPU; `nothing` but the warning.",
    )
    dry_run: bool | None = Field(
        default=None, description="Whether nothing is done and nobody warned, and only what would have been is kept."
    )
    keep_hours: Hours | None = Field(default=None, description="For how long a person may ask to keep a server.")
    keep_times: Annotated[int, Field(strict=True, ge=0, le=1000)] | None = Field(
        default=None, description="How often they may, for one stretch of idleness."
    )
    learns: bool | None = Field(
        default=None,
        description="Whether the window follows what was learned of idle stretches: the server's own and everybody's.",
    )
    aggressiveness: Share | None = Field(
        default=None, description="0 waits a day, 0.5 is what the windows say, 1 is the least that is allowed."
    )

    def applied(self, name: str, base: Policy) -> Policy:
        """Return the policy that it makes of the one that it starts from."""
        changed: dict[str, Any] = {
            "grace_s": None if self.grace_minutes is None else self.grace_minutes * 60,
            "reminders_s": None if self.reminder_minutes is None else tuple(60 * one for one in self.reminder_minutes),
            "quiet": None if self.quiet_hours is None else tuple(map(minutes_of, self.quiet_hours)),
            "longest_s": None if self.longest_hours is None else self.longest_hours * 3600,
            "action": self.action,
            "dry_run": self.dry_run,
            "keep_most_s": None if self.keep_hours is None else self.keep_hours * 3600,
            "keep_times": self.keep_times,
            "learns": self.learns,
        }
        policy = replace(
            base,
            name=name,
            with_gpu=self.with_gpu.applied(base.with_gpu),
            without_gpu=self.without_gpu.applied(base.without_gpu),
            **{key: value for key, value in changed.items() if value is not None},
        )
        return policy if self.aggressiveness is None else policy.at(self.aggressiveness)


class IdleRule(Model):
    """Which policy holds for some servers, or at some time of the day."""

    policy: Slug = Field(description="The policy.")
    profiles: tuple[Slug, ...] = Field(default=(), description="Only for these profiles; without it for all.")
    groups: tuple[Text, ...] = Field(default=(), description="Only where one of these groups pays; without it for all.")
    hours: DayHours | None = Field(default=None, description="Only at this time of the day, such as `08:00-20:00`.")

    def fits(self, profile: str, group: str | None, minute: int) -> bool:
        """Whether it speaks of such a server at such a minute of the day."""
        if (self.profiles and profile not in self.profiles) or (self.groups and group not in self.groups):
            return False
        return self.hours is None or is_within(minutes_of(self.hours), minute)


class Idle(Model):
    """``idle.yaml``: when servers that nobody uses are warned and stopped."""

    policy: Slug = Field(default="default", description="The policy where no rule fits.")
    rules: tuple[IdleRule, ...] = Field(default=(), description="Other policies for some servers; the first that fits.")
    policies: dict[Slug, IdlePolicy] = Field(
        default_factory=dict,
        description="Policies of your own by name; one called as a preset takes its place.",
        json_schema_extra={"additionalProperties": False},
    )

    @model_validator(mode="after")
    def _names_what_is_there(self) -> Idle:
        faults = list(self._faults())
        if faults:
            raise key_faults(faults)
        return self

    def _faults(self) -> Iterator[KeyFault]:
        known = {*PRESETS, *self.policies}
        named: list[tuple[tuple[str | int, ...], str]] = [(("policy",), self.policy)]
        named += [(("rules", index, "policy"), rule.policy) for index, rule in enumerate(self.rules)]
        named += [(("policies", name, "like"), one.like) for name, one in self.policies.items()]
        missing = [(at, name) for at, name in named if name not in known]
        for at, name in missing:
            yield KeyFault(at, Message.of(NO_POLICY, name=quote(name), known=quote_all(sorted(known))))
        for name in self.policies if not missing else ():
            if self._chain(name) is None:
                yield KeyFault(("policies", name, "like"), Message.of(CIRCLE, known=quote_all(list(PRESETS))))

    def _chain(self, name: str) -> list[str] | None:
        """Return the policies of the file that one is made of, itself first; None if it leads back to itself."""
        chain: list[str] = []
        while name in self.policies:
            if name in chain:
                return None
            chain.append(name)
            like = self.policies[name].like
            if like == name and name in PRESETS:
                break  # one that takes a preset's place, and starts from it
            name = like
        return chain

    @property
    def names(self) -> Collection[str]:
        """All policies that there are."""
        return sorted({*PRESETS, *self.policies})

    @cached_property
    def _made(self) -> Mapping[str, Policy]:
        return {name: self._make(name) for name in self.names}

    def named(self, name: str) -> Policy:
        """Return a policy by its name. Raises `KeyError` if there is none."""
        return self._made[name]

    def _make(self, name: str) -> Policy:
        chain = self._chain(name) or []
        policy = PRESETS[self.policies[chain[-1]].like if chain else name]
        for one in reversed(chain):
            policy = self.policies[one].applied(one, policy)
        return policy

    def policy_for(self, profile: str, group: str | None, now: float, zone: tzinfo | None = None) -> Policy:
        """Return what holds for a server now. Without a zone, hours are those of the machine's clock."""
        local = datetime.fromtimestamp(now, zone)
        minute = local.hour * 60 + local.minute
        fits = (rule.policy for rule in self.rules if rule.fits(profile, group, minute))
        return self.named(next(fits, self.policy))
