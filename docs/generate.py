"""Write the generated parts of the reference: configuration keys, command line, HTTP API; and the chart's manifests.

    python docs/generate.py            write them into docs/reference/ and helm-values/manifests/
    python docs/generate.py --check    change nothing; exit status 1 if one is not what it should be

A part stands between ``<!-- generated: NAME -->`` and ``<!-- end -->``. Guarantees: nothing outside these marks is
changed; what is written follows from the schema, the commands and the OpenAPI document alone, so it is the same
everywhere.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer.main

REFERENCE = Path(__file__).parent / "reference"
MANIFESTS = Path(__file__).parents[1] / "helm-values" / "manifests"
Schema = Mapping[str, Any]


def cell(text: str) -> str:
    """Return a text that fits into one cell of a table."""
    return " ".join(text.replace("``", "`").replace("|", "\\|").split())


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


# --- configuration ------------------------------------------------------------------------------------------------


def write_configuration() -> str:
    """Return every key of the configuration folder, file by file, then the parts they are made of."""
    from mlabhub.catalog import folder_schema

    schema = folder_schema()
    parts: list[str] = []
    shown: list[str] = []
    for file, entry in schema["properties"].items():
        name = _target(entry)
        needed = "" if file in schema.get("required", ()) else " It may be absent."
        parts += [f"## {file}", f"{_sentence(schema['$defs'][name], file)}{needed}".strip(), _keys(schema, name)]
        shown.append(name)
    for name in _linked(schema, shown):
        parts += [f"## {_words(name)}", cell(schema["$defs"][name].get("description", "")), _keys(schema, name)]
    return "\n\n".join(part for part in parts if part)


def _sentence(model: Schema, file: str) -> str:
    text = cell(model.get("description", ""))
    text = text.removeprefix(f"`{file}`").lstrip(".: ")
    return f"{text[:1].upper()}{text[1:]}"


def _linked(schema: Schema, first: list[str]) -> list[str]:
    """Return the models that the first ones refer to, and those that they refer to, each once."""
    found = list(first)
    for name in found:
        found += [other for other in dict.fromkeys(_references(schema["$defs"][name])) if other not in found]
    return found[len(first) :]


def _references(part: Any) -> list[str]:
    if isinstance(part, Mapping):
        own = [_target(part)] if "$ref" in part else []
        return own + [name for value in part.values() for name in _references(value)]
    return [name for item in part for name in _references(item)] if isinstance(part, list) else []


def _keys(schema: Schema, name: str) -> str:
    model = schema["$defs"][name]
    rows = []
    for key, entry in own_keys(model).items():
        needed = key in model.get("required", ())
        default = "needed" if needed else f"`{_yaml(entry['default'])}`" if entry.get("default") is not None else ""
        rows.append((f"`{key}`", _type(entry), default, cell(entry.get("description", ""))))
    return table(("key", "value", "default", "meaning"), rows) if rows else ""


def own_keys(model: Schema) -> Schema:
    """Return a model's keys; a number option may also be written as a number or a list."""
    forms = (model, *model.get("anyOf", ()))
    keys: Schema = next((form["properties"] for form in forms if "properties" in form), {})
    return keys


def _type(entry: Schema) -> str:
    if "$ref" in entry:
        return f"[{_words(_target(entry)).lower()}](#{_words(_target(entry)).lower().replace(' ', '-')})"
    for several in ("anyOf", "oneOf", "allOf"):
        if several in entry:
            kinds = [_type(one) for one in entry[several] if one.get("type") != "null"]
            return " or ".join(dict.fromkeys(kinds))
    if "enum" in entry or "const" in entry:
        return ", ".join(f"`{value}`" for value in entry.get("enum", [entry.get("const")]))
    if entry.get("type") == "array":
        return f"list of {_type(entry.get('items', {}))}"
    if entry.get("type") == "object":
        return f"mapping to {_type(_values(entry))}" if _values(entry) else "object"
    plain = {"boolean": "true or false", "number": "number", "integer": "whole number", "string": "text"}
    return plain.get(str(entry.get("type")), "anything") + _range(entry)


def _values(entry: Schema) -> Schema:
    patterns = entry.get("patternProperties")
    others = next(iter(patterns.values())) if patterns else entry.get("additionalProperties")
    return others if isinstance(others, Mapping) else {}


