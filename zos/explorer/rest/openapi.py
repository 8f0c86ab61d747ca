"""The OpenAPI document, made of the table of routes. Pure."""

from __future__ import annotations

import types
import typing
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from zos import __version__
from zos.explorer.rest import shapes
from zos.explorer.rest.routes import Route

REFERENCE = "#/components/schemas/{name}"
_NUMBER = {"schema": {"type": "string", "pattern": "^[0-9]+$"}}


def document(routes: Sequence[Route]) -> dict[str, Any]:
    return {
        "openapi": "3.1.0",
        "info": {"title": "The grid's proxy", "version": __version__, "license": {"name": "Apache-2.0"}},
        "paths": {route.path: {"get": _operation(route)} for route in routes},
        "components": {"schemas": _components(routes)},
    }


def _operation(route: Route) -> dict[str, Any]:
    done: dict[str, Any] = {"description": route.summary, "content": _json(_reference(route.answer))}
    if route.is_list:
        done["headers"] = {
            name: {"description": f"with ret_count=true: {doc}", **_NUMBER}
            for name, doc in (("count", "items of all pages"), ("size", "items of a page"), ("pages", "pages"))
        }
    responses = {"200": done}
    for status in (*route.refusals, 503):
        responses[str(status)] = {
            "description": HTTPStatus(status).phrase,
            "content": _json(REFERENCE.format(name="Error")),
        }
    return {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": [param.openapi() for param in route.params],
        "responses": responses,
    }


def _json(schema: Any) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": schema} if isinstance(schema, str) else schema}}


def _reference(answer: Any) -> dict[str, Any]:
    if isinstance(answer, types.UnionType):
        return {"anyOf": [_reference(one) for one in typing.get_args(answer)]}
    if typing.get_origin(answer) is list:
        return {"type": "array", "items": _reference(typing.get_args(answer)[0])}
    if answer is str:
        return {"type": "string"}
    return {"$ref": REFERENCE.format(name=answer.__name__)}


def _components(routes: Sequence[Route]) -> dict[str, Any]:
    answers = {struct for route in routes for struct in _structs(route.answer)} | {shapes.Error}
    ordered = sorted(answers, key=lambda struct: struct.__name__)
    _, components = msgspec.json.schema_components(ordered, ref_template=REFERENCE)
    for schema in components.values():
        # Answers have no properties besides those described.
        if schema.get("type") == "object":
            schema.setdefault("additionalProperties", False)
    return dict(sorted(components.items()))


def _structs(answer: Any) -> set[Any]:
    if isinstance(answer, types.UnionType) or typing.get_origin(answer) is list:
        return {struct for part in typing.get_args(answer) for struct in _structs(part)}
    return set() if answer is str else {answer}
