"""Commands in the documentation are commands that there are, with options that they have."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import CHECKOUT, all_pages, blocks, load_generator, name, prose

COMMANDS: dict[str, Any] = dict(load_generator().commands())
OF_THE_PROGRAM = ("--version", "--install-completion", "--show-completion")
_PREFIX = re.compile(r"^(?:\$ )?(?:sudo (?:-\S+ )*)?(?:\S*/)?mlabhub\s")


def command_lines(page: Path) -> Iterator[str]:
    """Yield every mlabhub command of the page's blocks of shell code."""
    for block in blocks(page):
        if block.language in ("sh", "bash", "console"):
            for line in re.sub(r"\\\n\s*", "", block.text).splitlines():
                for part in re.split(r"\s(?:&&|\|\|?|;)\s", line):
                    if _PREFIX.match(part.strip()):
                        yield part.strip()


LINES = [pytest.param(line, id=f"{name(page)}: {line}") for page in all_pages() for line in command_lines(page)]


@pytest.mark.parametrize("line", LINES)
def test_command_parses(line: str) -> None:
    words = shlex.split(_PREFIX.sub("", line), comments=True)
    words = words[: next((at for at, word in enumerate(words) if re.fullmatch(r"\d?[<>].*", word)), len(words))]
    if words in [[option] for option in OF_THE_PROGRAM] or words[-1:] == ["--help"]:
        return
    path = max((path for path in COMMANDS if _begins(words, path)), key=len, default=None)
    assert path is not None, f"there is no verb for: {line}"
    arguments = words[len(path.split()) - 1 :]
    COMMANDS[path].make_context(path, arguments)


def _begins(words: list[str], path: str) -> bool:
    verb = path.split()[1:]
    return words[: len(verb)] == verb


@pytest.mark.parametrize("page", [pytest.param(page, id=name(page)) for page in all_pages()])
def test_commands_in_prose(page: Path) -> None:
    """`mlabhub VERB` and its options between backticks in a sentence."""
    for text in re.findall(r"`(?:\.venv/bin/)?mlabhub ([a-z][^`]*)`", prose(page)):
        words = text.split()
        path = max((path for path in COMMANDS if _begins(words, path)), key=len, default=None)
        groups = {path.split()[1] for path in COMMANDS}
        assert path is not None or words[0] in groups, f"mlabhub {text}"
        if path is not None:
            known = {option for one in COMMANDS[path].params for option in (*one.opts, *one.secondary_opts)}
            assert {word for word in words if word.startswith("--")} <= known | {"--help"}, f"mlabhub {text}"


def test_make_targets() -> None:
    """Every `make TARGET` of the documentation is one of the Makefile."""
    targets = set(re.findall(r"^([a-z][a-z-]*):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    named = {
        target for page in all_pages() for target in re.findall(r"(?<![\w-])make ([a-z][a-z-]+)(?=[`\s])", _code(page))
    }
    assert named <= targets


def _code(page: Path) -> str:
    shell = "\n".join(block.text for block in blocks(page) if block.language in ("sh", "bash", "console"))
    return shell + "\n" + "\n".join(f"{text}`" for text in re.findall(r"`([^`\n]+)`", prose(page)))
