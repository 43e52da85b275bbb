"""Lines of a Containerfile, by which an engine is told an image's configuration.

Guarantees: whatever a value is, it is quoted; of another image's configuration nothing gets into a line that could say
something else there, such as a label of ours.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_NAME = re.compile(r"[A-Za-z0-9_./-]+")


def env_line(name: str, value: str) -> str:
    """Return the line that sets a variable."""
    return f"ENV {name}={_quoted(value)}"


def label_line(name: str, value: str) -> str:
    """Return the line that sets a label."""
    return f"LABEL {name}={_quoted(value)}"


def config_lines(config: Mapping[str, Any], labels: Mapping[str, str]) -> list[str]:
    """Return the lines that give an image without any configuration that of another, with these labels."""
    entries = (entry.partition("=") for entry in config.get("Env") or () if "=" in entry)
    lines = [env_line(name, value) for name, _, value in entries if _NAME.fullmatch(name)]
    for name in ("Entrypoint", "Cmd"):
        if config.get(name):
            lines.append(f"{name.upper()} {json.dumps(config[name])}")
    folder = str(config.get("WorkingDir") or "")
    if folder and folder.isprintable():
        lines.append(f"WORKDIR {folder}")
    return lines + [label_line(name, value) for name, value in labels.items() if _NAME.fullmatch(name)]


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$") + '"'
