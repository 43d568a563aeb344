"""What travels by reference: every kind, from everyone to everyone, in every place.

A value is made at its source, comes to a parent as a result, and goes on to its target, which uses
it: the matrix has both ways of each of an outside script, a parent, a trusted facet and facets in
isolates of both languages.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import facets
from actors.errors import ActorBroken, FacetsError
from facets import Actor, LocalRuntime, Start

PYTHON = """
import facets
from facets import Actor

async def numbers(n):
    for i in range(n):
        yield i

@facets.capability
class Shop:
    async def sell(self, what): return "sold " + what
    async def list(self, n):
        for i in range(n):
            yield i

class Tool(Actor):
    async def make(self, kind):
        if kind == "generator":
            return numbers(3)
        if kind == "object":
            return Shop()
        @facets.capability
        async def double(x): return 2 * x
        return double
    async def back(self, value): return value
    async def in_props(self, kind): return await self.use(kind, self.props["a"])
    async def use(self, kind, value):
        if isinstance(value, dict):
            value = value["a"][0]
        if kind == "stub": return await value.add(2)
        if kind in ("method", "function"): return await value(2)
        if kind == "object":
            return [await value.sell("pen"), [item async for item in value.list(2)]]
        if kind in ("streaming method", "streaming function"):
            return [item async for item in value(3)]
        if kind == "files": return await value.read_text("/a")
        if kind == "kv": return await value.get("a")
        if kind == "sql": return (await value.query("select n from t"))[0][0]
        return [item async for item in value]
"""
JAVASCRIPT = """
import { Actor, capability } from "facets";

async function* numbers(n) { for (let i = 0; i < n; i++) yield i; }
class Shop {
  async sell(what) { return "sold " + what; }
  async *list(n) { yield* numbers(n); }
}
capability(Shop);
const all = async (items) => {
  const made = [];
  for await (const item of items) made.push(item);
  return made;
};

