"""Packages of npm inside isolates: imported as if they were installed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from facets import Actor, LocalRuntime, packages, replay
from facets.errors import BadLock, BadRequirement, GuestError, LoadError, NotPure
from facets.isolates.js.packages import PackageFiles
from tests.packages.conftest import forget
from tests.packages.npm.kit import Registry

pytestmark = pytest.mark.usefixtures("machine")
UMD = """(function (root, factory) {
  if (typeof exports === "object" && typeof module !== "undefined") module.exports = factory();
  else root.old = factory();
})(this, function () {
  return { twice: (x) => 2 * x, fail() { throw new RangeError("x"); } };
});"""


class Lead(Actor):
    async def run(self, source: Any, *args: Any, **options: Any) -> Any:
        return await self.isolates.run(source, *args, **{"language": "javascript"} | options)

    async def facet(self, source: str, given: Any, language: str) -> Any:
        isolate = self.isolates.get(source, packages=given, language=language)
        return await self.facets.get("tool", isolate.actor("Tool")).run()

    async def recorded(self, source: str, given: Any) -> Any:
        isolate = self.isolates.load(source, packages=given, language="javascript", deterministic=1)
        return await isolate.entrypoint()(), isolate.recording()


@pytest.fixture
async def lead(tmp_path: Path) -> AsyncIterator[Any]:
    async with LocalRuntime(tmp_path / "state") as runtime:
        yield runtime.get(Lead, "a")


async def test_a_package_is_imported_with_its_modules_and_its_packages(
    registry: Registry, lead: Any
) -> None:
    registry.publish("@s/base", files={"base.mjs": "export default 'base';"}, main="base.mjs")
    registry.publish(
        "pack",
        files={
            "src/index.js": "import base from '@s/base'; import data from './data.json';"
            "import { inner } from '#inner'; export default () => [base, data.n, inner];",
            "src/data.json": '{"n": 3}',
            "src/inner.js": "import self from 'pack/extra'; export const inner = self;",
            "src/extra.js": "export default 'extra';",
        },
        exports={".": "./src/index.js", "./*": "./src/*.js"},
        imports={"#inner": "./src/inner.js"},
        type="module",
        dependencies={"@s/base": "1"},
    )
    source = """
import pack from "pack";
import extra from "pack/extra";
export async function main() { return [pack(), extra]; }
"""
    found = await lead.run(source, packages=["pack"])
    assert found == [["base", 3, "extra"], "extra"]


async def test_a_file_in_the_old_form_that_requires_nothing_is_a_default_export(
    registry: Registry, lead: Any
) -> None:
    registry.publish("old", files={"old.js": UMD}, main="old.js")
    source = """
import old from "old";
export async function main(x) { return old.twice(x); }
"""
    assert await lead.run(source, 4, packages=["old"]) == 8

    fails = 'import old from "old"; export async function main() { old.fail(); }'
    with pytest.raises(GuestError) as caught:
        await lead.run(fails, packages=["old"])
    assert "npm:old/old.js:5" in caught.value.traceback


async def test_the_nearest_package_json_says_what_the_files_of_a_folder_are(
    registry: Registry, lead: Any
) -> None:
    registry.publish(
        "pack",
        files={
            "index.js": "import old from './old/deep/a.js'; export default old.n;",
            "old/package.json": '{"type": "commonjs"}',
            "old/deep/a.js": "exports.n = 5;",
            "test/package.json": "{",
            "test/a.js": "",
        },
        main="index.js", type="module",
    )  # fmt: skip
    source = "import n from 'pack'; export async function main() { return n; }"
    assert await lead.run(source, packages=["pack"]) == 5


async def test_typescript_imports_packages_too(registry: Registry, lead: Any) -> None:
    registry.publish("pack", files={"index.js": "export const n = 7;"})
    source = """