def _range(entry: Schema) -> str:
    low, high = entry.get("minimum"), entry.get("maximum")
    most = "" if high is None or high >= 1e12 else f" to {high:.10g}" if low is not None else f", at most {high:.10g}"
    if "exclusiveMinimum" in entry:
        return f", more than {entry['exclusiveMinimum']:.10g}{most}"
    return f", {low:.10g}{most or ' or more'}" if low is not None else most


def _yaml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list) and not value:
        return "[]"
    if isinstance(value, Mapping) and "min" in value and value["min"] == value.get("max"):
        return _yaml(value["min"])  # a number option that leaves nothing to choose
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_yaml(item)}" for key, item in value.items() if item is not None) + "}"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return '""' if value == "" else str(value)


def _target(entry: Schema) -> str:
    return str(entry["$ref"]).rpartition("/")[2]


def _words(name: str) -> str:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.removesuffix("Spec")).lower()
    return words.capitalize()


# --- command line -------------------------------------------------------------------------------------------------


def write_command_line() -> str:
    """Return every verb with its arguments and options."""
    return "\n\n".join(part for path, command in commands() for part in _describe(path, command))


def commands() -> Iterator[tuple[str, Any]]:
    """Yield every verb, as people type it, and its command (of click, or of the copy of it that Typer brings)."""
    from mlabhub.cli import app

    yield from _below("mlabhub", typer.main.get_command(app))


def _below(path: str, group: Any) -> Iterator[tuple[str, Any]]:
    context = group.context_class(group, info_name=path)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if hasattr(command, "list_commands"):
            yield from _below(f"{path} {name}", command)
        else:
            yield f"{path} {name}", command


def _describe(path: str, command: Any) -> Iterator[str]:
    context = command.context_class(command, info_name=path)
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"## {path}"
    yield cell(command.help or "")
    yield f"```text\n{path} {usage}\n```"
    records = [one.get_help_record(context) for one in command.params]
    rows = [(f"`{cell(record[0])}`", cell(record[1])) for record in records if record]
    if rows:
        yield table(("argument or option", "meaning"), rows)


# --- HTTP API -----------------------------------------------------------------------------------------------------

CREDENTIALS = {
    "person": "login or token",
    "admin": "login or token of an administrator",
    "spawner": "the spawners' secret",
    "admin or spawner": "login or token of an administrator, or the spawners' secret",
    "agent": "the report token of a launch",
    "anyone": "none",
}


def write_http_api() -> str:
    """Return every call of the service's API."""
    from mlabhub.service.openapi import make_openapi
    from mlabhub.service.routes import ROUTES

    paths = make_openapi("/services/mlabhub/")["paths"]
    parts: list[str] = []
    for route in ROUTES:
        for call in route.calls:
            operation = paths["/" + route.path][call.method]
            parts += [f"## {call.method.upper()} {route.path}", cell(operation["summary"])]
            parts += [_facts(operation, CREDENTIALS[call.who]), _body(operation), _answer(operation)]
    return "\n\n".join(part for part in parts if part)


def _facts(operation: Schema, credentials: str) -> str:
    query = [f"`{one['name']}`" for one in operation.get("parameters", ()) if one["in"] == "query"]
    facts = [f"Credentials: {credentials}.", f"Query: {', '.join(query)}." if query else ""]
    return " ".join(filter(None, [*facts, f"Answers: {_statuses(operation)}."]))


def _statuses(operation: Schema) -> str:
    return ", ".join(f"{status} {text['description'].lower().rstrip('.')}" for status, text in _grouped(operation))


def _grouped(operation: Schema) -> Iterator[tuple[str, Schema]]:
    """Yield the statuses, those with the same meaning together."""
    seen: dict[str, list[str]] = {}
    for status, response in operation["responses"].items():
        seen.setdefault(response["description"], []).append(status)
    for description, statuses in seen.items():
        yield "/".join(statuses), {"description": description}


def _body(operation: Schema) -> str:
    schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if not schema:
        return ""
    parts = _keys_of_body("body", schema)
    for key, entry in schema.get("properties", {}).items():
        if "properties" in entry.get("items", {}):
            parts += _keys_of_body(f"each of `{key}`", entry["items"])
    return "\n\n".join(parts)


def _keys_of_body(what: str, schema: Schema) -> list[str]:
    rows = [
        (f"`{key}`", _type(entry), "needed" if key in schema.get("required", ()) else "")
        for key, entry in schema.get("properties", {}).items()
    ]
    return [cell(schema.get("description", "")), table((what, "value", ""), rows)]