export class Tool extends Actor {
  async make(kind) {
    if (kind === "generator") return numbers(3);
    if (kind === "object") return new Shop();
    return capability(async (x) => 2 * x);
  }
  async back(value) { return value; }
  async in_props(kind) { return this.use(kind, this.props.a); }
  async use(kind, value) {
    if (typeof value === "object" && "a" in value) value = value.a[0];
    switch (kind) {
      case "stub": return value.add(2);
      case "method": case "function": return value(2);
      case "object": return [await value.sell("pen"), await all(value.list(2))];
      case "streaming method": case "streaming function": return all(value(3));
      case "files": return value.read_text("/a");
      case "kv": return value.get("a");
      case "sql": return (await value.query("select n from t")).at(0).n;
      default: return all(value);
    }
  }
}
"""
EXPECTED: dict[str, Any] = {
    "stub": 102, "method": 102, "function": 4, "object": ["sold pen", [0, 1]],
    "streaming method": [0, 1, 2], "streaming function": [0, 1, 2], "files": "text",
    "kv": "value", "sql": 7, "generator": [0, 1, 2], "reply": [0, 1, 2],
}  # fmt: skip
FROM_ISOLATES = ("function", "object", "generator")


@dataclass
class Box:
    a: list[Any]


async def numbers(n: int) -> AsyncIterator[int]:
    for i in range(n):
        yield i


class Base(Actor):
    """Makes every kind, and uses it."""

    migrations = ["create table t(n)"]

    async def on_start(self) -> None:
        self.home = True

    async def add(self, n: int) -> int:
        return 100 + n

    async def count(self, n: int) -> AsyncIterator[int]:
        for i in range(n):
            yield i

    async def make(self, kind: str) -> Any:
        this: Any = self

        @facets.capability
        async def double(x: int) -> int:
            assert this.home
            this.kv["calls"] = x
            return 2 * x

        @facets.capability
        async def stream(n: int) -> AsyncIterator[int]:
            for i in range(n):
                this.kv["calls"] = i
                yield i

        @facets.capability
        class Shop:
            async def sell(self, what: str) -> str:
                this.kv["calls"] = what
                return f"sold {what}"

            async def list(self, n: int) -> AsyncIterator[int]:
                for i in range(n):
                    yield i

        self.fs.mkdir("/shown", parents=True, exist_ok=True)
        self.fs.write_text("/shown/a", "text")
        self.kv["p:a"] = "value"
        self.sql("delete from t")
        self.sql("insert into t values (7)")
        helper: Any = self.facets.get("helper", Helper)
        return {
            "stub": lambda: helper,
            "method": lambda: helper.add,
            "streaming method": lambda: helper.count,
            "reply": lambda: helper.count(3),
            "function": lambda: double,
            "streaming function": lambda: stream,
            "object": Shop,
            "files": lambda: self.fs.view("/shown"),
            "kv": lambda: self.kv.view("p:"),
            "sql": lambda: self.sql.view(["t"]),
            "generator": lambda: self.count(3),
        }[kind]()

    async def back(self, value: Any) -> Any:
        return value

    async def use(self, kind: str, value: Any) -> Any:
        return await use(kind, value)

    async def in_props(self, kind: str) -> Any:
        return await use(kind, self.props["a"])


class Helper(Base):
    pass


class Parent(Base):
    """Carries values from one to another."""

    def end(self, name: str) -> Any:
        if name == "facet":
            return self.facets.get("facet", Helper)
        code = self.isolates.get(PYTHON if name == "python" else JAVASCRIPT, language=name)
        return self.facets.get(name, code.actor("Tool"))

    async def carry(self, source: str, target: str, kind: str, place: str) -> Any:
        return await self.deliver(target, kind, place, await self.made(source, kind))

    async def abort(self, name: str) -> None:
        self.facets.abort(name, "enough")

    async def reset(self) -> None:
        self.facets.delete("p")

    async def made(self, source: str, kind: str) -> Any:
        return await self.make(kind) if source == "parent" else await self.end(source).make(kind)

    async def deliver(self, target: str, kind: str, place: str, value: Any) -> Any:
        if place == "props":
            return await self.facets.get(
                "p", Start(self._code(target), props={"a": value})
            ).in_props(kind)
        if place == "inside":
            return await self.end(target).use(kind, {"a": [value]})
        if place == "there and back":
            value = await self.end(target).back(value)
            return await use(kind, value)
        return await self.end(target).use(kind, value)

    def _code(self, target: str) -> Any:
        if target == "facet":
            return Helper
        return self.isolates.get(
            PYTHON if target == "python" else JAVASCRIPT, language=target
        ).actor("Tool")


async def use(kind: str, value: Any) -> Any:
    """What trusted code does with each kind."""
    if isinstance(value, dict):
        value = value["a"][0]
    if isinstance(value, Box):
        value = value.a[0]
    if kind == "stub":
        return await value.add(2)
    if kind in ("method", "function"):
        return await value(2)
    if kind == "object":
        return [await value.sell("pen"), [item async for item in value.list(2)]]
    if kind in ("streaming method", "streaming function"):
        return [item async for item in value(3)]
    if kind == "files":
        return value.read_text("/a")
    if kind == "kv":
        return value.get("a")
    if kind == "sql":
        found = value.query("select n from t")
        return (await found if inspect.isawaitable(found) else found)[0][0]
    return [item async for item in value]


@pytest.mark.parametrize("place", ["argument", "inside", "there and back", "props"])
@pytest.mark.parametrize("target", ["facet", "python", "javascript"])
async def test_every_kind_works_wherever_it_goes(state: Path, target: str, place: str) -> None:
    async with LocalRuntime(state) as runtime:
        parent = runtime.get(Parent, "p")
        for source in ("parent", "facet", "python", "javascript"):
            for kind, expected in EXPECTED.items():
                if source not in ("parent", "facet") and kind not in FROM_ISOLATES:
                    continue
                if place == "props":
                    await parent.reset()
                got = await parent.carry(source, target, kind, place)
                assert got == expected, (source, kind)


@pytest.mark.parametrize("source", ["parent", "facet", "python", "javascript"])
async def test_every_kind_works_outside(state: Path, source: str) -> None:
    async with LocalRuntime(state) as runtime:
        parent = runtime.get(Parent, "p")
        for kind, expected in EXPECTED.items():
            if source in ("parent", "facet") or kind in FROM_ISOLATES:
                assert await use(kind, await parent.made(source, kind)) == expected, kind


@pytest.mark.parametrize("target", ["facet", "python", "javascript"])
async def test_what_a_script_makes_works_inside(state: Path, target: str) -> None:
    @facets.capability
    async def double(x: int) -> int:
        return 2 * x

    @facets.capability
    class Shop:
        async def sell(self, what: str) -> str:
            return f"sold {what}"

        async def list(self, n: int) -> AsyncIterator[int]:
            for i in range(n):
                yield i

    async with LocalRuntime(state) as runtime:
        parent, other = runtime.get(Parent, "p"), runtime.get(Helper, "h")
        made: dict[str, Any] = {
            "generator": lambda: numbers(3), "function": lambda: double, "object": Shop,
            "stub": lambda: other, "method": lambda: other.add, "reply": lambda: other.count(3),
            "streaming method": lambda: other.count,
        }  # fmt: skip
        for kind, make in made.items():
            for place in ("argument", "inside", "there and back"):
                got = await parent.deliver(target, kind, place, make())
                assert got == EXPECTED[kind], (kind, place)


@pytest.mark.parametrize("source", ["facet", "python", "javascript"])
async def test_what_an_actor_gave_raises_its_reason_after_its_end(state: Path, source: str) -> None:
    async with LocalRuntime(state) as runtime:
        parent = runtime.get(Parent, "p")
        for kind in EXPECTED if source == "facet" else FROM_ISOLATES:
            value = await parent.made(source, kind)
            await parent.abort(source)

            with pytest.raises(ActorBroken, match="enough"):
                await use(kind, value)
            with pytest.raises(FacetsError, match="enough"):
                await parent.deliver("python", kind, "argument", value)


class Caller(Actor):
    """Calls what it is given, and fails afterwards."""

    migrations = ["create table t(n)"]

    async def call(self, callback: Any, value: Any) -> Any:
        self.sql("insert into t values (1)")
        result = await callback(value)
        value.append("the caller's")
        self.sql("insert into t values (2)")
        assert not result
        raise LookupError("after the callback")

    async def rows(self) -> list[int]:
        return [row.n for row in self.sql("select n from t")]


class Called(Actor):
    """Gives a callback to a trusted facet."""

    migrations = ["create table t(n)"]

    async def run(self) -> Any:
        seen: list[Any] = []

        @facets.capability
        async def callback(value: list[Any]) -> list[Any]:
            self.sql("insert into t values (?)", len(value))
            seen.append(value)
            return seen[5:]

        given = ["given"]
        try:
            await self.facets.get("c", Caller).call(callback, given)
        except LookupError:
            return [given, seen, await self.facets.get("c", Caller).rows()]

    async def rows(self) -> list[int]:
        return [row.n for row in self.sql("select n from t")]


async def test_a_callback_runs_in_steps_of_its_own_actor_and_shares_nothing(state: Path) -> None:
    async with LocalRuntime(state) as runtime:
        called = runtime.get(Called, "c")

        assert await called.run() == [["given"], [["given"]], [1]]
        assert await called.rows() == [1]
