"""`only`, `max_calls`, `expires`, `revoke`: a capability allows no more than is said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import facets
from actors.testing import VirtualClock
from facets import Actor, LocalRuntime
from facets.capabilities.patterns import check, matches
from facets.errors import CapabilityDenied, CapabilityExpired, CapabilityRevoked

TOOL = """
from facets import Actor
import facets

class Tool(Actor):
    async def on(self, cap, method, *args, **kwargs):
        return await getattr(cap, method)(*args, **kwargs)
    async def call(self, cap, *args, **kwargs): return await cap(*args, **kwargs)
    async def keep(self, cap): self.kept = cap
    async def again(self, method, *args): return await getattr(self.kept, method)(*args)
    async def caught(self, cap, method, *args):
        try: return await getattr(cap, method)(*args)
        except PermissionError as error:
            return [type(error).__name__, isinstance(error, facets.errors.CapabilityError),
                    str(error)]
    async def first(self, cap):
        async for item in cap.pages("/v1/a"): return item
"""


@facets.capability
class Api:
    """A service over HTTP."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def get(self, path: str, page: int = 1) -> str:
        self.asked.append(path)
        return f"{path} {page}"

    async def delete(self, path: str) -> None:
        self.asked.append(f"delete {path}")

    async def pages(self, path: str) -> AsyncIterator[str]:
        yield path


class Lead(Actor):
    async def do(self, script: str, *args: Any) -> Any:
        return await SCRIPTS[script](self, *args)

    def tool(self, **env: Any) -> Any:
        return self.facets.get("tool", self.isolates.get(TOOL, env=env).actor("Tool"))

    async def echo(self, path: str, n: int = 0) -> tuple[str, int]:
        return path, n


SCRIPTS: dict[str, Any] = {}


async def run(runtime: LocalRuntime, story: Any) -> Any:
    SCRIPTS[story.__name__] = story
    return await runtime.get(Lead, "a").do(story.__name__)


@pytest.fixture
async def runtime(state: Path, clock: VirtualClock) -> AsyncIterator[LocalRuntime]:
    async with LocalRuntime(state, clock=clock) as runtime:
        yield runtime


