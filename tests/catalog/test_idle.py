"""``idle.yaml`` in a folder: faults at their lines, and what is said where it is absent."""

from __future__ import annotations

import pytest

from mlabhub.catalog import load_catalog, load_idle
from mlabhub.catalog.faults import InvalidCatalog
from tests.catalog.conftest import faults_of


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "rules:\n- {policy: default, profiles: [gpu, cpus]}\n",
            "idle.yaml:2: rules[0].profiles[1]: there is no profile",
        ),
        ("policy: princton\n", 'idle.yaml:1: policy: there is no policy "princton"; there are: activity-only,'),
        ("policies:\n  a:\n    like: b\n", 'idle.yaml:3: policies.a.like: there is no policy "b"'),
        ("policies:\n  a: {grace: 5}\n", "idle.yaml:2: policies.a.grace: is not a known key"),
    ],
)
def test_faults(folder, text, fault):
    path = folder()
    (path / "idle.yaml").write_text(text)
    assert any(one.startswith(fault) for one in faults_of(path)), faults_of(path)


def test_without_the_file_it_is_default(folder):
    assert load_catalog(folder()).idle.policy == "default"


def test_a_file_by_itself(tmp_path):
    file = tmp_path / "idle.json"
    file.write_text('{"policy": "princeton"}')
    assert load_idle(file).policy == "princeton"
    file.write_text('{"policy": 1}')
    with pytest.raises(InvalidCatalog):
        load_idle(file)
