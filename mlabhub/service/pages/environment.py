"""The templates' environment: everything is escaped unless a template of ours says otherwise, and none does."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mlabhub.core.units import format_cpu, format_gib, format_gpus

TEMPLATE_DIR = Path(__file__).parent / "templates"


def make_environment() -> Environment:
    """Return the environment; a name that a template misspells is an error, not an empty space."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATE_DIR),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(cpu=format_cpu, gib=format_gib)
    environment.globals.update(format_gpus=format_gpus)
    return environment
