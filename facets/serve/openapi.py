"""What requests may call, as an OpenAPI document made from signatures and docstrings."""

from __future__ import annotations

from typing import Any

import msgspec

from facets.serve.reaching import Exposed
from facets.serve.shapes import Shape, described, shapes

_REF = "#/components/schemas/{name}"


def document(exposed: Exposed) -> bytes:
    """The document as JSON."""
    every = [
        (kind, shape) for kind, cls in exposed.classes.items() for shape in shapes(cls).values()
    ]
    arguments, components = msgspec.json.schema_components(
        [shape.arguments for _, shape in every], ref_template=_REF, schema_hook=described
    )
    paths = {}
    for (kind, shape), schema in zip(every, arguments, strict=True):
        paths[f"/actors/{kind}/{{name}}/{shape.name}"] = {"post": _operation(kind, shape, schema)}
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {"title": "Actors", "version": "1"},
            "paths": paths,
            "components": {"schemas": {**components, "Error": _ERROR}},
        }
    )


def _operation(kind: str, shape: Shape, arguments: dict[str, Any]) -> dict[str, Any]:
    media = "text/event-stream" if shape.kind == "stream" else "application/json"
    returned = msgspec.json.schema(shape.returns, schema_hook=described)
    required = any(one.required for one in msgspec.structs.fields(shape.arguments))
    return {
        "operationId": f"{kind}.{shape.name}",
        "tags": [kind],
        "summary": shape.text.partition("\n")[0],
        "description": shape.text,
        "parameters": [
            {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}},
            {"name": "Idempotency-Key", "in": "header", "schema": {"type": "string"}},
            {"name": "Facets-Deadline", "in": "header", "schema": {"type": "number"}},
        ],
        "requestBody": {
            "required": required,
            "content": {"application/json": {"schema": arguments}},
        },
        "responses": {
            "200": {
                "description": "What it returns",
                "content": {media: {"schema": returned}},
            },
            "default": {
                "description": "What went wrong",
                "content": {"application/json": {"schema": {"$ref": _REF.format(name="Error")}}},
            },
        },
    }


_ERROR = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "required": ["type", "message"],
            "properties": {
                "type": {"type": "string"},
                "message": {"type": "string"},
                "hint": {"type": "string"},
                "fields": {"type": "object"},
            },
        }
    },
}
