"""Tools in JavaScript and TypeScript, through the same face as those in Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from facets import Actor, Limits, LocalRuntime, Start
from facets.errors import CpuLimit, FacetRunsOtherCode, FacetsError, LoadError

JAVASCRIPT = """
import { Actor, Start } from "facets";

export class Tally extends Actor {
  async add(n) {
    this.kv.set("n", this.kv.get("n", 0) + n);
    return [this.props?.word, this.kv.get("n")];
  }
}

export class Tool extends Actor {
  static migrations = ["create table if not exists runs(n integer)"];

  async run(n) {
    this.sql("insert into runs values (?)", n);
    this.fs.write("/last.txt", String(n));
    this.kv.set("last", n);
    console.log("ran", n);
    return this.sql("select sum(n) from runs").value();
  }
  async *watch(n) { for (let i = 0; i < n; i++) yield { i }; }
  async last() {
    return [this.kv.get("last"), this.fs.readText("/last.txt"), this.name, this.props];
  }
  async spin() { for (;;); }
  async nest(words) {
    const tallies = words.map((word) => this.facets.get(word, new Start(Tally, { word })));
    const counts = await Promise.all(tallies.map((tally) => tally.add(2)));
    await this.facets.clone("a", "made");
    this.facets.rename("made", "copy");
    this.facets.delete("b");
    const copy = this.facets.get("copy", Tally);
    return [counts, this.facets.list(), this.facets.exists("b"), await copy.add(1)];
  }
  async ask(cap) { return (await cap.double(4)) + 1; }
}
"""
TYPESCRIPT = JAVASCRIPT.replace("async run(n)", "async run(n: number): Promise<number>").replace(
    "return this.sql(", "return 1000 + this.sql("
)
PYTHON = """
from facets import Actor
class Tool(Actor):
    migrations = ["create table if not exists runs(n integer)"]
    async def run(self, n):
        self.sql("insert into runs values (?)", n)
        return self.sql("select sum(n) from runs").value()
"""


class Helper(Actor):
    async def double(self, n: int) -> int:
        return 2 * n


class Lead(Actor):
    def tool(self, source: str, language: str) -> Any:
        isolate = self.isolates.get(source, language=language, limits=Limits(cpu=0.1))
        return self.facets.replace("tool", Start(isolate.actor("Tool"), props={"a": 1}))

    async def run(self, source: str, language: str, n: int) -> Any:
        return await self.tool(source, language).run(n)

    async def last(self) -> Any:
        return await self.tool(JAVASCRIPT, "javascript").last()

    async def items(self) -> list[Any]:
        return [item async for item in self.tool(JAVASCRIPT, "javascript").watch(3)]

    async def spin(self) -> None:
        await self.tool(JAVASCRIPT, "javascript").spin()

    async def output(self) -> tuple[str, ...]:
        return self.facets.stat("tool").output

    async def asks(self) -> int:
        helper = self.facets.get("helper", Helper)
        return await self.tool(JAVASCRIPT, "javascript").ask(helper)  # type: ignore[no-any-return]

    async def nest(self) -> Any:
        return await self.tool(JAVASCRIPT, "javascript").nest(["a", "b"])

    async def once(self, source: Any, *args: Any, **options: Any) -> Any:
        return await self.isolates.run(source, *args, **options)

    async def other(self) -> None:
        self.facets.get("tool", self.isolates.get(PYTHON).actor("Tool"))


async def test_a_tool_in_any_language_keeps_its_data_over_a_restart(tmp_path: Path) -> None:
    async with LocalRuntime(tmp_path) as runtime:
        lead = runtime.get(Lead, "a")
        assert await lead.run(JAVASCRIPT, "javascript", 20) == 20
        assert await lead.run(PYTHON, "python", 3) == 23
    async with LocalRuntime(tmp_path) as runtime:
        lead = runtime.get(Lead, "a")
        assert await lead.run(TYPESCRIPT, "typescript", 2) == 1025
        assert await lead.run(JAVASCRIPT, "javascript", 5) == 30
        assert await lead.last() == [5, "5", "tool", {"a": 1}]
        assert await lead.output() == ("ran 5",)


async def test_streams_limits_and_capabilities_are_those_of_every_facet(tmp_path: Path) -> None:
    async with LocalRuntime(tmp_path) as runtime:
        lead = runtime.get(Lead, "a")
        assert await lead.items() == [{"i": 0}, {"i": 1}, {"i": 2}]
        assert await lead.asks() == 9
        await lead.run(JAVASCRIPT, "javascript", 1)
        with pytest.raises(CpuLimit):
            await lead.spin()
        assert await lead.run(JAVASCRIPT, "javascript", 1) == 2
        with pytest.raises(FacetRunsOtherCode):
            await lead.other()


async def test_a_tool_has_facets_of_its_own_source(tmp_path: Path) -> None:
    async with LocalRuntime(tmp_path) as runtime:
        assert await runtime.get(Lead, "a").nest() == [
            [["a", 2], ["b", 2]], ["a", "copy"], False, [None, 3],
        ]  # fmt: skip


async def test_one_function_runs_in_a_sandbox_of_its_own(tmp_path: Path) -> None:
    async with LocalRuntime(tmp_path) as runtime:
        lead = runtime.get(Lead, "a")
        source = "export const main = (a, b) => [a ** b, 2n ** 64n];"
        assert await lead.once(source, 2, 3, language="javascript") == [8, 2**64]
        typed = "export default function main(a: number): string { return `${a}` as string }"
        assert await lead.once(typed, 7, language="typescript") == "7"
        modules = {
            "main.js": "export { f as main } from './f.js'",
            "f.js": "export let f = () => 1",
        }
        assert await lead.once(modules) == 1
        with pytest.raises(LoadError, match="SyntaxError"):
            await lead.once("export const main = (: number) => 1", language="typescript")


async def test_a_language_that_is_not_there_is_named(tmp_path: Path) -> None:
    async with LocalRuntime(tmp_path) as runtime:
        with pytest.raises((ValueError, FacetsError), match="there is no language 'ruby'"):
            await runtime.get(Lead, "a").once("main", language="ruby")
