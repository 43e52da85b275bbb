"""The documentation as the tests see it: its pages, links and commands.

Guarantees: a page is any Markdown file that a reader is meant to see; code is told apart from prose.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

CHECKOUT = Path(__file__).resolve().parents[2]
DOCS = CHECKOUT / "docs"
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A block of code; ``language`` is what follows the three backticks."""

    page: Path
    language: str
    text: str


def all_pages() -> list[Path]:
    """Return the pages of docs/ and those in the checkout's first folder."""
    return sorted([*DOCS.rglob("*.md"), *CHECKOUT.glob("*.md")])


def name(page: Path) -> str:
    """Return a page's name in a test's id."""
    return str(page.relative_to(CHECKOUT))


def blocks(page: Path) -> Iterator[Block]:
    """Yield the blocks of code."""
    for match in _FENCE.finditer(page.read_text()):
        yield Block(page, match[2], match[3])


def prose(page: Path) -> str:
    """Return the text without blocks of code."""
    return _FENCE.sub("", page.read_text())


def links(page: Path) -> list[str]:
    """Return where the page's links and images lead."""
    return _LINK.findall(re.sub(r"`[^`\n]*`", "", prose(page)))


def anchors(page: Path) -> set[str]:
    """Return the anchors of the page's headings, as MkDocs and code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", heading.lower()).strip()) for heading in headings}


def load_generator() -> ModuleType:
    """Return docs/generate.py, which is a program and in no package."""
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
