"""The API's OpenAPI document, made from the table of routes."""

from __future__ import annotations

import re
from typing import Any

from mlabhub import __version__
from mlabhub.client.service import DEFAULT_SERVER
from mlabhub.service.calls import STREAM, Call, Route, Who
from mlabhub.service.json_views import schema_of
from mlabhub.service.routes import ROUTES

ERROR = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "code": {"type": "string", "description": "For programs."},
                "message": {"type": "string", "description": "One sentence for a person."},
            },
            "required": ["code", "message"],
            "additionalProperties": True,
        }
    },
    "required": ["error"],
}
PARAMETERS = {
    "name": "The image's name, without saved/.",
    "user": "A user's name at the hub, percent-encoded.",
    "server": f"A server's name at the hub; `{DEFAULT_SERVER}` (or nothing) is the default one, whose name is empty.",
    "launch_id": "A launch's id, a ULID.",
    "change_id": "The id of a change of quotas.",
}
_PEOPLE: list[dict[str, list[str]]] = [{"hubLogin": []}, {"hubToken": []}]
_SECURITY: dict[Who, list[dict[str, list[str]]]] = {
    "person": _PEOPLE,
    "admin": _PEOPLE,
    "spawner": [{"spawnerSecret": []}],
    "admin or spawner": [*_PEOPLE, {"spawnerSecret": []}],
    "agent": [{"reportToken": []}],
    "anyone": [],
}


def make_openapi(prefix: str) -> dict[str, Any]:
    """Return the document for a service at ``prefix``."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "mlabhub",
            "version": __version__,
            "description": "Launch servers, see who holds what, and what spawners ask. "
            "Every error is `{error: {code, message, ...}}`, its message one sentence for a person.",
        },
        "servers": [{"url": prefix}],
        "paths": {"/" + route.path: _path(route) for route in ROUTES},
        "components": {
            "schemas": {"Error": ERROR},
            "securitySchemes": {
                "hubLogin": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "service-mlabhub",
                    "description": "The hub's login: it reads, and changes nothing. Scripts need X-Xsrftoken.",
                },
                "hubToken": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of the hub with the scope access:services!service=mlabhub.",
                },
                "spawnerSecret": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The secret that spawners and this service share on their machine.",
                },
                "reportToken": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "What a server finds in MLABHUB_REPORT_TOKEN: made for its launch, and good for "
                    "reports about it alone.",
                },
            },
        },
    }


def _path(route: Route) -> dict[str, Any]:
    item: dict[str, Any] = {call.method: _operation(call) for call in route.calls}
    names = re.findall(r"{(\w+)}", route.path)
    if names:
        item["parameters"] = [
            {
                "name": name,
                "in": "path",
                "required": True,
                "description": PARAMETERS[name],
                "schema": {"type": "string"},
            }
            for name in names
        ]
    return item


def _operation(call: Call) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": call.summary,
        "security": _SECURITY[call.who],
        "responses": {
            str(status): _response(answer) for status, answer in {call.status: call.answer, **call.also}.items()
        },
    }
    refusals = {400: "Malformed.", 403: "Not permitted."} if call.who != "anyone" else {}
    refusals |= dict.fromkeys(call.refusals, "Refused, with the reason.")
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    operation["responses"] |= {
        str(status): {"description": text, "content": error} for status, text in refusals.items()
    }
    if call.query:
        operation["parameters"] = [{"name": name, "in": "query", "schema": {"type": "string"}} for name in call.query]
    if call.body is not None:
        schema = _whole(call.body.model_json_schema())
        operation["requestBody"] = {"content": {"application/json": {"schema": schema}}}
    return operation


def _whole(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a body's schema with the models that it refers to in their places: a reference means another file here."""
    models = schema.pop("$defs", {})

    def put(part: Any) -> Any:
        if isinstance(part, dict):
            name = str(part.get("$ref", "")).rpartition("/")[2]
            return put(models[name]) if name in models else {key: put(value) for key, value in part.items()}
        return [put(one) for one in part] if isinstance(part, list) else part

    whole: dict[str, Any] = put(schema)
    return whole


def _response(answer: Any) -> dict[str, Any]:
    if answer is str:
        return {"description": "Text.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    if answer is STREAM:
        return {"description": "Server-sent events.", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
    if isinstance(answer, dict):
        schema = {"type": "object", "properties": {name: schema_of(kind) for name, kind in answer.items()}}
    else:
        schema = schema_of(answer)
    return {"description": "Done.", "content": {"application/json": {"schema": schema}}}
