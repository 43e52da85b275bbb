"""The claims behind a server's volumes: ours made where they are missing, an administrator's looked at.

Guarantees: a claim is never changed or deleted; one that has the name of ours and is not ours is refused; what cannot
come to anything is known before a pod waits for it, as far as the claim itself tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlabhub.cluster import labels
from mlabhub.cluster.asking import NOT_FOUND, Answer, ask
from mlabhub.cluster.volumes import Claim, Part, UnmountableShare
from mlabhub.messages import N_, Message

Found = Mapping[str, Any]


async def find_volume(api: Any, namespace: str, part: Part) -> str:
    """Return the name of what a part's claim is bound to, empty if to nothing yet; a claim of ours is made.

    Raises `UnmountableShare` if it cannot be used, `ClusterUnavailable` if the API does not answer.
    """
    if part.own_claim is not None:
        found = await _ensured(api, namespace, part.own_claim)
    elif part.given_claim:
        found = await _given(api, namespace, part)
    else:
        return ""
    name = found["metadata"]["name"]
    if found["metadata"].get("deletionTimestamp"):
        template = N_("The claim {claim} in the namespace {namespace} is being deleted. Try again when it is gone.")
        raise _refusal(template, claim=name, namespace=namespace)
    if found.get("status", {}).get("phase") == "Lost":
        template = N_("The volume of the claim {claim} in the namespace {namespace} is gone. Ask an administrator.")
        raise _refusal(template, claim=name, namespace=namespace)
    return str(found["spec"].get("volumeName") or "")


async def _ensured(api: Any, namespace: str, claim: Claim) -> Found:
    found = await _read(api, namespace, claim.name)
    if found is None:
        answer = await ask(api.create_namespaced_persistent_volume_claim, namespace, dict(claim.manifest))
        if answer.is_taken:
            found = await _read(api, namespace, claim.name)
        if found is None:
            found = _checked(answer, claim.name)
    metadata = found["metadata"]
    instance = claim.manifest["metadata"]["labels"][labels.INSTANCE]
    ours = metadata.get("labels", {}).get(labels.INSTANCE) == instance
    if not ours or metadata.get("annotations", {}).get(labels.FOLDER) != claim.folder:
        template = N_(
            "The claim {claim} in the namespace {namespace} was not made by this hub, so it is left alone. "
            "Ask an administrator to rename or delete it."
        )
        raise _refusal(template, claim=claim.name, namespace=namespace)
    return found


async def _given(api: Any, namespace: str, part: Part) -> Found:
    found = await _read(api, namespace, part.given_claim)
    if found is None:
        template = N_(
            "The claim {claim} for {folder} is not in the namespace {namespace}. Ask an administrator to make it, or "
            "to correct kubernetes.yaml."
        )
        raise _refusal(template, claim=part.given_claim, folder=part.folder, namespace=namespace)
    return found


async def _read(api: Any, namespace: str, name: str) -> Found | None:
    answer = await ask(api.read_namespaced_persistent_volume_claim, name, namespace)
    return None if answer.status == NOT_FOUND else _checked(answer, name)


def _checked(answer: Answer, name: str) -> Found:
    if answer.is_fine:
        return answer.body
    if "exceeded quota" in answer.said:
        template = N_("The namespace's quota has no room for the volume {claim} ({reason}). Tell an administrator.")
    else:
        template = N_("The cluster does not let the hub use the claim {claim} ({reason}). Tell an administrator.")
    raise _refusal(template, claim=name, reason=answer.said)


def _refusal(template: str, **values: object) -> UnmountableShare:
    return UnmountableShare(Message.of(template, values))