import { Actor } from "facets";
import { n } from "pack";
export class Tool extends Actor {
  async run(): Promise<number> { return n as number; }
}
"""
    assert await lead.facet(source, ["pack@1"], "typescript") == 7


async def test_what_is_not_imported_never_enters_the_isolate(
    registry: Registry, lead: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    serve = PackageFiles.serve
    monkeypatch.setattr(
        PackageFiles, "serve", lambda self, args: asked.append(args) or serve(self, args)
    )
    registry.publish("pack", files={"index.js": "import './used.js'", "used.js": "", "un.js": ""})
    await lead.run("export async function main() {}", packages=["pack"])
    assert asked == []
    await lead.run("import 'pack'; export async function main() {}", packages=["pack"])
    assert [one[1] for one in asked if one[0] == "load"] == [
        "npm:pack/index.js", "npm:pack/used.js",
    ]  # fmt: skip


async def test_own_modules_come_before_packages_and_packages_never_see_them(
    registry: Registry, lead: Any
) -> None:
    registry.publish("pack", files={"index.js": "export default 'package';"})
    registry.publish("spy", files={"index.js": "export const see = (name) => import(name);"})
    source = {
        "main.js": "import pack from 'pack'; import { see } from 'spy';"
        "export async function main(name) { try { await see(name); return 'seen'; }"
        " catch { return pack; } }",
        "pack.js": "export default 'own';",
    }
    for name in ("main.js", "./main.js", "../main.js", "pack.js", "npm:pack/index.js", "/main.js"):
        assert await lead.run(source, name, packages=["pack", "spy"]) == "own"
    assert await lead.run(source, "pack", packages=["pack", "spy"]) == "seen"


async def test_a_dynamic_import_finds_packages(registry: Registry, lead: Any) -> None:
    registry.publish("pack", files={"index.js": "export const n = 1;"})
    source = "export async function main() { return (await import('pack')).n; }"
    assert await lead.run(source, packages=["pack"]) == 1


async def test_what_the_packages_do_not_have_does_not_load(registry: Registry, lead: Any) -> None:
    registry.publish("pack")
    for wanted in ("other", "pack/gone.js", "node:fs", "npm:pack/index.js"):
        with pytest.raises(LoadError):
            await lead.run(
                f"import '{wanted}'; export async function main() {{}}", packages=["pack"]
            )


async def test_a_package_that_needs_node_fails_the_load_and_can_be_tried_again(
    registry: Registry, lead: Any
) -> None:
    registry.publish("pack", files={"index.js": "import 'fs'"})
    source = "import { n } from 'pack'; export async function main() { return n; }"
    with pytest.raises(NotPure, match="'fs'"):
        await lead.run(source, packages=["pack"])
    registry.publish("pack", "1.0.1", {"index.js": "export const n = 1"})
    assert await lead.run(source, packages=["pack"]) == 1


async def test_with_a_lock_nothing_is_asked_but_what_is_not_here(
    registry: Registry, lead: Any
) -> None:
    registry.publish("pack", files={"index.js": "export const n = 1"})
    made = await packages.lock(["pack"], language="typescript")
    forget()
    asked = len(registry.asked)
    source = "import { n } from 'pack'; export async function main() { return n; }"
    assert await lead.run(source, packages=made) == 1
    assert await lead.run(source, packages=["pack"]) == 1
    assert len(registry.asked) == asked


async def test_a_lock_of_another_language_is_refused(registry: Registry, lead: Any) -> None:
    registry.publish("pack")
    made = await packages.lock(["pack"], language="javascript")
    with pytest.raises(BadLock, match="packages for javascript, and the source is python"):
        await lead.run("async def main(): pass", language="python", packages=made)
    with pytest.raises(BadRequirement):
        await lead.run(b"\0asm\1\0\0\0", language=None, packages=["pack"])


async def test_a_package_cannot_change_what_the_runtime_is_made_of(
    registry: Registry, lead: Any
) -> None:
    evil = """
for (const one of [Array.prototype, Object.prototype, String.prototype, Map.prototype]) {
  for (const name of Object.getOwnPropertyNames(one)) {
    if (name !== "constructor") try { one[name] = () => { throw new Error("evil"); }; } catch {}
  }
}
JSON.parse = JSON.stringify = () => { throw new Error("evil"); };
export const n = 1;
"""
    registry.publish("evil", files={"index.js": evil})
    registry.publish("later", files={"index.js": "export const n = 2;"})
    source = """
import { n } from "evil";
export async function main() { return n + (await import("later")).n; }
"""
    assert await lead.run(source, packages=["evil", "later"]) == 3


async def test_a_recorded_isolate_with_packages_is_replayed_without_them(
    registry: Registry, lead: Any
) -> None:
    registry.publish("pack", files={"index.js": "export const n = Math.random();"})
    source = "import { n } from 'pack'; export async function main() { return n; }"
    first, recording = await lead.recorded(source, ["pack"])
    second, _ = await lead.recorded(source, ["pack"])
    assert first == second
    forget()
    assert replay(recording).operations == 2
