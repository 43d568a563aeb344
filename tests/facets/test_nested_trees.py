"""Operations on trees from inside an isolate, in each language."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from facets import Actor, LocalRuntime

PYTHON = """
from facets import Actor

class Tool(Actor):
    async def at(self, path):
        stub = self.facets.get(path[0], Tool)
        return await stub.at(path[1:]) if path[1:] else stub
    async def put(self, rows):
        self.sql("create table if not exists t(n)")
        self.sql.many("insert into t values (?)", [(n,) for n in range(rows)])
    async def count(self): return self.sql("select count(*) from t").value()
    async def move(self, name, to, new_name): self.facets.move(name, to, new_name)
    async def move_back(self, name, top): self.facets.move(name, top)
    async def drop(self, name): self.facets.delete(name)
    async def abort(self, name): self.facets.abort(name)
    async def names(self): return self.facets.list()
    async def stat(self, name):
        one = self.facets.stat(name, below=True, rows=True)
        below = [one.below.actors, one.below.databases, one.below.size]
        return [one.id, one.state, one.running, one.size, below, one.rows, one.used]
    async def tree(self, name):
        return [[list(one.path), one.state, one.size] for one in self.facets.tree(name)]
"""
JAVASCRIPT = """
import { Actor } from "facets";

export class Tool extends Actor {
  async at(path) {
    const stub = this.facets.get(path[0], Tool);
    return path.length > 1 ? await stub.at(path.slice(1)) : stub;
  }
  async put(rows) {
    this.sql("create table if not exists t(n)");
    for (let n = 0; n < rows; n++) this.sql("insert into t values (?)", n);
  }
  async count() { return this.sql("select count(*) from t").value(); }
  async move(name, to, newName) { this.facets.move(name, to, newName); }
  async move_back(name, top) { this.facets.move(name, top); }
  async drop(name) { this.facets.delete(name); }
  async abort(name) { this.facets.abort(name); }
  async names() { return this.facets.list(); }
  async stat(name) {
    const one = this.facets.stat(name, { below: true, rows: true });
    const below = [one.below.actors, one.below.databases, one.below.size];
    return [one.id, one.state, one.running, one.size, below, one.rows, one.used];
  }
  async tree(name) {
    return this.facets.tree(name).map((one) => [one.path, one.state, one.size]);
  }
}
"""
SOURCES = {"python": PYTHON, "javascript": JAVASCRIPT}


class Lead(Actor):
    async def do(self, script: str, language: str) -> Any:
        isolate = self.isolates.get(SOURCES[language], language=language)
        return await SCRIPTS[script](self, self.facets.get("tool", isolate.actor("Tool")))


class Plain(Actor):
    async def put(self) -> None:
        self.kv["x"] = 1


SCRIPTS: dict[str, Any] = {}
pytestmark = pytest.mark.parametrize("language", SOURCES)


async def run(runtime: LocalRuntime, story: Any, language: str) -> Any:
    SCRIPTS[story.__name__] = story
    return await runtime.get(Lead, "a").do(story.__name__, language)


async def test_a_guest_moves_its_facets_within_its_own_tree(state: Path, language: str) -> None:
    async def story(lead: Lead, tool: Any) -> None:
        await (await tool.at(["x", "deep"])).put(3)
        y = await tool.at(["y"])
        await tool.move("x", y, "z")
        assert await tool.names() == ["y"]
        assert await y.names() == ["z"]
        assert await (await tool.at(["y", "z", "deep"])).count() == 3
        await (await tool.at(["y", "z"])).move_back("deep", tool)
        assert await (await tool.at(["deep"])).count() == 3

    async with LocalRuntime(state) as runtime:
        await run(runtime, story, language)


async def test_a_guest_moves_nothing_to_where_it_has_only_a_stub(
    state: Path, language: str
) -> None:
    async def story(lead: Lead, tool: Any) -> None:
        outside = lead.facets.get("plain", Plain)
        await outside.put()
        await (await tool.at(["x"])).put(1)
        with pytest.raises(PermissionError, match="not among the facets"):
            await tool.move("x", outside, "planted")
        assert await tool.names() == ["x"]
        assert lead.facets.stat("plain", below=True).below.actors == 1  # type: ignore[union-attr]

    async with LocalRuntime(state) as runtime:
        await run(runtime, story, language)


async def test_a_guest_sees_what_is_known_of_its_facets(state: Path, language: str) -> None:
    async def story(lead: Lead, tool: Any) -> None:
        for path in (["x"], ["x", "deep"]):
            await (await tool.at(path)).put(3)
        outside = lead.facets.stat("tool").id
        told = await tool.stat("x")
        assert told[:3] == [f"{outside}/x", "running", True]
        assert told[4] == [2, 2, 2 * told[3]]
        assert dict(told[5]) == {"t": 3}
        assert told[6] == round(told[6], 3)
        await tool.abort("x")
        size = told[3]
        assert await tool.tree("x") == [[[], "asleep", size], [["deep"], "asleep", size]]
        await tool.drop("x")
        assert await tool.tree("x") == []

    async with LocalRuntime(state) as runtime:
        await run(runtime, story, language)
