"""The table of docs/reference/access.md, which says who may call what, as the walk over all routes reads it.

Guarantees: the page is the only place where this is written down; a row that cannot be read is an error that says why.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, get_args

from tornado.web import RequestHandler, URLSpec

from tests.docs.pages import DOCS

PAGE = DOCS / "reference" / "access.md"
Word = Literal["yes", "no", "own", "self", "login"]
METHODS = ("get", "post", "put", "delete", "patch")
_ROW = re.compile(r"^\| `(GET|POST|PUT|DELETE|PATCH)(?: ([^`]*))?` \| (.+) \|$", re.MULTILINE)


@dataclass(frozen=True)
class Row:
    """What each may do at one address; ``address`` has ``{places}`` that the walk fills in."""

    method: str
    address: str
    nobody: Word
    person: Word
    admin: Word
    spawner: Word
    agent: Word

    def __str__(self) -> str:
        return f"{self.method} {self.address}"

    @property
    def changes(self) -> bool:
        """Return whether it may change something."""
        return self.method != "GET"


def rows(heading: str) -> list[Row]:
    """Return the rows below a heading of the page."""
    text = PAGE.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [_row(*found) for found in _ROW.findall(text)]


def _row(method: str, address: str, cells: str) -> Row:
    words: list[Any] = [cell.strip() for cell in cells.split(" | ")]
    wrong = set(words) - set(get_args(Word))
    assert not wrong, f"{PAGE.name}: {method} {address} says {wrong}; it can say {get_args(Word)}"
    if len(words) == 3:  # a page: for browsers alone
        words += ["no", "no"]
    assert len(words) == 5, f"{PAGE.name}: {method} {address} has {len(words)} cells of rights"
    return Row(method, address, *words)


def missing(rules: list[URLSpec], known: list[Row], prefix: str) -> list[str]:
    """Return a sentence for each method of each route that no row is about."""
    covered = {(rule_of(rules, prefix, row.address), row.method) for row in known}
    return [
        f"{method.upper()} {rule.regex.pattern} ({rule.handler_class.__module__}.{rule.handler_class.__name__}) has no "
        f"row in docs/reference/access.md: add one that says who may, below API or Pages."
        for rule in rules
        for method in METHODS
        if getattr(rule.handler_class, method) is not getattr(RequestHandler, method)
        if (rule, method.upper()) not in covered
    ]


def rule_of(rules: list[URLSpec], prefix: str, address: str) -> URLSpec:
    """Return the route that answers an address of a row."""
    path = path_of(prefix, re.sub(r"\{\w+\}", "x", address)).partition("?")[0]
    for rule in rules:
        if rule.regex.match(path):
            return rule
    raise AssertionError(f"docs/reference/access.md has a row for {address}, and there is no such route: remove it.")


def path_of(prefix: str, address: str) -> str:
    """Return the whole path of a row's address: below the service's prefix, unless it begins with a slash."""
    return address if address.startswith("/") else prefix + address
