"""Everything that the program has is in the reference: verbs, options, configuration keys, calls of the API."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from tests.docs.pages import DOCS, load_generator

GENERATOR = load_generator()


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    return GENERATOR


def test_generated_parts_are_in_sync(generator: ModuleType) -> None:
    stale = [str(page) for page, text in generator.pages().items() if page.read_text() != text]
    assert not stale, "run `python docs/generate.py`"


@pytest.mark.parametrize(("path", "command"), [pytest.param(*pair, id=pair[0]) for pair in GENERATOR.commands()])
def test_every_verb_and_option_has_a_text(path: str, command: object) -> None:
    text = (DOCS / "reference" / "command-line.md").read_text()
    assert f"## {path}\n" in text
    assert getattr(command, "help", None), f"{path} has no docstring"
    for parameter in command.params:  # type: ignore[attr-defined]  # click's or Typer's own copy of it
        assert getattr(parameter, "help", None), f"{path} {parameter.name} has no help"


def test_every_configuration_key_has_a_text() -> None:
    from mlabhub.catalog import folder_schema

    for name, model in folder_schema()["$defs"].items():
        for key, entry in GENERATOR.own_keys(model).items():
            assert entry.get("description"), f"{name}.{key} has no description"


def test_every_configuration_key_is_in_the_reference() -> None:
    from mlabhub.catalog import folder_schema

    text = (DOCS / "reference" / "configuration.md").read_text()
    for name, model in folder_schema()["$defs"].items():
        for key in GENERATOR.own_keys(model):
            assert f"\n| `{key}` | " in text, f"{name}.{key} is not in the reference"


def test_every_launch_option_is_in_the_reference() -> None:
    from mlabhub.core.gate import KEYS

    text = (DOCS / "reference" / "http-api.md").read_text()
    table = text.split("## Launch options")[1].split("## Errors")[0]
    assert {key for key in KEYS if f"`{key}`" not in table} == set()


def test_every_key_of_the_site_has_a_text() -> None:
    from mlabhub.site.keys import KEYS

    text = (DOCS / "reference" / "site.md").read_text()
    for name, entry in KEYS.items():
        assert len(entry["meaning"]) > 10, name
        assert f"\n| `{name}` | " in text, "run `python docs/generate.py`"


def test_check_mode_names_a_stale_page(
    generator: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for file, _ in generator.PARTS.values():
        (tmp_path / file).write_text((DOCS / "reference" / file).read_text().replace("| ", "|  ", 1))
    monkeypatch.setattr(generator, "REFERENCE", tmp_path)
    assert generator.main(["--check"]) == 1
    assert "not up to date" in capsys.readouterr().err
    assert generator.main([]) == 0
    assert generator.main(["--check"]) == 0
