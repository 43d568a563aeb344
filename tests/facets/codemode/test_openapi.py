"""OpenAPI documents as connectors: where arguments go, and where they cannot lead."""

from __future__ import annotations

from typing import Any

import pytest

from facets.codemode import OpenApiConnector, Operation
from facets.codemode.errors import BadDocument, MisfitArguments
from facets.codemode.stubs import declare

DOCUMENT: dict[str, Any] = {
    "openapi": "3.0.3",
    "paths": {
        "/repos/{owner}/{repo}": {
            "parameters": [{"$ref": "#/components/parameters/owner"}],
            "get": {
                "operationId": "repos/get",
                "summary": "Get a repository",
                "parameters": [
                    {"name": "page", "in": "query", "schema": {"type": "integer", "default": 1}},
                    {"name": "X-Trace", "in": "header", "schema": {"type": "string"}},
                ],
                "responses": {
                    "200": {
                        "content": {
                            "application/json": {"schema": {"$ref": "#/components/schemas/repo"}}
                        }
                    }
                },
            },
            "patch": {
                "operationId": "repos/update",
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {
                            "schema": {
                                "type": "object",
                                "properties": {
                                    "name": {"type": "string"},
                                    "private": {"type": "boolean"},
                                },
                                "required": ["name"],
                            }
                        }
                    },
                },
            },
        },
        "/raw": {
            "post": {
                "requestBody": {
                    "content": {"text/plain": {"schema": {"type": "string"}}},
                    "required": True,
                }
            }
        },
    },
    "components": {
        "parameters": {
            "owner": {
                "name": "owner",
                "in": "path",
                "required": True,
                "schema": {"type": "string"},
                "description": "Who it belongs to",
            }
        },
        "schemas": {
            "repo": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": {"type": "string"},
                    "parent": {"$ref": "#/components/schemas/repo"},
                    "topics": {"type": "array", "items": {"type": "string"}},
                    "lost": {"$ref": "#/components/schemas/nowhere"},
                    "kind": {"enum": ["public", "private"]},
                },
            }
        },
    },
}


JSON = {"Content-Type": "application/json"}


class Service:
    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def __call__(self, method: str, path: str, **rest: Any) -> Any:
        self.asked.append((method, path, rest))
        return {"name": "octopus"}


async def connected(service: Service) -> dict[str, Operation]:
    connector = OpenApiConnector("hub", DOCUMENT, request=service)
    return {one.name: one for one in await connector.operations()}


async def test_arguments_go_to_path_query_header_and_body() -> None:
    service = Service()
    tools = await connected(service)
    assert [*tools] == ["repos_get", "repos_update", "post_raw"]
    get, update, raw = tools.values()
    await get.call(get.bind((), {"owner": "a", "repo": "b", "page": 2, "X_Trace": "t"}))
    await update.call(update.bind((), {"owner": "a", "repo": "b", "name": "c", "private": True}))
    await raw.call(raw.bind((), {"body": "text"}))
    assert service.asked == [
        ("GET", "/repos/a/b", {"query": {"page": "2"}, "headers": {"X-Trace": "t"}, "body": None}),
        (
            "PATCH",
            "/repos/a/b",
            {"query": {}, "headers": JSON, "body": {"name": "c", "private": True}},
        ),
        ("POST", "/raw", {"query": {}, "headers": {"Content-Type": "text/plain"}, "body": "text"}),
    ]
    assert (get.repeatable, update.repeatable) == (True, False)


@pytest.mark.parametrize("value", ["..", ".", ""])
async def test_a_value_cannot_climb_out_of_its_place_in_the_path(value: str) -> None:
    service = Service()
    get = (await connected(service))["repos_get"]
    with pytest.raises(MisfitArguments, match="no part of a path"):
        await get.call({"owner": value, "repo": "b"})
    assert service.asked == []


async def test_a_value_stays_one_part_of_the_path_and_a_header_one_line() -> None:
    service = Service()
    get = (await connected(service))["repos_get"]
    await get.call({"owner": "../admin?x=#", "repo": "b"})
    assert service.asked[0][1] == "/repos/..%2Fadmin%3Fx%3D%23/b"
    with pytest.raises(MisfitArguments, match="no value of a header"):
        await get.call({"owner": "a", "repo": "b", "X_Trace": "a\r\nHost: elsewhere"})


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"owner": "a"}, "repo must be given"),
        ({"owner": 1, "repo": "b"}, "owner must be string, not 1"),
        ({"owner": "a", "repo": "b", "page": "x"}, "page must be integer"),
        ({"owner": "a", "repo": "b", "token": "x"}, "'token' is not known"),
    ],
)
async def test_arguments_that_do_not_fit_are_told_before_anything_leaves(
    given: dict[str, Any], wrong: str
) -> None:
    get = (await connected(Service()))["repos_get"]
    with pytest.raises(MisfitArguments, match=wrong):
        get.bind((), given)


async def test_declarations_follow_references_that_lead_in_circles_and_nowhere() -> None:
    get = (await connected(Service()))["repos_get"]
    assert declare(get) == (
        "class Repo(TypedDict):\n"
        "    name: str\n"
        "    parent: NotRequired[Repo]\n"
        "    topics: NotRequired[list[str]]\n"
        "    lost: NotRequired[Any]\n"
        "    kind: NotRequired[Literal['public', 'private']]\n\n"
        "await hub.repos_get(repo: str, owner: str, page: int = 1, X_Trace: str = ...) -> Repo\n"
        "# Get a repository\n"
        "# owner: Who it belongs to\n"
        "# GET /repos/{owner}/{repo}"
    )
    assert declare(get, "typescript").splitlines()[:3] == [
        "interface Repo {",
        "  name: string;",
        "  parent?: Repo;",
    ]


def test_a_document_of_another_sort_is_refused() -> None:
    for document in ({"swagger": "1.2"}, {}, {"openapi": "3.1.0", "paths": []}):
        with pytest.raises(BadDocument, match="is it OpenAPI"):
            OpenApiConnector("hub", document, request=Service())
