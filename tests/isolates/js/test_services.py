"""The runtime's own services, as JavaScript calls them: `fetch` and facets of its own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from facets.capabilities.marked import capability
from facets.capabilities.reference import as_capability
from facets.isolates import image
from facets.isolates.instance import BOOT, PUMP, Instance
from facets.isolates.js import guests
from tests.isolates.conformance.conftest import Guest


@capability
class Web:
    """What handle 0 does for requests, without any network."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def fetch(self, *args: Any) -> dict[str, Any]:
        self.asked.append(args)
        if args[1].endswith("/denied"):
            raise PermissionError("no rule allows it")
        return self.head(args[1]) | {"body": b'{"a": "\xc3\xa9"}'}

    async def open(self, *args: Any) -> AsyncIterator[Any]:
        yield self.head(args[1])
        for piece in (b"one", b"two"):
            yield piece

    def head(self, url: str) -> dict[str, Any]:
        headers = [["Content-Type", "application/json"], ["X-A", "1"], ["x-a", "2"]]
        return {"status": 200, "url": url, "headers": headers}


@pytest.fixture
def web(guest_js: Guest) -> Web:
    made = Web()
    guest_js.owner.own = as_capability(made)
    return made


async def test_fetch_returns_what_the_webs_own_does(run: Any, web: Web) -> None:
    got = await run(
        """
        const answer = await fetch("https://x.example/y", {
          method: "POST", headers: { "X-B": 1 }, body: "é", timeout: 1500, redirect: "manual" });
        return [answer.status, answer.ok, answer.url, answer.headers.get("x-a"),
          answer.headers.has("nothing"), [...answer.headers].length, await answer.json(),
          await answer.text(), await answer.bytes()];
        """
    )

    assert got == [
        200, True, "https://x.example/y", "1, 2", False, 3, {"a": "é"}, '{"a": "é"}',
        b'{"a": "\xc3\xa9"}',
    ]  # fmt: skip
    assert web.asked == [
        ("POST", "https://x.example/y", [["X-B", "1"]], "é".encode(), "manual", 1.5)
    ]


async def test_a_refusal_is_an_error_where_it_is_awaited(run: Any, web: Web) -> None:
    assert await run(
        "try { await fetch('https://x.example/denied') }"
        "catch (error) { return [error instanceof facets.errors.PermissionError, error.message] }"
    ) == [True, "no rule allows it"]
    with pytest.raises(PermissionError, match="no rule"):
        await run("return fetch('https://x.example/denied')")


async def test_an_answer_may_come_in_pieces(run: Any, web: Web) -> None:
    assert await run(
        "const answer = await fetch.stream('https://x.example/'); const got = [answer.status];"
        "for await (const piece of answer) got.push(piece); return got"
    ) == [200, b"one", b"two"]


SOURCE = """
import { Actor, Start } from "facets";
export class Child extends Actor {}
class Hidden extends Actor {}
export class Tool extends Actor {
  async get() { return typeof this.facets.get("x", new Start(Child, { a: 1 })); }
  async list() { return this.facets.list(); }
  async hidden() { return this.facets.get("x", Hidden); }
}
"""


def test_facets_are_asked_for_in_the_middle_of_a_step() -> None:
    instance = Instance(image.load(guests.JAVASCRIPT), 64 << 20, 1 << 24)
    order = {
        "proto": [1, 1], "output": 1 << 24, "modules": {"main.js": SOURCE}, "code": {},
        "main": "main.js", "target": "Tool", "actor": True, "identity": {}, "props": None,
        "env": None, "tops": [],
    }  # fmt: skip
    stub = {"$": ["r", 1, {"kind": "object", "name": "x", "methods": {}}]}

    def pump(export: int, message: object, answer: object = None) -> tuple[Any, Any]:
        asked = None
        instance.begin(export, json.dumps(message).encode())
        while not instance.poll():
            if instance.parked is not None:
                asked = json.loads(instance.parked.message or b"")[2:]
                instance.resume(json.dumps(answer).encode())
        return json.loads(instance.take()), asked

    try:
        assert pump(BOOT, order)[0][0] == "ready"
        said, asked = pump(PUMP, [0.0, ["call", 1, "get", [], {}]], [True, stub])
        assert said[0] == ["ok", 1, "object"]
        assert asked == ["own", ["facets.get", ["x", "Child", {"a": 1}], {}]]
        said, asked = pump(PUMP, [0.0, ["call", 2, "list", [], {}]], [True, ["x"]])
        assert ["ok", 2, ["x"]] in said
        assert asked == ["own", ["facets.list", [], {}]]
        said, asked = pump(PUMP, [0.0, ["call", 3, "hidden", [], {}]])
        assert said[0][2]["message"].startswith("a facet runs an Actor class that the main module")
        assert asked is None
    finally:
        instance.close()
