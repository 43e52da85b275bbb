"""The JSON schema: in sync, and of one mind with the loader."""

import json

import jsonschema
import pytest
from ruamel.yaml import YAML

from mlabhub.catalog import FILES, default_directory, folder_schema

SCHEMA = folder_schema()


def read_shipped() -> dict[str, object]:
    return {name: YAML(typ="safe", pure=True).load(default_directory() / name) for name in FILES}


def test_the_shipped_schema_is_in_sync():
    shipped = json.loads((default_directory() / "schema.json").read_text())
    assert shipped == SCHEMA, "write it anew: mlabhub schema > spawner_profiles/schema.json"


def test_it_is_a_schema_and_takes_the_shipped_files():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(read_shipped(), SCHEMA)


@pytest.mark.parametrize(
    "cpu", [4, 0.5, [1, 2, 4], {"choices": [1, 2]}, {"min": 1, "max": 4}, {"min": 1, "max": 4, "step": 0.5}]
)
def test_every_written_form_of_a_number(cpu):
    content = read_shipped()
    content["profiles.yaml"]["profiles"]["cpu"]["cpu"] = cpu
    jsonschema.validate(content, SCHEMA)


@pytest.mark.parametrize(
    ("file", "keys", "value"),
    [
        ("profiles.yaml", ("profiles", "cpu", "cpu"), "4"),
        ("profiles.yaml", ("profiles", "cpu", "cpu"), {"min": 1}),
        ("profiles.yaml", ("profiles", "cpu", "sud"), True),
        ("profiles.yaml", ("profiles", "cpu", "images"), []),
        ("profiles.yaml", ("profiles", "Bad Slug"), {}),
        ("images.yaml", ("images", "base", "reference"), "a b"),
        ("quotas.yaml", ("users", "default", "gpu"), -1),
        ("quotas.yaml", ("users", "default", "gpux"), 1),
        ("storage.yaml", ("roots",), "/nas"),
        ("idle.yaml", ("rules",), [{"profile": "cpu"}]),
        ("idles.yaml", (), {}),
    ],
)
def test_it_finds_wrong_keys_and_types(file, keys, value):
    content = read_shipped()
    place = content
    for key in (file, *keys)[:-1]:
        place = place[key]
    place[(file, *keys)[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, SCHEMA)


def test_every_key_is_described():
    for name, definition in SCHEMA["$defs"].items():
        properties = next((form for form in definition.get("anyOf", []) if "properties" in form), definition)
        for key, value in properties["properties"].items():
            assert value.get("description"), f"{name}.{key}"
