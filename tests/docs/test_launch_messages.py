"""Every sentence that a launch on a cluster may say is in the administrators' page, with what to do."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlabhub.messages import Message
from mlabhub.spawners.kube import endings, refusals
from mlabhub.spawners.kube.sayings import Saying, all_sayings
from tests.docs.pages import DOCS

ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in (DOCS / "how-to" / "launch-messages.md").read_text().splitlines()
    if line.startswith("|") and not line.startswith("|---")
]
ENDINGS = {name: value for name, value in vars(endings).items() if name.isupper() and not name.startswith("_")}
NOT_SAID_ALONE = {"N_", "NEVER_RAN"}


def shown(template: str) -> str:
    """Return a template as the page shows it."""
    return re.sub(r"\{(\w+)\}", r"*\1*", template)


@pytest.mark.parametrize("saying", [pytest.param(one, id=f"{one.code}-{one.hope.name}") for one in all_sayings()])
def test_every_saying_has_a_row(saying: Saying) -> None:
    (row,) = [row for row in ROWS if row[0] == f"`{saying.code}`"]
    assert shown(saying.template) in row[1].split("<br>")
    assert len(row[2]) > 5


def test_every_row_is_a_saying() -> None:
    codes = {row[0].strip("`") for row in ROWS if re.fullmatch(r"`\w+`", row[0])}
    assert codes == {saying.code for saying in all_sayings()}


@pytest.mark.parametrize("name", sorted(set(ENDINGS) - NOT_SAID_ALONE))
def test_every_ending_has_a_row(name: str) -> None:
    ending = ENDINGS[name]
    template = ending.template if isinstance(ending, Message) else ending
    (row,) = [row for row in ROWS if row[0] == shown(template)]
    assert len(row[1]) > 5


def sentences(file: Path) -> Iterator[str]:
    """Yield every sentence that a module marks for translation."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "N_":
            (argument,) = node.args
            assert isinstance(argument, ast.Constant)
            yield str(argument.value)


@pytest.mark.parametrize("module", ["refusals", "spawner"])
def test_every_sentence_of_the_spawner_has_a_row(module: str) -> None:
    found = list(sentences(Path(refusals.__file__).with_name(f"{module}.py")))
    assert found
    shown_ones = {row[0] for row in ROWS}
    assert [said for said in found if shown(said) not in shown_ones] == []
