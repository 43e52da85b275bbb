"""A checkout of the Zero to JupyterHub chart made ready for helm, as the chart's own tools do before a release."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.helm.overlays import FOLDER

UNSET = "set-by-chartpress"


def make_chart(source: Path, target: Path) -> Path:
    """Copy the chart of a checkout, or a chart's own folder, and return it, with schema and tags set."""
    inner = source / "jupyterhub"
    shutil.copytree(inner if inner.is_dir() else source, target, symlinks=True)
    schema = target / "values.schema.yaml"
    if schema.is_file():
        read = YAML(typ="safe").load(schema.read_text())
        (target / "values.schema.json").write_text(json.dumps(_without_descriptions(read)))
    values = target / "values.yaml"
    values.write_text(values.read_text().replace(UNSET, "0.0.1"))
    return target


def _without_descriptions(part: Any) -> Any:
    """Return a schema without its texts; a key of the values may be called ``description``, too."""
    if isinstance(part, dict):
        return {
            key: _without_descriptions(value)
            for key, value in part.items()
            if not (key == "description" and isinstance(value, str))
        }
    return [_without_descriptions(one) for one in part] if isinstance(part, list) else part


def render(chart: Path, names: Iterable[str], *more: str, namespace: str = "mlabhub", release: str = "mlabhub") -> str:
    """Return what helm makes of these overlays. Raises `AssertionError` with its words."""
    files = [argument for name in names for argument in ("--values", str(FOLDER / f"{name}.yaml"))]
    command = ["helm", "template", release, str(chart), "--namespace", namespace, *files, *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
