"""A small content management system whose plugins are extensions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import facets
from facets import Actor, Limits, Rule
from facets.extensions import Extensions, Grants, Proposal, no_wider


class Posts:
    """What plugins may get of the posts, as two capabilities: one reads, one writes."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def offers(self) -> dict[str, Any]:
        return {
            "posts:read": facets.capability(self.read),
            "posts:write": facets.capability(self.write),
        }

    async def read(self, title: str) -> str:
        """The text of a post."""
        return str(self._site.sql("select text from posts where title = ?", title).value())

    async def write(self, title: str, text: str) -> None:
        """Change the text of a post."""
        self._site.sql("update posts set text = ? where title = ?", text, title)


class Site(Actor):
    """Posts, and plugins that have a say: `before_publish` sees a post and may change it."""

    migrations = ["create table posts(title text primary key, text text not null)"]
    hosts: ClassVar[Mapping[str, Rule]] = {}
    """The hosts that plugins can get at all, with what the site says about each."""

    async def on_start(self) -> None:
        self.plugins = Extensions(
            self,
            consent=no_wider,
            grants=Grants(files="/public", offers=Posts(self).offers(), rule=self._rule),
            limits=Limits(cpu=0.2, wall=5.0, calls=1000, output=64 << 10, logs=8 << 10),
        )
        await self.plugins.resume()

    async def install(self, manifest: dict[str, Any], source: str) -> Proposal:
        """What a plugin directory would call; the owner of the site answers what is pending."""
        return await self.plugins.propose(manifest, source)

    async def allow(self, name: str, version: str) -> Proposal:
        return await self.plugins.approve(name, version)

    async def publish(self, title: str, text: str) -> str:
        """Publish a post; the text that the plugins have made of it."""
        post = await self.plugins.emit("before_publish", {"title": title, "text": text})
        self.sql("insert or replace into posts values (?, ?)", title, str(post["text"]))
        return str(post["text"])

    async def use(self, plugin: str, tool: str, arguments: dict[str, Any]) -> Any:
        return await self.plugins.call(plugin, tool, **arguments)

    async def read(self, title: str) -> str:
        return str(self.sql("select text from posts where title = ?", title).value())

    async def failures(self, name: str) -> list[str]:
        return [one.detail for one in self.plugins.history(name) if one.what.startswith("failed")]

    async def disabled(self, name: str) -> str:
        return self.plugins.records.disabled(name)

    async def versions(self, name: str) -> list[tuple[str, str]]:
        return [(one.version, one.state) for one in self.plugins.versions(name)]

    async def put(self, path: str, text: str) -> None:
        self.fs.mkdir("/public", exist_ok=True)
        self.fs.write_text(path, text)

    async def size_of(self, path: str) -> int:
        return len(self.fs.read(path))

    def _rule(self, host: str) -> Rule:
        try:
            return self.hosts[host]
        except KeyError:
            raise PermissionError("the site does not talk to it") from None
