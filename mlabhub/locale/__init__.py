"""The catalogues of translations, and how they are kept in step with the code.

``python -m mlabhub.locale`` collects every sentence that a person may read (what `N_` marks in Python, what ``_()``
says in templates) into ``mlabhub.pot``, and takes each language's catalogue along: known translations stay, new
sentences come in empty, those that are gone go. A test fails while the template is behind, or while any sentence
has no translation.
"""

from __future__ import annotations

import io
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.pofile import read_po, write_po

PACKAGE = Path(__file__).parent.parent
TEMPLATE = Path(__file__).parent / "mlabhub.pot"
KEYWORDS = {**DEFAULT_KEYWORDS, "N_": None}
METHODS = [("**.py", "python"), ("**.html", "jinja2")]


def extract() -> Catalog:
    """Return all sentences of the package with the files they stand in."""
    catalog = Catalog(project="mlabhub", charset="utf-8")
    catalog.header_comment = (
        "# Sentences of mlabhub. Made by `python -m mlabhub.locale`; edit the catalogues, not this."
    )
    found = extract_from_dir(PACKAGE, METHODS, keywords=KEYWORDS, directory_filter=_is_ours)
    for file, _line, message, _comments, context in sorted(found, key=lambda one: (one[0], one[1])):
        catalog.add(message, locations=[(f"mlabhub/{file}", 0)], context=context)
    return catalog


def catalogues() -> list[tuple[str, Path]]:
    """Return the languages that there are, and their files."""
    return [(file.parent.parent.name, file) for file in sorted(TEMPLATE.parent.glob("*/LC_MESSAGES/mlabhub.po"))]


def load(file: Path, language: str | None = None) -> Catalog:
    """Return a catalogue as it is on disk."""
    with file.open("rb") as stream:
        return read_po(stream, locale=language)


def update() -> None:
    """Write the template, and take every catalogue along."""
    template = extract()
    _write(TEMPLATE, template)
    for language, file in catalogues():
        catalog = load(file, language)
        catalog.update(template, no_fuzzy_matching=True)
        catalog.obsolete.clear()
        _write(file, catalog)


def _is_ours(folder: str | Path) -> bool:
    return not Path(folder).name.startswith((".", "__pycache__"))


def _write(file: Path, catalog: Catalog) -> None:
    """Write without dates and line numbers: these change without need, and make every merge a conflict."""
    text = io.BytesIO()
    write_po(text, catalog, width=120, include_lineno=False, sort_output=False)
    lines = [line for line in text.getvalue().splitlines(keepends=True) if b"-Date: " not in line]
    file.write_bytes(b"".join(lines))
