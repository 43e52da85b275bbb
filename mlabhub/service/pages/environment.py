"""The templates' environment: everything is escaped unless a template of ours says otherwise, and none does."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from mlabhub.i18n import join_sentences

TEMPLATE_DIR = Path(__file__).parent / "templates"
SHARED_DIR = Path(__file__).parents[2] / "hubtemplates"
"""Its folder ``shared`` has what the hub's own pages show as well: the menus."""


def make_environment() -> Environment:
    """Return the environment; a name that a template misspells is an error, not an empty space."""
    environment = Environment(
        loader=FileSystemLoader([TEMPLATE_DIR, SHARED_DIR]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["filled"] = filled
    environment.filters["sentences"] = join_sentences
    return environment


def filled(sentence: str, **parts: str) -> Markup:
    """Return a sentence with parts of ours where it says ``{name}``, a time that counts down, say; all else is text."""
    text = escape(sentence)
    for name, part in parts.items():
        text = text.replace(f"{{{name}}}", part)
    return text


ENVIRONMENT = make_environment()


def render_part(name: str, value: object) -> str:
    """Return one of the macros of ``_parts.html`` for a value."""
    return str(getattr(ENVIRONMENT.get_template("_parts.html").module, name)(value))
