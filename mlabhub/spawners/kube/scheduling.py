"""Why the scheduler found no node, from the one line in which it says so.

Guarantees: pure; a reason that is not known is shown as the scheduler wrote it. Its line has numbers of nodes, never of
GPUs: those the service knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mlabhub.core.reasons import joined
from mlabhub.messages import N_, Message
from mlabhub.spawners.kube.sayings import CLAIM_GOING, CLAIM_LOST, NO_CLAIM, NO_NODE, OTHER, UNBOUND, Said
from mlabhub.spawners.kube.texts import clean

_HEAD = re.compile(r"\s*(\d+)/(\d+) nodes are available: (.*)", re.DOTALL)
_TAIL = re.compile(r"\.? (?:no new claims to deallocate|preemption: |not found$).*", re.DOTALL)
_PART = re.compile(r"(\d+) (.+)")
_CLAIM = re.compile(r'persistentvolumeclaim "([^"]*)" (not found|is being deleted|bound to non-existent .*)')
MOST_REASONS = 3
"""A sentence in which more are would be too deep for `read_message`, and nobody reads it to its end."""

_RESOURCES = {
    "cpu": Message(N_("too little CPU is free")),
    "memory": Message(N_("too little memory is free")),
    "ephemeral-storage": Message(N_("too little disk is free")),
    "pods": Message(N_("holds as many pods as it may")),
}
_GPUS = N_("too few GPUs are free ({resource})")
_OTHERS = N_("too little of {resource} is free")

_REASONS: tuple[tuple[str, str], ...] = (
    (r"Too many pods", N_("holds as many pods as it may")),
    (
        r"node\(s\) didn't match (?:Pod's|scheduler-enforced) node (?:affinity|selector).*",
        N_("not of the kind it needs"),
    ),
    (r"node\(s\) had untolerated taint(?:\(s\)|s)?$", N_("kept for others (tainted)")),
    (r"node\(s\) had untolerated taint \{(?P<text>.*)\}", N_("kept for others (tainted: {text})")),
    (r"node\(s\) were unschedulable", N_("takes no new servers")),
    (r"node\(s\) (?:were|was) not ready", N_("not ready")),
    (
        r"node\(s\) (?:had volume node affinity conflict|didn't match PersistentVolume's node affinity)",
        N_("cannot reach one of its volumes"),
    ),
    (r"node\(s\) had no available volume zone", N_("cannot reach one of its volumes")),
    (r"node\(s\) didn't find available persistent volumes to bind", N_("no volume there fits one of its claims")),
    (r"node\(s\) unavailable due to (?:one or more )?pvc\(s\) bound to non-existent pv\(s\)", N_("its volume is gone")),
    (r"node\(s\) did not have enough free storage", N_("too little storage for one of its volumes")),
    (r"node\(s\) exceed max volume count", N_("holds as many volumes as it may")),
    (r"node\(s\) didn't (?:match|satisfy) .*anti-affinity rules", N_("must not run beside what is there")),
    (r"node\(s\) didn't match pod affinity rules", N_("must run beside something that is not there")),
    (r"node\(s\) didn't match pod topology spread constraints.*", N_("would be spread too unevenly")),
    (r"node\(s\) didn't have free ports for the requested pod ports", N_("its port is taken")),
    (
        r"node(?:\(s\) unavailable due to| has pod using) PersistentVolumeClaim with .*",
        N_("one of its claims is in use by another pod"),
    ),
)


@dataclass(frozen=True)
class Unschedulable:
    """What the scheduler's line says; ``short``: there is too little of what the service can count."""

    said: Said
    short: bool


def read_scheduling(text: object, claims: Sequence[str], places: Message | str) -> Unschedulable:
    """Return what the scheduler's line means for a pod with these claims, mounted at these places."""
    head = _HEAD.match(str(text or "")[:4000])
    if head is None:
        return Unschedulable(OTHER.of(text=clean(text)), False)
    everything, rest = int(head[2]), _TAIL.sub("", head[3]).strip(" .")
    if (volume := _of_claims(rest, claims, places)) is not None:
        return Unschedulable(volume, False)
    found = list(_parts(rest))
    if not found:
        return Unschedulable(NO_NODE.of(reasons=clean(rest) or "-"), False)
    part = N_("{reason} ({count} of {all})")
    reasons = [Message.of(part, reason=reason, count=count, all=everything) for count, reason, _ in found]
    return Unschedulable(NO_NODE.of(reasons=joined("; ", reasons[:MOST_REASONS])), any(short for *_, short in found))


def _of_claims(text: str, claims: Sequence[str], places: Message | str) -> Said | None:
    found = _CLAIM.search(text)
    if found is not None:
        saying = {"not found": NO_CLAIM, "is being deleted": CLAIM_GOING}.get(found[2], CLAIM_LOST)
        return saying.of(claims=clean(found[1], 80), places=places)
    if "unbound immediate PersistentVolumeClaims" in text:
        return UNBOUND.of(claims=clean(", ".join(claims), 160) or "-")
    return None


def _parts(text: str) -> Iterator[tuple[int, Message | str, bool]]:
    """Yield number of nodes, reason, and whether it is about amounts; resources first, for they can be waited for."""
    found: list[tuple[int, Message | str, bool]] = []
    for part in re.split(r", (?=\d+ )|\. (?=\d+ )", text):
        match = _PART.fullmatch(part.strip(" ."))
        if match is None:
            continue
        count, reason = int(match[1]), match[2]
        if reason.startswith("Insufficient "):
            found.append((count, _lack(reason.removeprefix("Insufficient ")), True))
        else:
            found.append((count, _reason(reason), False))
    yield from sorted(found, key=lambda one: (not one[2], -one[0]))


def _lack(resource: str) -> Message:
    template = _GPUS if re.search(r"gpu|/mig-", resource) else _OTHERS
    return _RESOURCES.get(resource) or Message.of(template, resource=clean(resource, 80))


def _reason(text: str) -> Message | str:
    for pattern, template in _REASONS:
        match = re.fullmatch(pattern, text)
        if match is not None:
            values = {name: clean(value, 80) for name, value in match.groupdict().items()}
            return Message.of(template, values)
    return clean(text, 120)