async def test_only_what_is_named_can_be_called(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        api, tool = Api(), lead.tool()
        reader = facets.capability(api).only("get", path="/v1/*")

        assert await tool.on(reader, "get", "/v1/a") == "/v1/a 1"
        assert await tool.on(reader, "get", path="/v1/a", page=2) == "/v1/a 2"
        for method, args in (
            ("get", ("/v2/a",)), ("get", ("/v1/a/b",)), ("get", ("/v1/../admin",)),
            ("get", ("/v1/%2e%2e",)), ("get", ("/v1/..",)), ("get", (["/v1/a"],)),
            ("get", ("/v1/a\\..\\..\\b",)), ("delete", ("/v1/a",)),
        ):  # fmt: skip
            with pytest.raises(CapabilityDenied):
                await tool.on(reader, method, *args)
        assert api.asked == ["/v1/a", "/v1/a"]
        name, known, text = await tool.caught(reader, "delete", "/v1/a")
        assert (name, known) == ("CapabilityDenied", True)
        assert "it allows get" in text

    await run(runtime, story)


async def test_each_narrowing_is_a_capability_of_its_own(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        api, tool = facets.capability(Api()), lead.tool()
        reader = api.only("get")
        narrower = reader.only(path="/v1/**")

        assert await tool.on(api, "delete", "/x") is None
        assert await tool.on(reader, "get", "/x") == "/x 1"
        assert await tool.on(narrower, "get", "/v1/x/y") == "/v1/x/y 1"
        for wrong in (("get", "/x"), ("delete", "/v1/x")):
            with pytest.raises(CapabilityDenied):
                await tool.on(narrower, *wrong)
        assert await tool.first(api.only("pages", path="/v1/*")) == "/v1/a"
        with pytest.raises(CapabilityDenied):
            await tool.first(api.only("pages", path="/v2/*"))

    await run(runtime, story)


async def test_stubs_and_functions_are_narrowed_too(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        tool, other = lead.tool(), lead.facets.get("other", Lead)
        narrow = facets.capability(other).only("echo", path=("/a", "/b/*"), n=1)

        assert await tool.on(narrow, "echo", "/b/x", 1) == ("/b/x", 1)
        for args in (("/c", 1), ("/a", 2), ("/a",), ("/a", True), ("/a", 1.0)):
            with pytest.raises(CapabilityDenied):
                await tool.on(narrow, "echo", *args)

        @facets.capability
        def double(x: int) -> int:
            return 2 * x

        small = double.only(x=lambda x: x < 10)
        assert await tool.call(small, 3) == 6
        with pytest.raises(CapabilityDenied):
            await tool.call(small, 10)

    await run(runtime, story)


async def test_calls_are_counted_and_only_those_that_were_allowed(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        api, tool = Api(), lead.tool()
        twice = facets.capability(api).only("get", max_calls=2, path="/v1/*")

        assert await tool.on(twice, "get", "/v1/a") == "/v1/a 1"
        with pytest.raises(CapabilityDenied):
            await tool.on(twice, "get", "/v2")
        assert await twice.get("/v1/b") == "/v1/b 1"
        with pytest.raises(CapabilityExpired, match="used up"):
            await tool.on(twice, "get", "/v1/a")
        assert len(api.asked) == 2

    await run(runtime, story)


async def test_a_capability_expires_by_the_clock_of_its_runtime(
    runtime: LocalRuntime, clock: VirtualClock
) -> None:
    async def story(lead: Lead) -> None:
        tool = lead.tool()
        brief = facets.capability(Api()).only(expires=10)

        clock.advance(9.9)
        assert await tool.on(brief, "get", "/") == "/ 1"
        clock.advance(0.1)
        with pytest.raises(CapabilityExpired):
            await tool.on(brief, "get", "/")
        with pytest.raises(CapabilityExpired):
            await brief.get("/")

    await run(runtime, story)


async def test_revoking_one_revokes_what_was_made_from_it(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        tool, api = lead.tool(), facets.capability(Api())
        middle = api.only("get")
        leaf = middle.only(path="/v1/*")
        other = api.only("get")
        await tool.keep(leaf)

        middle.revoke()

        with pytest.raises(CapabilityRevoked):
            await tool.again("get", "/v1/a")
        with pytest.raises(CapabilityRevoked):
            await leaf.get("/v1/a")
        assert await tool.on(other, "get", "/") == "/ 1"
        assert await tool.on(api, "get", "/") == "/ 1"
        with pytest.raises(CapabilityRevoked):
            await tool.on(middle.only(max_calls=1), "get", "/")

    await run(runtime, story)


async def test_revoking_one_ends_the_calls_of_what_was_made_from_it(
    runtime: LocalRuntime,
) -> None:
    async def story(lead: Lead) -> None:
        began = asyncio.Event()

        async def wait() -> None:
            began.set()
            await asyncio.Event().wait()

        one = facets.capability(wait)
        calling = asyncio.ensure_future(lead.tool().call(one.only(max_calls=1).only()))
        await began.wait()
        one.revoke()
        with pytest.raises(CapabilityRevoked):
            await calling

    await run(runtime, story)


async def test_what_does_not_exist_cannot_be_narrowed_to() -> None:
    api = facets.capability(Api())
    for wrong in (
        lambda: api.only("got"), lambda: api.only("get", paht="/"), lambda: api.only(page=1),
        lambda: api.only("get", path="/a/../b*"), lambda: api.only("get", path=["/a?*"]),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"no|pattern"):
            wrong()


async def test_what_is_not_known_to_take_names_is_given_by_name(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        inner = lead.facets.get("inner", lead.isolates.get(INNER).actor("Inner"))
        tool, narrow = lead.tool(), facets.capability(inner).only("echo", path="/v1/*")

        assert await tool.on(narrow, "echo", path="/v1/a") == "/v1/a"
        for args, kwargs in ((("/v1/a",), {}), (("/v1/a",), {"path": "/v1/a"}), ((), {})):
            with pytest.raises(CapabilityDenied):
                await tool.on(narrow, "echo", *args, **kwargs)

    await run(runtime, story)


INNER = """
from facets import Actor
class Inner(Actor):
    async def echo(self, path=None): return path
"""


async def test_views_are_capabilities(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        lead.fs.mkdir("/docs")
        lead.fs.write("/docs/a.txt", b"a")
        lead.fs.symlink("/secret", "/docs/out")
        lead.kv["a:1"] = 1
        lead.sql("create table t(x)")
        lead.sql("insert into t values (1), (2)")
        tool = lead.tool()
        files, keys, rows = lead.fs.view("/docs"), lead.kv.view("a:", "rw"), lead.sql.view(["t"])

        assert await tool.on(files, "read", "/a.txt") == b"a"
        assert (await tool.on(files, "stat", "/a.txt")).size == 1
        for method, args, error in (
            ("read", ("/out",), PermissionError), ("write", ("/x", b""), AttributeError),
            ("read", ("/../secret",), FileNotFoundError), ("_confine", ("/",), AttributeError),
            ("database", (), AttributeError),
        ):  # fmt: skip
            with pytest.raises(error):
                await tool.on(files, method, *args)
        assert await tool.on(keys, "get", "1") == 1
        await tool.on(keys, "set", "2", "two")
        assert lead.kv["a:2"] == "two"
        assert (await tool.on(rows, "query", "select sum(x) as s from t")).one() == (3,)
        with pytest.raises(facets.errors.SqlDenied):
            await tool.on(rows, "query", "select * from sqlite_schema")
        narrow = facets.capability(files).only("read", path="/a*")
        assert await tool.on(narrow, "read", "/a.txt") == b"a"
        with pytest.raises(CapabilityDenied):
            await tool.on(narrow, "read", "/b.txt")

    await run(runtime, story)


async def test_a_view_of_one_actor_stays_its_own_in_the_hands_of_another(
    runtime: LocalRuntime,
) -> None:
    class Holder(Actor):
        async def lend(self, keys: Any) -> Any:
            tool = self.facets.get("tool", self.isolates.get(TOOL).actor("Tool"))
            await tool.on(keys, "set", "x", 1)
            with pytest.raises(RuntimeError, match="no"):
                await self.fails(tool, keys)
            return dict(self.kv)

        async def fails(self, tool: Any, keys: Any) -> None:
            async with self.facets.transaction():
                await tool.on(keys, "set", "y", 1)
                raise RuntimeError("no")

    async def story(lead: Lead) -> None:
        keys = lead.kv.view("a:", "rw")
        assert await lead.facets.get("holder", Holder).lend(keys) == {}
        assert dict(lead.kv) == {"a:x": 1}

    await run(runtime, story)


@pytest.mark.parametrize(
    ("value", "pattern", "expected"),
    [
        ("/v1/a", "/v1/*", True),
        ("/v1/", "/v1/*", True),
        ("/v1", "/v1/*", False),
        ("/v1/a/b", "/v1/*", False),
        ("/v1/a/b", "/v1/**", True),
        ("/v1/./a", "/v1/*", False),
        ("/v1//a", "/v1/*", False),
        ("/v1/%252e%252e/a", "/v1/**", False),
        ("/v1/ä", "/v1/*", True),
        ("/ä/x", "/ä/*", True),
        ("/v1/\ud800", "/v1/*", False),
        ("team-a", "team-*", True),
        ("team-a/b", "team-*", False),
        ("team-a\nx", "team-*", True),
        ("x", "x", True),
        ("X", "x", False),
        ("*", "*", True),
        (1, 1, True),
        (True, 1, False),
        (1.0, 1, False),
        (1, "1", False),
        (None, None, True),
        ("b", ["a", "b"], True),
        (3, {1, 2}, False),
        (5, lambda x: x > 4, True),
    ],
)
async def test_patterns_match_as_they_say(value: Any, pattern: Any, expected: bool) -> None:
    check(pattern)
    assert matches(value, pattern) is expected


async def test_trusted_callers_are_held_to_it_too(runtime: LocalRuntime) -> None:
    async def story(lead: Lead) -> None:
        reader = facets.capability(Api()).only("get", "pages", path="/v1/*")

        assert await reader.get("/v1/a") == "/v1/a 1"
        assert await asyncio.gather(reader.get("/v1/a"), reader.get("/v1/b")) == [
            "/v1/a 1", "/v1/b 1",
        ]  # fmt: skip
        assert [item async for item in reader.pages("/v1/a")] == ["/v1/a"]
        with pytest.raises(CapabilityDenied):
            await reader.get("/v2")
        with pytest.raises(AttributeError):
            reader.delete  # noqa: B018

    await run(runtime, story)
