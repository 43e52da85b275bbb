"""Both READMEs say the same: the two commands, the same links, code and picture."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import CHECKOUT, blocks, links, prose

ENGLISH = CHECKOUT / "README.md"
CHINESE = CHECKOUT / "README.zh-CN.md"


@pytest.mark.parametrize("page", [ENGLISH, CHINESE], ids=["en", "zh"])
def test_two_commands_and_a_real_picture(page: Path) -> None:
    code = "\n".join(block.text for block in blocks(page))
    assert re.search(r"^(sudo )?make up\b", code, re.MULTILINE)
    assert re.search(r"^(sudo )?make test\b", code, re.MULTILINE)
    pictures = [CHECKOUT / link for link in links(page) if link.endswith(".png")]
    assert pictures
    for picture in pictures:
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_both_languages_have_the_same_content() -> None:
    assert sorted(links(ENGLISH)[1:]) == sorted(links(CHINESE)[1:])
    assert _commands(ENGLISH) == _commands(CHINESE)
    for mark in ("## ", "- ", "| "):
        assert _count(ENGLISH, mark) == _count(CHINESE, mark)


def _commands(page: Path) -> list[str]:
    code = "\n".join(block.text for block in blocks(page) if block.language == "sh")
    return [re.sub(r"\s*#.*", "", line) for line in code.splitlines()]


def _count(page: Path, mark: str) -> int:
    return len(re.findall(rf"^{re.escape(mark)}", prose(page), re.MULTILINE))
