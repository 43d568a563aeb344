"""Requests as documents describe them: styles, bodies, servers, and credentials from outside."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from facets.codemode import HttpRequest, OpenApiConnector, Operation
from facets.codemode.errors import ToolFailed
from facets.codemode.openapi import server_url

STRING = {"schema": {"type": "string"}}
DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "servers": [
        {"url": "https://{region}.shop.test/v1/", "variables": {"region": {"default": "eu"}}}
    ],
    "paths": {
        "/find/{ids}": {
            "get": {
                "operationId": "find",
                "parameters": [
                    {"name": "ids", "in": "path", "schema": {"type": "array"}},
                    {"name": "tags", "in": "query", "schema": {"type": "array"}},
                    {"name": "sort", "in": "query", "explode": False, "schema": {"type": "array"}},
                    {
                        "name": "where", "in": "query", "style": "deepObject",
                        "schema": {"type": "object"},
                    },
                    {"name": "raw", "in": "query", "content": {"application/json": {"schema": {}}}},
                    {"name": "X-Some", "in": "header", "schema": {"type": "array"}},
                    {"name": "lang", "in": "cookie", **STRING},
                    {"name": "Authorization", "in": "header", **STRING},
                    {"name": "x-api-key", "in": "header", **STRING},
                    {"name": "key", "in": "query", **STRING},
                ],
            }
        },
        "/photos": {
            "post": {
                "operationId": "upload",
                "servers": [{"url": "https://uploads.test"}],
                "requestBody": {
                    "content": {
                        "multipart/form-data": {
                            "schema": {
                                "type": "object",
                                "properties": {
                                    "file": {"type": "string", "format": "binary"},
                                    "title": {"type": "string"},
                                },
                                "required": ["file"],
                            }
                        }
                    },
                    "required": True,
                },
            }
        },
        "/form": {
            "post": {
                "operationId": "form",
                "requestBody": {
                    "content": {
                        "application/x-www-form-urlencoded": {
                            "schema": {"properties": {"a": {"type": "integer"}}}
                        }
                    }
                },
            }
        },
    },
    "components": {
        "securitySchemes": {
            "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            "query": {"type": "apiKey", "in": "query", "name": "key"},
        }
    },
}  # fmt: skip


async def tools(answer: Callable[[httpx.Request], httpx.Response], **options: Any) -> Any:
    """The tools by name, of a service that answers so."""
    client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    request = HttpRequest(server_url(DOCUMENT), client=client, **options)
    connector = OpenApiConnector("shop", DOCUMENT, request=request)
    return {one.name: one for one in await connector.operations()}


async def call(one: Operation, **arguments: Any) -> Any:
    return await one.call(one.bind((), arguments))


async def test_parameters_are_written_in_the_style_that_the_document_says() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"ok": True})

    found = await tools(answer, headers={"X-API-Key": "secret"}, query={"key": "hidden"})
    result = await call(
        found["find"], ids=["a/b", 2], tags=["x", "y"], sort=["up", True],
        where={"price": 5}, raw={"a": [1]}, X_Some=[1, 2], lang="de; x=1",
    )  # fmt: skip
    assert result == {"ok": True}
    (request,) = seen
    assert request.url.raw_path.decode().partition("?")[0] == "/v1/find/a%2Fb,2"
    assert request.url.host == "eu.shop.test"
    assert request.url.params.multi_items() == [
        ("key", "hidden"), ("tags", "x"), ("tags", "y"), ("sort", "up,true"),
        ("where[price]", "5"), ("raw", '{"a": [1]}'),
    ]  # fmt: skip
    assert request.headers["X-Some"] == "1,2"
    assert request.headers["Cookie"] == "lang=de%3B%20x%3D1"
    assert request.headers["X-API-Key"] == "secret"


async def test_credentials_are_no_arguments() -> None:
    find = (await tools(lambda request: httpx.Response(200)))["find"]
    assert {"Authorization", "x_api_key", "key"}.isdisjoint(find.parameters.properties)


async def test_no_argument_takes_the_place_of_a_credential() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(204)

    client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    own = {"headers": {"X-Own": "ours"}, "query": {"own": "ours"}}
    request = HttpRequest("https://shop.test", client=client, **own)
    await request("GET", "/", query={"own": "theirs"}, headers={"x-own": "theirs"}, body=None)
    assert seen[0].headers.get_list("X-Own") == ["ours"]
    assert seen[0].url.params.multi_items() == [("own", "ours")]


@pytest.mark.parametrize("value", ["Bearer secret\n", " secret", "s\u00e9cret"])
def test_a_credential_that_no_client_sends_is_refused_and_not_shown(value: str) -> None:
    with pytest.raises(ValueError, match="'Authorization' is none of a header") as caught:
        HttpRequest("https://shop.test", headers={"Authorization": value})
    assert "cret" not in str(caught.value)


async def test_bodies_are_sent_as_the_document_says() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(204)

    found = await tools(answer, also=["https://uploads.test"])
    assert await call(found["upload"], file=b"\x00\xff", title="A cat") is None
    await call(found["form"], a=5)
    upload, form = seen
    assert str(upload.url) == "https://uploads.test/photos"
    assert upload.headers["Content-Type"].startswith("multipart/form-data; boundary=")
    content = upload.read()
    assert b'name="file"\r\n\r\n\x00\xff\r\n' in content
    assert b'name="title"\r\n\r\nA cat\r\n' in content
    assert form.read() == b"a=5"


async def test_a_server_that_nobody_named_gets_no_request() -> None:
    found = await tools(lambda request: pytest.fail("it was asked"))
    with pytest.raises(ToolFailed, match="not in `also`"):
        await call(found["upload"], file="x")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (httpx.Response(404, json={"message": "no such shop"}), "HTTP 404.*no such shop"),
        (httpx.Response(302, headers={"Location": "http://10.0.0.1/"}), "HTTP 302"),
        (
            httpx.Response(200, content=b"{", headers={"Content-Type": "application/json"}),
            "no JSON",
        ),
        (httpx.Response(200, content=b"x" * (33 << 20)), "more than 33554432 bytes"),
    ],
)
async def test_an_answer_that_is_a_failure_is_an_error_with_what_the_service_said(
    answer: httpx.Response, told: str
) -> None:
    found = await tools(lambda request: answer)
    with pytest.raises(ToolFailed, match=told):
        await call(found["form"], a=1)


async def test_a_service_that_breaks_off_fails_the_call() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("gone")

    found = await tools(answer)
    with pytest.raises(ToolFailed, match=r"POST /form: ReadError: gone"):
        await call(found["form"], a=1)


async def test_texts_and_bytes_are_given_as_they_are() -> None:
    kinds = {"text/plain": "text", "application/octet-stream": b"bytes"}
    for kind, content in kinds.items():
        answer = httpx.Response(200, content=content, headers={"Content-Type": kind})
        found = await tools(lambda request, answer=answer: answer)
        assert await call(found["form"], a=1) == content


def test_what_is_no_address_of_a_service_is_refused() -> None:
    for url in ("file:///etc/passwd", "/v1", ""):
        with pytest.raises(ValueError, match="no address of a service"):
            HttpRequest(url)


def test_servers_have_their_variables_at_their_defaults() -> None:
    assert server_url(DOCUMENT) == "https://eu.shop.test/v1"
    for nothing in ({}, {"servers": []}, {"servers": [5]}, {"servers": [{"url": 5}]}):
        assert server_url(nothing) == ""
    assert json.dumps(DOCUMENT)
