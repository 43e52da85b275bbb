"""What docs/reference says of JSON documents, read as it stands there, and held against real ones."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
_ROW = re.compile(r"^\| `([^`]+)`\?? \| (.+?) \|$")
_CALL = re.compile(r"^\| `(mlabhub [^`]+)` \| `([A-Z]+ [^`]+)` \|$")


@dataclass(frozen=True)
class Shape:
    """Keys and what each may be, in the words of the documentation. ``listed``: a list of such objects."""

    keys: dict[str, str]
    listed: bool = False

    def faults(self, document: Any) -> list[str]:
        """Return how a document differs from it."""
        if self.listed:
            if not isinstance(document, list):
                return [f"a list, not {document!r}"]
            return [fault for one in document for fault in self._of_object(one)]
        return self._of_object(document)

    def _of_object(self, found: Any) -> list[str]:
        if not isinstance(found, dict):
            return [f"an object, not {found!r}"]
        faults = [f"keys: {sorted(set(found) ^ set(self.keys))}"] if set(found) != set(self.keys) else []
        told = [(key, words) for key, words in self.keys.items() if key in found]
        return faults + [f"{key}: {found[key]!r} is not {words}" for key, words in told if not fits(found[key], words)]


def fits(value: Any, words: str) -> bool:
    """Return whether a value is what the words say: ``text or null``, ``list of objects with `a`, `b```."""
    if words.endswith(" or null"):
        return value is None or fits(value, words.removesuffix(" or null"))
    if words.startswith("list"):
        return isinstance(value, list) and all(_is_one(one, words.removeprefix("list of ")) for one in value)
    if words.startswith("mapping to "):
        return isinstance(value, dict) and all(
            _is_one(one, words.removeprefix("mapping to ")) for one in value.values()
        )
    return _is_one(value, words)


def _is_one(value: Any, words: str) -> bool:
    if words.startswith("mapping"):
        return fits(value, words)
    if words.startswith("object"):
        keys = set(re.findall(r"`([^`]+)`", words)) if " with " in words else None
        return isinstance(value, dict) and (keys is None or set(value) == keys)
    kinds: dict[str, tuple[type, ...]] = {"whole number": (int,), "number": (int, float), "true or false": (bool,)}
    kind = next((kinds[name] for name in kinds if words.startswith(name)), (str,))
    return isinstance(value, kind) and (bool in kind or not isinstance(value, bool))


def read_shapes() -> dict[str, Shape]:
    """Return the shape of each verb's document: its own table, or that of the call whose answer it prints."""
    calls = _sections(REFERENCE / "http-api.md", "answer")
    own = _sections(REFERENCE / "json-output.md", "key")
    shapes = {verb: shape for verb, shape in own.items() if verb.startswith("mlabhub ")}
    for line in (REFERENCE / "json-output.md").read_text().splitlines():
        if found := _CALL.match(line):
            shapes[found[1]] = calls[found[2]]
    shapes["mlabhub image list"] = shapes["mlabhub image build"]
    return shapes


def _sections(page: Path, heading: str) -> dict[str, Shape]:
    """Return the tables of a page that begin with a heading, by the title above."""
    shapes = {}
    for section in re.split(r"^## ", page.read_text(), flags=re.MULTILINE)[1:]:
        title, _, text = section.partition("\n")
        _, table, rows = text.partition(f"| {heading} | value |")
        if table:
            lines = rows.strip().splitlines()[1:]
            end = next((at for at, line in enumerate(lines) if not line.startswith("|")), len(lines))
            keys = {row[1]: row[2] for row in map(_ROW.match, lines[:end]) if row}
            shapes[title.strip()] = Shape(keys, listed="A list of objects" in text.partition("|")[0])
    return shapes


def read(text: str) -> Any:
    """Return the one document that was printed, on one line of ASCII."""
    assert text.isascii()
    (line,) = text.splitlines()
    return json.loads(line)
