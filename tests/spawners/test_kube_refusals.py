"""What the API server's refusals mean, as a real one (Kubernetes 1.34) wrote them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlabhub.cluster.asking import Answer
from mlabhub.spawners.kube.refusals import refusal_of

ANSWERS = json.loads(Path(__file__).with_name("kube_answers.json").read_text())
RBAC = (
    'pods is forbidden: User "system:serviceaccount:lab:hub" cannot create resource "pods" in API group "" in the '
    'namespace "lab"'
)
HOOK = 'admission webhook "policy.lab.example" denied the request: images must come\nfrom harbor.lab'


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "quota-cpu",
            "quota q of the namespace lab is used up: requests.cpu 0 of 2 are taken, and this server needs 3",
        ),
        ("quota-gpu", "requests.nvidia.com/gpu 0 of 1 are taken, and this server needs 2"),
        ("quota-pods", "pods 1 of 1 are taken, and this server needs 1"),
        ("quota-must", "does not admit the server: failed quota: q: must specify requests.cpu for: notebook"),
        ("priority", "The PriorityClass none is not on the cluster"),
        ("account", "does not admit the server: error looking up service account"),
        ("runtime-class", 'does not admit the server: pod rejected: RuntimeClass "none" not found'),
        ("invalid", "does not take the server (422)"),
        ("no-namespace", "The namespace lab is not on the cluster"),
        ("restricted", "the Pod Security standard restricted:latest, which this server does not meet: host namespaces"),
        (
            "limit-range",
            "A LimitRange of the namespace lab does not allow this size: maximum cpu usage per Container",
        ),
        ("namespace-going", "The namespace lab is being deleted"),
    ],
)
def test_what_a_cluster_answered(name: str, words: str) -> None:
    answer = ANSWERS[name]
    refusal = refusal_of(answer["code"], answer["message"], "lab")
    assert words in str(refusal)
    assert refusal.data["code"] == ("cluster_quota" if "exceeded quota" in answer["message"] else "cluster_refused")
    assert not Answer(answer["code"], answer).is_race


@pytest.mark.parametrize(
    ("status", "said", "words"),
    [
        pytest.param(403, RBAC, "The hub may not start servers in the namespace lab", id="rbac"),
        pytest.param(400, HOOK, "does not admit the server: images must come from harbor.lab", id="webhook"),
        pytest.param(500, "{0.__class__}\x1b\n" * 1000, "does not take the server (500)", id="hostile"),
        pytest.param(418, "", "does not take the server (418): -.", id="silent"),
    ],
)
def test_what_this_cluster_did_not_answer(status: int, said: str, words: str) -> None:
    refusal = refusal_of(status, said, "lab")
    assert words in str(refusal)
    assert len(str(refusal)) < 800
    assert str(refusal).isprintable()
