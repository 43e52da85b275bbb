"""Read one YAML (or JSON) file into plain values, remembering on which line every key stands.

Guarantees: reads one regular file of at most 1 MiB in UTF-8; duplicate keys, aliases, merge keys and foreign tags are
faults, so that what is read is what is written; a file that refers to itself cannot grow. Everything that can be found
in one pass is reported at once.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from mlabhub.catalog.faults import Fault, KeyPath
from mlabhub.core.quote import quote
from mlabhub.messages import N_, Message

MOST_BYTES = 1 << 20
_TAG = "tag:yaml.org,2002:"
_PLAIN = frozenset(_TAG + name for name in ("int", "float", "bool", "null"))
_NESTED = frozenset(_TAG + name for name in ("map", "seq"))
_TEXT = frozenset(_TAG + name for name in ("str", "timestamp", "value"))


@dataclass
class Document:
    """What a file says. ``lines`` has a line for each key and list item; ``data`` is None when there is nothing."""

    file: Path
    data: Any = None
    lines: dict[KeyPath, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def line_of(self, path: KeyPath) -> int:
        """Return the line of a key, or of the nearest one above it; 1 for the file's top."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def blame(self, path: KeyPath, message: Message) -> None:
        """Add a fault about a key."""
        self.faults.append(Fault(self.file, self.line_of(path), path, message))


def read_document(file: Path) -> Document:
    """Read and parse a file; what is wrong with it is in ``faults``."""
    document = Document(file)
    text = _read_text(document)
    return document if text is None else parse_document(document, text)


def parse_document(document: Document, text: str) -> Document:
    """Parse what a file says into its document; what is wrong with it is in ``faults``."""
    yaml = YAML(typ="safe", pure=True)
    try:
        root = yaml.compose(text)
        if root is not None:
            document.data = _Builder(document, yaml).build(root, ())
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 1
        document.faults.append(Fault(document.file, line, (), _syntax_message(error)))
    except RecursionError:
        document.faults.append(Fault(document.file, 1, (), Message(N_("is nested too deeply; write it flat"))))
    except YAMLError as error:
        told = quote(str(error).splitlines()[0] if str(error) else "")
        document.faults.append(Fault(document.file, 1, (), Message.of(N_("is not YAML: {text}"), text=told)))
    return document


def _read_text(document: Document) -> str | None:
    message: Message | None = None
    try:
        status = document.file.stat()
        if not stat.S_ISREG(status.st_mode):
            message = Message(N_("is not a file; put a YAML file in its place"))
        elif status.st_size > MOST_BYTES:
            message = Message.of(N_("is larger than {most} bytes; this cannot be a configuration"), most=MOST_BYTES)
        else:
            return document.file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        document.faults.append(Fault(document.file, line, (), Message(N_("is not UTF-8 text; save it as UTF-8"))))
        return None
    except OSError as error:
        message = Message.of(N_("cannot be read: {why}; check the file and its permissions"), why=error.strerror)
    if message is not None:
        document.faults.append(Fault(document.file, 1, (), message))
    return None


def _syntax_message(error: MarkedYAMLError) -> Message:
    problem = " ".join(str(error.problem or error.context or "").split())
    if "\\t" in problem:
        return Message(N_("is not YAML: a tab; indent with spaces"))
    if "another document" in problem:
        return Message(N_("has more than one document; keep one and remove the line ---"))
    if "undefined alias" in problem:
        return Message(N_("has an alias (*); put text that begins with * in quotes"))
    if "mapping values are not allowed" in problem:
        return Message(N_("is not YAML: a colon where none can be; check the indentation, or put the text in quotes"))
    return Message.of(N_("is not YAML: {problem}; check brackets, quotes and indentation"), problem=problem[:200])


def _tag_message(node: Node) -> Message:
    return Message.of(N_("has the tag {tag}; remove it"), tag=quote(node.tag))


class _Builder:
    """Turns nodes into plain values and notes lines and faults on the way."""

    def __init__(self, document: Document, yaml: YAML) -> None:
        self._document = document
        self._yaml = yaml
        self._seen: set[int] = set()

    def build(self, node: Node, path: KeyPath) -> Any:
        """Return the value of a node."""
        self._document.lines.setdefault(path, node.start_mark.line + 1)
        if id(node) in self._seen:
            self._document.blame(path, Message(N_("is an alias (*); write the value out")))
            return None
        self._seen.add(id(node))
        if isinstance(node, MappingNode | SequenceNode) and node.tag not in _NESTED:
            self._blame(node, path, _tag_message(node))
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, path) if isinstance(node, ScalarNode) else None

    def _mapping(self, node: MappingNode, path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, path)
            if key is None:
                continue
            here = (*path, key)
            if key in values:
                first = self._document.lines[here]
                message = Message.of(N_("stands here a second time (first on line {first}); keep one"), first=first)
                self._blame(key_node, here, message)
                continue
            self._document.lines[here] = key_node.start_mark.line + 1
            values[key] = self.build(value_node, here)
        return values

    def _key(self, node: Node, path: KeyPath) -> str | None:
        if node.tag == f"{_TAG}merge":
            message = Message(N_("has a merge key (<<); write the keys out"))
        elif not isinstance(node, ScalarNode):
            message = Message(N_("has a key that is a list or a mapping; a key is a word"))
        else:
            return self._text(node, path)
        self._blame(node, path, message)
        return None

    def _scalar(self, node: ScalarNode, path: KeyPath) -> Any:
        if node.tag in _PLAIN:
            try:
                return self._yaml.constructor.construct_object(node)
            except (ValueError, OverflowError):
                message = Message.of(N_("cannot be read as a number: {value}"), value=quote(node.value))
                self._blame(node, path, message)
                return None
        if node.tag not in _TEXT:
            self._blame(node, path, _tag_message(node))
            return None
        return self._text(node, path)

    def _text(self, node: ScalarNode, path: KeyPath) -> str | None:
        text: str = node.value
        try:
            # JSON writes characters beyond the basic plane as two escapes.
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            self._blame(node, path, Message(N_("has a broken character (a lone surrogate); remove it")))
            return None

    def _blame(self, node: Node, path: KeyPath, message: Message) -> None:
        """Add a fault about what stands at a node, which may not be the first of its path."""
        self._document.faults.append(Fault(self._document.file, node.start_mark.line + 1, path, message))
