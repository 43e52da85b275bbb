"""Lines of a Containerfile, by which an engine is told an image's configuration. Whatever a value is, it is quoted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def env_line(name: str, value: str) -> str:
    """Return the line that sets a variable."""
    return f"ENV {name}={_quoted(value)}"


def label_line(name: str, value: str) -> str:
    """Return the line that sets a label."""
    return f"LABEL {name}={_quoted(value)}"


def config_lines(config: Mapping[str, Any], labels: Mapping[str, str]) -> list[str]:
    """Return the lines that give an image without any configuration that of another, with these labels."""
    lines = [env_line(*entry.split("=", 1)) for entry in config.get("Env") or () if "=" in entry]
    for name in ("Entrypoint", "Cmd"):
        if config.get(name):
            lines.append(f"{name.upper()} {json.dumps(config[name])}")
    if config.get("WorkingDir"):
        lines.append(f"WORKDIR {config['WorkingDir']}")
    return lines + [label_line(name, value) for name, value in labels.items()]


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$") + '"'
