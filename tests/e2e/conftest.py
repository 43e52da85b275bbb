"""One real installation for the end-to-end tests: hub, proxy, service and Podman, with simulated GPUs."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from mlabhub.catalog import default_directory
from tests.chromium import run_chromium
from tests.e2e.place import place
from tests.installation import Installation, free_port

__all__ = ["place"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here needs the engine."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.engine)


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Return a running hub with 4 simulated A100 and 2 T4, and people of two groups: alice of vision, bob of nlp."""
    assert os.geteuid() == 0, "the end-to-end tests run containers as root: use `sudo make test`"
    state = tmp_path_factory.mktemp("e2e") / "state"
    config = make_config(state.parent)
    arguments = ("--simulate-gpus", "4xA100,2xT4", "--config", str(config))
    installation = Installation(state, free_port(), arguments)
    try:
        installation.start()
        yield installation
    finally:
        installation.close()


OPEN_CPU = """\
    mounts: true
    own_images: true
    typed_images: [{registry: "master0:5000", repository: "eflops/*"}]
    options:
      workers: {display_name: Loader workers, variable: NUM_WORKERS, min: 0, max: 16, default: 4}
      precision: {display_name: Precision, variable: PRECISION, choices: {fp32: Full, bf16: bfloat16}}
"""


OF_GROUPS = """\
  narrow: {display_name: Plain, images: [base], groups: [narrow], cpu: 1, memory_gib: 1, tools: [lab, terminal]}
  brief: {display_name: Brief, images: [base], groups: [brief], cpu: 1, memory_gib: 1, kind: tensorboard,
    unused_minutes: 0.25}
"""


def make_config(folder: Path) -> Path:
    """Return the configuration that is shipped, with data sets (gina's is away), and every kind of choice for CPU."""
    config = folder / "config"
    shutil.copytree(default_directory(), config)
    shares: dict[str, dict[str, object]] = {
        "open": {"display_name": "Open data", "target": "/mnt/data/open", "read_only": True},
        "xray": {"display_name": "X-ray", "target": "/mnt/data/xray", "read_only": True, "groups": ["vision"]},
        "fast": {"display_name": "Fast disk", "target": "/mnt/fast", "tier": "scratch"},
    }
    for slug, share in shares.items():
        share["source"] = str(folder / "nas" / slug)
        (folder / "nas" / slug / "train").mkdir(parents=True)
        (folder / "nas" / slug / "one").write_text("1")
        for path in (folder / "nas" / slug, folder / "nas" / slug / "one"):
            path.chmod(0o777)  # whoever cannot write then is kept from it by the mount
    away = {"display_name": "Away", "source": str(folder / "nas" / "away"), "target": "/mnt/data/away"}
    shares["away"] = {**away, "users": ["gina"]}
    (config / "storage.yaml").write_text(json.dumps({"shares": shares, "mount_prefixes": ["/mnt/work"]}))
    profiles = config / "profiles.yaml"
    text = profiles.read_text().replace("    images: [base,", f"{OPEN_CPU}    images: [base,", 1)
    profiles.write_text(text.replace("\n# What GPU types", f"{OF_GROUPS}\n# What GPU types", 1))
    return config


@pytest.fixture(scope="session")
def people(hub: Installation) -> dict[str, str]:
    """Return names and passwords."""
    return {"alice": hub.add_user("alice", "vision"), "bob": hub.add_user("bob", "nlp")}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return a Chromium with a fresh profile."""
    with run_chromium() as browser:
        yield browser
