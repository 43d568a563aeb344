"""Plugins of an application: a small content system, an honest plugin and a hostile one."""

import asyncio
from typing import Any

from facets import Actor, LocalRuntime
from facets.extensions import Extensions, Proposal, no_wider

SPELLING = """
from facets import Actor

class Extension(Actor):
    async def before_publish(self, post):
        return post | {"text": post["text"].replace("teh", "the")}

    async def test_mends(self):
        assert await self.before_publish({"text": "teh"}) == {"text": "the"}
"""
HOSTILE = """
from facets import Actor
class Extension(Actor):
    async def before_publish(self, post):
        while True: pass
"""


class Site(Actor):
    """Posts, and plugins that see each before it is published."""

    migrations = ["create table posts(title text primary key, text text not null)"]

    async def on_start(self) -> None:
        """Go on with what a crash has interrupted."""
        self.plugins = Extensions(self, consent=no_wider)
        await self.plugins.resume()

    async def install(self, name: str, version: str, source: str, **permissions: Any) -> Proposal:
        """Checked at once; it runs once the owner of the site agrees, if it wants more than now."""
        hooks = [{"event": "before_publish"}]
        manifest = {"name": name, "version": version, "permissions": permissions, "hooks": hooks}
        return await self.plugins.propose(manifest, source)

    async def allow(self, name: str, version: str) -> str:
        """What the owner of the site says; no plugin can."""
        return (await self.plugins.approve(name, version)).state

    async def publish(self, title: str, text: str) -> str:
        """What the plugins have made of it."""
        post = await self.plugins.emit("before_publish", {"title": title, "text": text})
        self.sql("insert or replace into posts values (?, ?)", title, post["text"])
        return str(post["text"])

    async def newest(self, name: str) -> str:
        """What happened to a plugin last."""
        return self.plugins.history(name)[-1].detail


async def main() -> None:
    """Install, upgrade, and see what a hostile plugin can do."""
    async with LocalRuntime("state/") as runtime:
        site = runtime.get(Site, "blog")
        print("spelling 1:", (await site.install("spelling", "1", SPELLING)).state)
        print("spelling 1:", await site.allow("spelling", "1"))
        print("published:", await site.publish("first", "teh end"))
        wider = await site.install("spelling", "2", SPELLING, files="read-write")
        print("spelling 2:", wider.state, *wider.changes)
        await site.install("hostile", "1", HOSTILE)
        await site.allow("hostile", "1")
        for title in ("second", "third", "fourth"):
            print("published:", await site.publish(title, "teh end"))
        print("hostile:", await site.newest("hostile"))


if __name__ == "__main__":
    asyncio.run(main())
