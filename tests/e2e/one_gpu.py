"""A hub of plain processes with one GPU."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlabhub.catalog import default_directory
from tests.installation import Installation, free_port


@contextmanager
def run_one_gpu(folder: Path, quotas: dict[str, Any]) -> Iterator[Installation]:
    """Run a hub with one simulated GPU, what is shipped as configuration, and these quotas."""
    shutil.copytree(default_directory(), folder / "config")
    (folder / "config" / "quotas.yaml").write_text(json.dumps(quotas))
    arguments = ("--backend", "process", "--simulate-gpus", "1xT4", "--config", str(folder / "config"))
    hub = Installation(folder / "state", free_port(), arguments)
    try:
        hub.start()
        yield hub
    finally:
        hub.close()
