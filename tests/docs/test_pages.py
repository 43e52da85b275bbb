"""The documentation builds without a warning, leads nowhere that is not there, and loads nothing from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.docs.pages import CHECKOUT, all_pages, anchors, links, name

PAGES = [pytest.param(page, id=name(page)) for page in all_pages()]
LONGEST = 120


@pytest.mark.parametrize("page", PAGES)
def test_relative_links(page: Path) -> None:
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = unquote(link).partition("#")
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), f"{link}: there is no {file}"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), f"{link}: no such heading; there are {sorted(anchors(file))}"


@pytest.mark.parametrize("page", PAGES)
def test_layout(page: Path) -> None:
    text = page.read_text()
    assert text.startswith("# ")
    assert text.endswith("\n")
    assert not re.search(r"\b(TODO|TBD|FIXME|coming soon)\b", text)
    written = re.sub(r"<!-- generated.*?<!-- end -->", "", text, flags=re.DOTALL)
    long = [line for line in written.splitlines() if len(line) > LONGEST and not line.startswith("|")]
    assert not long


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    # Without --quiet: with it mkdocs counts no warnings.
    argv = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_builds_without_a_warning(site: Path) -> None:
    assert (site / "index.html").exists()
    assert not list(site.rglob("*.py"))


def test_loads_nothing_from_elsewhere(site: Path) -> None:
    pattern = re.compile(r"""<(?:script|img|link)[^>]*?(?:src|href)=["']?(https?:)?//([^"'\s>]+)""")
    for page in site.rglob("*.html"):
        found = [match[0] for match in pattern.finditer(page.read_text()) if "rel=canonical" not in match[0]]
        assert not found, page
