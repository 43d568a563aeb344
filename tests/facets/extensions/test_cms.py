"""A hostile plugin of a content management system gets nowhere, whatever it tries."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from facets import LocalRuntime, Rule
from facets.errors import BytesQuota, EgressDenied, IsolateDead
from tests.facets.extensions.cms import Site

GOOD = """
from facets import Actor

class Extension(Actor):
    async def before_publish(self, post):
        self.kv["seen"] = self.kv.get("seen", 0) + 1
        return post | {"text": post["text"].replace("teh", "the")}

    async def seen(self): return self.kv.get("seen", 0)

    async def test_mends(self):
        assert await self.before_publish({"text": "teh"}) == {"text": "the"}
"""
HOOK = {"event": "before_publish", "priority": 10}
SPELLING: dict[str, Any] = {
    "name": "spelling",
    "version": "1",
    "permissions": {"storage": 1 << 20},
    "tools": [{"name": "seen"}],
    "hooks": [HOOK],
}


ANYTHING = {"type": "object", "additionalProperties": True}


def hostile(*tools: str, hooks: bool = False, version: str = "1", **permissions: Any) -> Any:
    return {
        "name": "hostile",
        "version": version,
        "permissions": {"storage": 1 << 20} | permissions,
        "tools": [{"name": name, "parameters": ANYTHING} for name in tools],
        "hooks": [HOOK | {"priority": 1}] if hooks else [],
    }


def source(**methods: str) -> str:
    """A plugin whose methods have these bodies."""
    bodies = "".join(
        f"    async def {name.replace('__', '')}(self, post=None):\n        {body}\n"
        for name, body in methods.items()
    )
    return f"from facets import Actor\nimport facets\n\nclass Extension(Actor):\n{bodies}"


@pytest.fixture
async def site(state: Path) -> AsyncIterator[Site]:
    async with LocalRuntime(state) as runtime:
        site = runtime.get(Site, "blog")
        await site.install(SPELLING, GOOD)
        await site.allow("spelling", "1")
        yield site


async def installed(site: Site, manifest: Any, source: str) -> None:
    proposal = await site.install(manifest, source)
    assert proposal.problems == ()
    if proposal.state == "pending":
        proposal = await site.allow("hostile", manifest["version"])
    assert proposal.state == "active", proposal


async def works(site: Site, title: str = "after") -> None:
    """The site and its honest plugin go on."""
    assert await site.publish(title, "teh end") == "the end"


async def test_an_honest_plugin_does_its_work_with_data_of_its_own(site: Site) -> None:
    await works(site)
    assert await site.use("spelling", "seen", {}) == 1


async def test_it_finds_neither_the_data_of_the_site_nor_that_of_others(site: Site) -> None:
    await works(site)
    await site.put("/secret.txt", "secret")
    await site.put("/public/a.txt", "public")
    tables = "return [row[0] for row in self.sql('select name from sqlite_master')]"
    await installed(
        site,
        hostile("tables", "keys", "facets_of", "above", "env_of", "up", "link", files="read-write"),
        source(
            tables=tables,
            keys="return dict(self.kv)",
            facets_of="return self.facets.list()",
            above="return self.parent is None",
            env_of="return sorted(vars(type(self)).get('env') or self.__dict__.get('env') or {})",
            up="return await self.env['files'].read_text('../secret.txt')",
            link="return await self.env['files'].copy('/../secret.txt', '/mine')",
        ),
    )
    assert [one for one in await site.use("hostile", "tables", {}) if "post" in one] == []
    assert await site.use("hostile", "keys", {}) == {}
    assert await site.use("hostile", "facets_of", {}) == []
    assert await site.use("hostile", "above", {})
    assert await site.use("hostile", "env_of", {}) in ([], ["files"])
    for tool in ("up", "link"):
        with pytest.raises(OSError, match=r"secret|mine"):
            await site.use("hostile", tool, {})
    await works(site)


async def test_it_reaches_no_host_that_its_manifest_does_not_name(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    rule = Rule("127.0.0.1", scheme="http", port=port, private=True)
    monkeypatch.setattr(Site, "hosts", {"127.0.0.1": rule})
    fetch = "return (await facets.fetch('ht' + 'tp://{}:PORT/')).status".replace("PORT", f"{port}")
    async with server:
        refused = await site.install(
            hostile("there", version="0", network=["evil.test"]),
            source(there="await facets.fetch('x')"),
        )
        assert refused.problems == (
            "host 'evil.test' is not to be had: the site does not talk to it",
        )
        await installed(
            site,
            hostile("there", "elsewhere", network=["127.0.0.1"]),
            source(there=fetch.format("127.0.0.1"), elsewhere=fetch.format("localhost")),
        )
        assert await site.use("hostile", "there", {}) == 200
        with pytest.raises(EgressDenied):
            await site.use("hostile", "elsewhere", {})
    assert len(asked) == 1
    await works(site)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("while True: pass", "CpuLimit"),
        ("raise ValueError('no')", "ValueError"),
        ("return 'not a post'", "it returned str, not dict"),
        ("print('x' * 1000000)", "LogLimit"),
        ("return {'text': 'x' * 10000000}", "OutputLimit"),
        ("x = [b'x' * 1000000 for _ in range(1000)]", "Memory"),
        ("import os; os.abort()", "GuestAborted"),
    ],
)
async def test_a_hook_that_misbehaves_changes_nothing_and_is_switched_off(
    site: Site, body: str, why: str
) -> None:
    await installed(site, hostile(hooks=True), source(before_publish=body))
    for number in range(4):
        await works(site, f"post {number}")
    failures = await site.failures("hostile")
    assert len(failures) == 3
    assert why in failures[0]
    assert "3 failures in a row" in await site.disabled("hostile")


async def test_a_hook_that_waits_for_ever_is_over_after_its_seconds(site: Site) -> None:
    manifest = hostile(hooks=True)
    manifest["hooks"][0]["seconds"] = 0.05
    body = "import asyncio; await asyncio.sleep(1e6)"
    await installed(site, manifest, source(before_publish=body))
    await works(site)
    assert "DeadlineExceeded" in (await site.failures("hostile"))[0]


async def test_it_fills_its_own_storage_and_nothing_else(site: Site) -> None:
    body = "[self.kv.update({str(n): b'x' * 50000}) for n in range(40)]"
    await installed(site, hostile("fill"), source(fill=body))
    with pytest.raises(BytesQuota):
        await site.use("hostile", "fill", {})
    await works(site)


async def test_killed_sandboxes_of_tools_are_strikes_too(site: Site) -> None:
    await installed(site, hostile("spin"), source(spin="while True: pass"))
    for _ in range(3):
        with pytest.raises(IsolateDead):
            await site.use("hostile", "spin", {})
    assert "3 failures in a row" in await site.disabled("hostile")


async def test_an_upgrade_gets_no_more_than_was_consented_to(site: Site) -> None:
    write = "return await self.env['posts:write']('after', 'defaced')"
    quiet = "return post and await getattr(self, 'e' + 'nv')['posts:write']('after', 'defaced')"
    await works(site)
    await installed(site, hostile("go"), source(go="self.kv['a'] = 1"))

    refused = await site.install(hostile("go", version="2"), source(go=write))
    assert (refused.state, "permissions.offers" in refused.problems[0]) == ("refused", True)

    wider = await site.install(hostile("go", version="3", offers=["posts:write"]), source(go=write))
    assert (wider.state, str(wider.changes[0])) == ("pending", "+ offers: none -> posts:write")
    assert await site.use("hostile", "go", {}) is None

    hidden = await site.install(hostile("go", version="4"), source(go=quiet))
    assert hidden.state == "active"
    with pytest.raises(KeyError):
        await site.use("hostile", "go", {"post": "now"})
    assert await site.read("after") == "the end"

    assert (await site.allow("hostile", "3")).state == "active"
    await site.use("hostile", "go", {})
    assert await site.read("after") == "defaced"


async def test_a_test_of_a_proposal_has_nothing_to_do_harm_with(site: Site) -> None:
    await works(site)
    evil = source(go="self.kv['a'] = 1", test_evil="await self.env['posts:write']('after', 'x')")
    refused = await site.install(hostile("go", offers=["posts:write"]), evil)
    assert (refused.state, "KeyError" in refused.problems[0]) == ("refused", True)
    assert await site.read("after") == "the end"


async def test_an_upgrade_that_does_not_start_leaves_the_version_before_running(site: Site) -> None:
    await works(site)
    bad = GOOD + "\n    async def on_start(self):\n        if 'seen' in self.kv: raise ValueError\n"
    failed = await site.install(SPELLING | {"version": "2"}, bad)
    assert (failed.state, "start: ValueError" in failed.problems[0]) == ("failed", True)
    await works(site)
    assert await site.versions("spelling") == [("1", "active"), ("2", "failed")]
    assert await site.use("spelling", "seen", {}) == 2


async def test_a_test_brings_stand_ins_for_what_the_site_offers(site: Site) -> None:
    honest = source(
        go="return await self.env['posts:read']('after')",
        test_go="""
        async def read(title): return title
        self.env["posts:read"] = read
        assert await self.go() == "after\"""",
    )
    await works(site)
    await installed(site, hostile("go", offers=["posts:read"]), honest)
    assert await site.use("hostile", "go", {}) == "the end"


async def test_a_rehearsal_of_an_upgrade_changes_nothing_of_the_site(site: Site) -> None:
    write = "await self.env['files'].append('/log', b'x'); await self.env['posts:write']('a', 'x')"
    manifest = hostile("go", files="read-write", offers=["posts:write"])
    await installed(site, manifest, source(go=write))
    await site.publish("a", "text")
    await site.use("hostile", "go", {})
    assert await site.read("a") == "x"
    await site.publish("a", "text")
    await installed(site, manifest | {"version": "2"}, source(go=write) + "\n")
    assert await site.read("a") == "text"
    assert await site.size_of("/public/log") == 1
