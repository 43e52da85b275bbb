"""The table of pages has every page, and the documentation shows each."""

from __future__ import annotations

import re

from mlabhub.service.pages import routes
from tests.installation import CHECKOUT
from tests.pages.all_pages import NO_PAGES, PAGES

PREFIX = "/services/mlabhub/"
ID = re.compile(r"\(\[[^]]*\]\{1,64\}(\(\?:/parts\)\?)?\)")


def test_every_route_is_a_page_or_none() -> None:
    patterns = [route.regex.pattern.rstrip("$") for route in routes(PREFIX)]
    own = {ID.sub("{id}", one).removeprefix(PREFIX).strip("()") for one in patterns}
    own -= {PREFIX.rstrip("/"), ""}
    pages = {re.sub(r"\{\w+\}", "{id}", page.path.partition("?")[0]) for page in PAGES}
    assert own - pages == {one.strip("()") for one in NO_PAGES}, "a route that is in neither table, or one that is gone"
    assert pages - own == {""}, "a page without a route"


def test_the_documentation_shows_a_picture_of_each() -> None:
    shown = (CHECKOUT / "docs" / "reference" / "pages.md").read_text()
    assert [page.name for page in PAGES if f"(../img/{page.name}.png)" not in shown] == []
