"""What the cluster's refusal to make a pod means, in words.

Guarantees: pure; total: whatever the API server answered, a sentence comes out, and never a bare status.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mlabhub.cluster.asking import FORBIDDEN, NOT_FOUND
from mlabhub.errors import LaunchRefused, MLabError
from mlabhub.messages import N_, Message
from mlabhub.spawners.kube.texts import clean

MOST_REASON = 300
MOST_NAME = 80

_QUOTA = re.compile(
    r"exceeded quota: (?P<quota>[^,]+), requested: (?P<asked>.*), used: (?P<used>.*), limited: (?P<most>.*)"
)
_AMOUNT = re.compile(r"([A-Za-z0-9./*_-]+)=([^,]+)")
_SECURITY = re.compile(r'violates PodSecurity "(?P<level>[^"]+)": (?P<why>.*)', re.DOTALL)
_WEBHOOK = re.compile(r'admission webhook "(?P<hook>[^"]+)" denied the request(?:: (?P<why>.*))?', re.DOTALL)


@dataclass(frozen=True)
class Shortage:
    """One resource that a ResourceQuota refused, as Kubernetes writes amounts."""

    resource: str
    asked: str
    used: str
    most: str


def shortages(said: str) -> tuple[Shortage, ...]:
    """Return what a ResourceQuota refused; nothing if it was not one."""
    found = _QUOTA.search(said)
    return () if found is None else tuple(_shortages(found))


def _shortages(found: re.Match[str]) -> Iterator[Shortage]:
    asked, used, most = (dict(_AMOUNT.findall(found[part])) for part in ("asked", "used", "most"))
    for resource, amount in asked.items():
        if resource in most:
            yield Shortage(resource, amount, used.get(resource, "0"), most[resource])


def refusal_of(status: int, said: str, namespace: str) -> MLabError:
    """Return the error for a pod that the API server did not take; ``said`` is its own sentence."""
    message = _message(status, said, namespace)
    return LaunchRefused(message, log_text=f"HTTP {status}: {said}", code=_code(status, said))


def _code(status: int, said: str) -> str:
    return "cluster_quota" if status == FORBIDDEN and shortages(said) else "cluster_refused"


def _message(status: int, said: str, namespace: str) -> Message:
    short = shortages(said)
    if short:
        return _short(short, _QUOTA.search(said), namespace)
    security = _SECURITY.search(said)
    if security:
        return Message.of(
            N_(
                "The namespace {namespace} admits only pods of the Pod Security standard {level}, which this server "
                "does not meet: {why}. Choose another profile, or ask an administrator."
            ),
            namespace=namespace,
            level=security["level"],
            why=clean(security["why"], MOST_REASON),
        )
    webhook = _WEBHOOK.search(said)
    if webhook:
        template = N_("A rule of this cluster ({hook}) does not admit the server: {why}. Ask an administrator.")
        return Message.of(template, hook=webhook["hook"], why=clean(webhook["why"] or "-", MOST_REASON))
    return _plain(status, said, namespace)


def _plain(status: int, said: str, namespace: str) -> Message:
    if status == NOT_FOUND:
        template = N_("The namespace {namespace} is not on the cluster. An administrator has to make it.")
        return Message.of(template, namespace=namespace)
    if status == FORBIDDEN and ("terminated" in said or "terminating" in said):
        template = N_("The namespace {namespace} is being deleted. An administrator has to make it again.")
        return Message.of(template, namespace=namespace)
    if status == FORBIDDEN and (known := _known(said, namespace)) is not None:
        return known
    if status in (401, FORBIDDEN):
        template = N_(
            "The hub may not start servers in the namespace {namespace}: {why}. An administrator has to allow it."
        )
        return Message.of(template, namespace=namespace, why=clean(said, MOST_REASON) or status)
    template = N_("The cluster does not take the server ({status}): {why}. Tell an administrator.")
    return Message.of(template, status=status, why=clean(said, MOST_REASON) or "-")


def _known(said: str, namespace: str) -> Message | None:
    """Return the sentence for what the cluster does not admit, although the hub may ask for it."""
    reason = said.partition(" is forbidden: ")[2]
    if not reason or "cannot create resource" in said:
        return None
    priority = re.search(r"no PriorityClass with name (?P<name>\S+) was found", reason)
    if priority:
        template = N_(
            "The PriorityClass {name} is not on the cluster. An administrator has to make it, or to correct "
            "kubernetes.yaml."
        )
        return Message.of(template, name=clean(priority["name"], MOST_NAME))
    if re.search(r"(?:maximum|minimum) \S+ usage per (?:Container|Pod) is", reason):
        template = N_(
            "A LimitRange of the namespace {namespace} does not allow this size: {why}. Ask for another amount, or ask "
            "an administrator."
        )
        return Message.of(template, namespace=namespace, why=clean(reason, MOST_REASON))
    template = N_("The namespace {namespace} does not admit the server: {why}. Tell an administrator.")
    return Message.of(template, namespace=namespace, why=clean(reason, MOST_REASON))


def _short(short: tuple[Shortage, ...], found: re.Match[str] | None, namespace: str) -> Message:
    first = short[0]
    return Message.of(
        N_(
            "The cluster's own quota {quota} of the namespace {namespace} is used up: {resource} {used} of {most} are "
            "taken, and this server needs {asked}. Ask for less, stop another server, or wait; an administrator can "
            "raise it."
        ),
        quota=found["quota"] if found else "-",
        namespace=namespace,
        resource=first.resource,
        used=first.used,
        most=first.most,
        asked=first.asked,
    )
