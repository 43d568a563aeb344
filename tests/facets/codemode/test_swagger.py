"""Documents of OpenAPI 2 say the same as those of version 3."""

from __future__ import annotations

from typing import Any

import pytest

from facets.codemode import OpenApiConnector, Operation
from facets.codemode.errors import MisfitArguments
from facets.codemode.openapi import server_url
from facets.codemode.stubs import declare

DOCUMENT: dict[str, Any] = {
    "swagger": "2.0",
    "host": "pets.test",
    "basePath": "/v2",
    "schemes": ["http"],
    "securityDefinitions": {"key": {"type": "apiKey", "in": "header", "name": "api_key"}},
    "definitions": {
        "Pet": {
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": {"type": "string"},
                "friends": {"type": "array", "items": {"$ref": "#/definitions/Pet"}},
            },
        }
    },
    "parameters": {"id": {"name": "id", "in": "path", "required": True, "type": "integer"}},
    "paths": {
        "/pets/{id}": {
            "parameters": [
                {"$ref": "#/parameters/id"},
                {"name": "verbose", "in": "query", "type": "boolean"},
            ],
            "get": {
                "operationId": "getPet",
                "parameters": [
                    {
                        "name": "tags", "in": "query", "type": "array",
                        "items": {"type": "string"}, "collectionFormat": "multi",
                    },
                    {"name": "fields", "in": "query", "type": "array", "items": {}},
                    {"name": "api_key", "in": "header", "type": "string"},
                    {"name": "verbose", "in": "query", "type": "string", "enum": ["a", "b"]},
                ],
                "responses": {"200": {"schema": {"$ref": "#/definitions/Pet"}}},
            },
            "put": {
                "operationId": "putPet",
                "parameters": [
                    {
                        "name": "pet", "in": "body", "required": True,
                        "schema": {"$ref": "#/definitions/Pet"},
                    }
                ],
            },
            "post": {
                "operationId": "photo",
                "parameters": [
                    {"name": "file", "in": "formData", "type": "file", "required": True},
                    {"name": "note", "in": "formData", "type": "string"},
                ],
            },
        },
    },
}  # fmt: skip


@pytest.fixture
async def tools() -> dict[str, Operation]:
    async def request(method: str, path: str, **rest: Any) -> Any:
        return method, path, rest

    connector = OpenApiConnector("pets", DOCUMENT, request=request)
    return {one.name: one for one in await connector.operations()}


async def call(one: Operation, **arguments: Any) -> Any:
    return await one.call(one.bind((), arguments))


async def test_parameters_are_those_of_the_operation_and_of_its_path(
    tools: dict[str, Operation],
) -> None:
    found = await call(tools["getPet"], id=7, tags=["x", "y"], fields=["p", "q"], verbose="a")
    query = {"tags": ["x", "y"], "fields": "p,q", "verbose": "a"}
    assert found == ("GET", "/pets/7", {"query": query, "headers": {}, "body": None})
    assert "api_key" not in tools["getPet"].parameters.properties
    with pytest.raises(MisfitArguments, match="verbose must be one of"):
        await call(tools["getPet"], id=7, verbose=True)


async def test_bodies_and_forms_are_sent_as_such(tools: dict[str, Operation]) -> None:
    _, _, put = await call(tools["putPet"], id=7, name="Rex", friends=[{"name": "Tom"}])
    assert put["body"] == {"name": "Rex", "friends": [{"name": "Tom"}]}
    assert put["headers"] == {"Content-Type": "application/json"}
    _, _, photo = await call(tools["photo"], id=7, file=b"\xff", note="n")
    assert photo["body"] == {"file": b"\xff", "note": "n"}
    assert photo["headers"] == {"Content-Type": "multipart/form-data"}


async def test_results_are_declared_and_the_server_is_known(tools: dict[str, Operation]) -> None:
    assert declare(tools["getPet"]).startswith(
        "class Pet(TypedDict):\n    name: str\n    friends: NotRequired[list[Pet]]\n"
    )
    assert server_url(DOCUMENT) == "http://pets.test/v2"


def test_a_document_that_is_broken_breaks_nothing() -> None:
    for broken in (
        {"paths": {"/a": 5, "/b": {"get": {"parameters": 5, "responses": 5}}}},
        {"paths": {"/b": {"get": {"parameters": [{"in": "formData"}, {"in": "body"}, None]}}}},
        {"paths": {}, "host": 5, "securityDefinitions": []},
    ):
        OpenApiConnector("pets", {"swagger": "2.0", **broken}, request=None)  # type: ignore[arg-type]