def _answer(operation: Schema) -> str:
    good = next(response for status, response in operation["responses"].items() if status.startswith("2"))
    schema = good["content"].get("application/json", {}).get("schema")
    if schema is None:
        return "The answer is plain text."
    rows = [(f"`{key}`", _shape(entry)) for key, entry in schema.get("properties", {}).items()]
    return table(("answer", "value"), rows) if rows else ""


def _shape(entry: Schema) -> str:
    """Return what an answer's key has; the keys of an object in it are named, one level deep."""
    if entry.get("type") == "array" and entry["items"].get("properties"):
        return f"list of objects with {_names(entry['items'])}"
    if entry.get("properties"):
        return f"object with {_names(entry)}"
    if "anyOf" in entry:
        return " or ".join(
            dict.fromkeys("null" if one.get("type") == "null" else _shape(one) for one in entry["anyOf"])
        )
    return entry.get("description", "").rstrip(".").lower() or _type(entry)


def _names(entry: Schema) -> str:
    return ", ".join(f"`{name}`" for name in entry["properties"])


# --- the site's file ----------------------------------------------------------------------------------------------


def write_site() -> str:
    """Return every key of site.conf."""
    from mlabhub.site.keys import KEYS

    rows = ((f"`{name}`", cell(entry["meaning"]), f"`{entry['example']}`") for name, entry in KEYS.items())
    return table(("key", "meaning", "example"), rows)


# --- manifests beside the chart -----------------------------------------------------------------------------------


def manifests() -> dict[Path, str]:
    """Return the manifests of a release called mlabhub in a namespace of that name, with the values of base.yaml."""
    from mlabhub.chart import dump_manifests, read_base
    from mlabhub.cluster import chart
    from mlabhub.cluster.airlock import get_airlock_manifests
    from mlabhub.cluster.namespace import get_namespace_manifest
    from mlabhub.cluster.policies import get_network_policy_manifests, hub_of_chart

    name = "mlabhub"
    spec = read_base(MANIFESTS.parent / "base.yaml")
    instance, hub = chart.make_instance(name, name), hub_of_chart(name)
    policies = get_network_policy_manifests(spec, namespace=name, instance=instance, hub=hub)
    written = {
        "namespace.yaml": ("The namespace.", (get_namespace_manifest(name, spec),)),
        "rbac.yaml": (
            "What hub and service may do on the cluster; docs/how-to/site.md has two rights more.",
            chart.get_rbac_manifests(name),
        ),
        "state.yaml": ("A disk for the ledger.", (chart.get_state_manifest(name),)),
        "network.yaml": ("Who reaches people's servers, and what these reach.", policies),
        "airlock.yaml": (
            "Where files come in to closed servers, as docs/how-to/airlock.md says.",
            get_airlock_manifests(namespace=name, instance=instance),
        ),
    }
    head = "# {} Written by docs/generate.py for a release and a namespace `mlabhub`.\n# For others: see README.md.\n"
    return {
        MANIFESTS / file: head.format(title) + dump_manifests(objects) for file, (title, objects) in written.items()
    }


# --- writing ------------------------------------------------------------------------------------------------------

PARTS: Mapping[str, tuple[str, Callable[[], str]]] = {
    "configuration": ("configuration.md", write_configuration),
    "command-line": ("command-line.md", write_command_line),
    "http-api": ("http-api.md", write_http_api),
    "site": ("site.md", write_site),
}


def fill(text: str, name: str, part: str) -> str:
    """Return a page with its generated part replaced. Raises `ValueError` if the page has no place for it."""
    pattern = re.compile(rf"(<!-- generated: {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"the page has no place for {name}: <!-- generated: {name} --> ... <!-- end -->")
    return pattern.sub(lambda match: f"{match[1]}\n{part}\n\n{match[2]}", text)


def pages() -> dict[Path, str]:
    """Return the pages with generated parts as they should be."""
    wanted: dict[Path, str] = {}
    for name, (file, write) in PARTS.items():
        page = REFERENCE / file
        wanted[page] = fill(wanted.get(page) or page.read_text(), name, write())
    return {**wanted, **manifests()}


def main(arguments: list[str]) -> int:
    """Write the pages, or with ``--check`` say which are not what they should be."""
    stale = {page: text for page, text in pages().items() if not page.exists() or page.read_text() != text}
    for page, text in stale.items():
        if "--check" in arguments:
            print(f"{page} is not up to date: run `python docs/generate.py`", file=sys.stderr)
        else:
            page.write_text(text)
            print(f"{page} written")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
