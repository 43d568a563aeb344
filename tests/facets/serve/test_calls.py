"""Requests for methods, over a client that speaks to the application without a network."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

import facets.serve
from actors import LocalRuntime
from facets.serve import Ask, ServeLimits
from tests.facets.serve.classes import Hidden, Tally

Answer = tuple[int, Any]


def reach(runtime: LocalRuntime, **options: Any) -> httpx.AsyncClient:
    app = facets.serve.app(runtime, expose=[Tally], **options)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


@pytest.fixture
async def client(runtime: LocalRuntime) -> AsyncIterator[httpx.AsyncClient]:
    async with reach(runtime) as client:
        yield client


async def test_arguments_come_by_name_or_by_position(client: httpx.AsyncClient) -> None:
    assert (await client.post("/actors/Tally/a/add", json={"word": "x"})).json() == 1
    assert (await client.post("/actors/Tally/a/add", json=["x", 5])).json() == 6
    rows = await client.post("/actors/Tally/a/rows")
    assert rows.json() == [{"word": "x", "n": 6}]


async def test_values_arrive_as_what_the_method_annotates(client: httpx.AsyncClient) -> None:
    at, key = datetime(2026, 1, 2, tzinfo=UTC), UUID(int=7)
    item = {"name": "pen", "price": "1.50", "data": "AAE="}
    body = {"item": item, "at": at.isoformat(), "key": str(key)}

    answer = await client.post("/actors/Tally/a/echo", json=body)

    assert answer.json() == [item, "2026-01-02T00:00:00Z", str(key)]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"word": 1}, "$.word"),
        ({"word": "x", "m": 1}, "unknown field `m`"),
        ({}, "`word`"),
        (["x", 1, 2], "2 arguments"),
        ("x", "JSON object"),
    ],
)
async def test_arguments_that_do_not_fit_are_named(
    client: httpx.AsyncClient, body: object, said: str
) -> None:
    answer = await client.post("/actors/Tally/a/add", json=body)

    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (400, "BadArguments")
    assert said in error["message"]
    assert (await client.post("/actors/Tally/a/rows")).json() == []


@pytest.mark.parametrize(
    "content", [b"{", b"\xff", b"[" * 100_000, b"[" + b"1" * 5_000 + b"]", b'{"word": "\\ud800"}']
)
async def test_a_body_that_is_not_json_is_400(client: httpx.AsyncClient, content: bytes) -> None:
    headers = {"content-type": "application/json"}
    answer = await client.post("/actors/Tally/a/add", content=content, headers=headers)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "BadArguments")


async def test_a_form_of_a_web_page_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post("/actors/Tally/a/add", data={"word": "x"})
    assert answer.status_code == 400
    assert "application/json" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "path",
    [
        "/actors/Hidden/a/show",
        "/actors/Tally/a/nothing",
        "/actors/Tally/a/_secret",
        "/actors/Tally/a/__init__",
        "/actors/Tally/a/__class__",
        "/actors/Tally/a/plain",
        "/actors/Tally/a/sql",
        "/actors/Tally/a/on_start",
        "/actors/Tally/a/on_stop",
        "/actors/Tally/a/",
        "/actors/Tally/a",
        "/actors/Tally/a/b/add",
        "/actors/Tally/%FF/add",
        "/actors/../actors/Tally",
        "/actors/Tally/a/facets/b/_secret",
        "/actors/Tally/a/facets/b/on_start",
        "/actors/Tally/a/facets/b/nothing",
        "/actors/Tally/a/facets/b",
        "/",
        "/nothing",
    ],
)
async def test_what_is_not_open_is_not_there(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.post(path, json={})
    assert answer.status_code == 404
    assert answer.json()["error"]["type"] in ("NotServed", "NoSuchMethod")


async def test_an_empty_name_is_400(client: httpx.AsyncClient) -> None:
    answer = await client.post("/actors/Tally//add", json={"word": "x"})
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "BadName")


@pytest.mark.parametrize("name", ["a/b", "../b", "%2F", "é 🐙", "a\r\nX-Evil: 1", "a?b#c", "a.b"])
async def test_any_name_can_be_asked_for(runtime: LocalRuntime, name: str) -> None:
    from urllib.parse import quote

    async with reach(runtime) as client:
        answer = await client.post(f"/actors/Tally/{quote(name, safe='')}/add", json=["x"])
    assert answer.json() == 1
    assert runtime.list(Tally) == [name]
    assert "x-evil" not in answer.headers


async def test_a_facet_is_reached_where_its_parent_opens_it(client: httpx.AsyncClient) -> None:
    path = "/actors/Tally/a/facets/b%2Fc/facets/d/add"
    assert (await client.post(path, json=["x"])).json() == 1
    assert (await client.post(path, json={"word": "x"})).json() == 2
    closed = await client.post("/actors/Tally/a/facets/closed/add", json=["x"])
    assert (closed.status_code, closed.json()["error"]["type"]) == (500, "PermissionError")


async def test_an_actor_that_opens_no_facets_is_not_even_woken(runtime: LocalRuntime) -> None:
    app = facets.serve.app(runtime, expose=[Hidden])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.post("/actors/Hidden/a/facets/b/show")
    assert (answer.status_code, runtime.stats().awake) == (404, 0)


@pytest.mark.parametrize(
    ("kind", "status", "type_"),
    [("busy", 429, "Busy"), ("value", 500, "ValueError"), ("key", 500, "KeyError")],
)
async def test_an_error_says_what_and_what_to_do(
    client: httpx.AsyncClient, kind: str, status: int, type_: str
) -> None:
    answer = await client.post("/actors/Tally/a/fail", json=[kind])
    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (status, type_)
    assert "traceback" not in error
    if status == 429:
        assert answer.headers["retry-after"] == "1"
        assert error["fields"] == {"actor": "Tally:a", "waiting": 3, "limit": 3}


async def test_a_traceback_is_said_only_when_asked_for(runtime: LocalRuntime) -> None:
    async with reach(runtime, debug=True) as client:
        answer = await client.post("/actors/Tally/a/fail", json=["value"])
    assert "in fail" in answer.json()["error"]["traceback"]


async def test_a_result_that_json_cannot_say_is_an_error(client: httpx.AsyncClient) -> None:
    answer = await client.post("/actors/Tally/a/stub")
    assert (answer.status_code, answer.json()["error"]["type"]) == (500, "NotEncodable")


async def test_a_stub_in_a_result_is_an_error_and_is_not_called(client: httpx.AsyncClient) -> None:
    answer = await client.post("/actors/Tally/a/facet", json=["x"])
    assert (answer.status_code, answer.json()["error"]["type"]) == (500, "NotEncodable")


async def test_a_body_over_the_limit_is_413_said_or_not(runtime: LocalRuntime) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b" " * 100

    headers = {"content-type": "application/json"}
    async with reach(runtime, limits=ServeLimits(body=500)) as client:
        said = await client.post("/actors/Tally/a/add", content=b" " * 501, headers=headers)
        unsaid = await client.post("/actors/Tally/a/add", content=parts(), headers=headers)
    assert (said.status_code, unsaid.status_code) == (413, 413)
    assert said.json()["error"]["fields"] == {"limit": 500}


async def test_a_deadline_of_the_request_is_that_of_the_call(runtime: LocalRuntime) -> None:
    async with reach(runtime) as client:
        headers = {"facets-deadline": "0"}
        answer = await client.post("/actors/Tally/a/wait", headers=headers)
        wrong = await client.post("/actors/Tally/a/wait", headers={"facets-deadline": "nan"})
    assert (answer.status_code, answer.json()["error"]["type"]) == (504, "DeadlineExceeded")
    assert wrong.status_code == 400


async def test_a_call_with_a_key_has_one_effect_however_often_it_is_made(
    client: httpx.AsyncClient,
) -> None:
    headers = {"idempotency-key": "k1"}
    path = "/actors/Tally/a/add"
    first = [(await client.post(path, json=["x"], headers=headers)).json() for _ in range(3)]
    other = await client.post(path, json=["y"], headers=headers)
    stream = await client.post("/actors/Tally/a/count", json=[1], headers=headers)
    body = await client.post(path, json={"word": "x", "idempotency_key": "k2"})

    assert first == [1, 1, 1]
    assert (other.status_code, other.json()["error"]["type"]) == (409, "KeyReused")
    assert [stream.status_code, body.status_code] == [400, 400]


async def test_who_asks_is_asked_for_every_call(runtime: LocalRuntime) -> None:
    asked: list[Ask] = []

    async def who(ask: Ask) -> object:
        asked.append(ask)
        if ask.name == "private":
            raise PermissionError("hers")
        return ask.headers.get("authorization")

    async with reach(runtime, authenticate=who) as client:
        nobody = await client.post("/actors/Tally/a/add", json=["x"])
        headers = {"authorization": "Bearer t"}
        somebody = await client.post("/actors/Tally/a/add", json=["x"], headers=headers)
        denied = await client.post("/actors/Tally/private/add", json=["x"], headers=headers)
        listed = await client.get("/actors/Tally", headers=headers)
        hidden = await client.get("/actors/Hidden", headers=headers)

    assert [one.status_code for one in (nobody, somebody, denied, listed)] == [401, 200, 403, 200]
    assert nobody.headers["www-authenticate"] == "Bearer"
    assert listed.json() == {"names": ["a"], "more": False}
    assert hidden.status_code == 404
    first = asked[0]
    assert (first.verb, first.kind, first.name, first.method) == ("call", "Tally", "a", "add")


async def test_names_are_not_listed_for_everybody(client: httpx.AsyncClient) -> None:
    assert (await client.get("/actors/Tally")).status_code == 403


async def test_a_page_of_another_site_may_not_ask(runtime: LocalRuntime) -> None:
    async with reach(runtime, origins=["https://good.example"]) as client:

        async def ask(**headers: str) -> int:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            answer = await client.post("/actors/Tally/a/add", json=["x"], headers=named)
            return answer.status_code

        assert await ask(origin="http://test") == 200
        assert await ask(origin="https://good.example") == 200
        assert await ask(origin="https://evil.example") == 403
        assert await ask(origin="null") == 403
        assert await ask(sec_fetch_site="cross-site") == 403


async def test_health_and_the_document_are_open(client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    document = (await client.get("/openapi.json")).json()
    add = document["paths"]["/actors/Tally/{name}/add"]["post"]
    assert add["summary"] == "Count a word."
    schema = document["components"]["schemas"]["Tally_add"]
    assert schema["required"] == ["word"]
    assert schema["properties"]["n"] == {"type": "integer"}
    assert not any("_secret" in path or "Hidden" in path for path in document["paths"])


async def test_a_runtime_that_is_closed_is_503(state: Any) -> None:
    async with reach(LocalRuntime(state)) as client:
        answer = await client.post("/actors/Tally/a/add", json=["x"])
        health = await client.get("/healthz")
    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "RuntimeClosed")
    assert health.status_code == 503


async def test_it_may_be_a_part_of_another_application(runtime: LocalRuntime) -> None:
    app = Starlette(routes=[Mount("/in side", facets.serve.app(runtime, expose=[Tally]))])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.post("/in%20side/actors/Tally/a%2Fb/add", json=["x"])
        outside = await client.post("/actors/Tally/a%2Fb/add", json=["x"])
    assert [answer.json(), outside.status_code] == [1, 404]
    assert runtime.list(Tally) == ["a/b"]
