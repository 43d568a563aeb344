"""What a runtime does besides calls, where hosts have to agree or one of them goes on telling."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from actors.actor import Actor
from actors.names import check_name
from actors.ray.context import depart
from actors.ray.errors import OtherHost
from actors.ray.parcels import pack_arguments
from actors.ray.router import Router, handle
from actors.ray.stub import RemoteStub

if TYPE_CHECKING:
    from actors.local import LocalRuntime
    from storage.diff import Difference

OWN = "/"
"""Before the name of a runtime's own method, where that of an actor's would be."""


def ask(router: Router, verb: str) -> dict[str, Any]:
    """What each host's own runtime answers to a question; waits for all."""
    import ray

    hosts = router.directory.hosts
    asked = [handle(router.runtime, host).ask.remote(verb) for host in hosts]
    return dict(zip(hosts, ray.get(asked), strict=True))


async def diff(
    router: Router, cls: type[Actor], name: str, other: str | None, moments: Mapping[str, Any]
) -> AsyncGenerator[Difference, None]:
    """Differences, as the host that has both actors finds them."""
    data = pack_arguments((other,), dict(moments))
    target = (cls.kind, check_name(name), 0, "")
    async with aclosing(router.stream(target, f"{OWN}diff", data, depart())) as items:
        async for item in items:
            yield item


async def diff_here(
    runtime: LocalRuntime,
    here: str,
    cls: type[Actor],
    name: str,
    other: str | None,
    **moments: str | None,
) -> AsyncGenerator[Difference, None]:
    """The same on that host; `OtherHost` if it has only one of them."""
    owns = runtime.host.owns
    if owns is not None and other is not None and not owns(cls.kind, check_name(other)):
        raise OtherHost(
            f"{cls.kind}:{other} lives on another host than {cls.kind}:{name}",
            hint="clone one to a name that lives beside the other, and compare there",
            actor=name,
            other=other,
        )
    own = {key: None if mark is None else own_part(mark, here) for key, mark in moments.items()}
    async with aclosing(runtime.diff(cls, name, other, **own)) as items:
        async for item in items:
            yield item


def check_beside(router: Router, cls: type[Actor], name: str, to: object) -> None:
    """Raise unless an actor lives on the host of what `to` is a stub of."""
    if not isinstance(to, RemoteStub):
        raise TypeError(f"the new parent is given as a stub, not as {type(to).__name__}")
    ref = to._ref
    if router.owner(cls.kind, name) != router.owner(ref.kind, ref.name):
        raise OtherHost(
            f"{cls.kind}:{name} lives on another host than {ref}",
            hint="export it, and let the parent import it (self.facets.import_)",
            actor=name,
            other=ref.name,
        )


# -- bookmarks: each host has a history of its own ------------------------------------------------


def together(bookmarks: Mapping[str, str]) -> str:
    """One bookmark of those of all hosts."""
    return ",".join(f"{host}@{bookmark}" for host, bookmark in bookmarks.items())


def own_part(bookmark: str, host: str) -> str:
    """A host's own bookmark in one of all hosts; one of a single host is that already."""
    for part in bookmark.split(","):
        name, at, found = part.rpartition("@")
        if at and name == host:
            return found
    return bookmark


def for_host(
    host: str, verb: str, args: Sequence[Any], named: Mapping[str, Any]
) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """The arguments of a verb as one host understands them."""
    if verb.startswith("restore") and len(args) > 1 and type(args[1]) is str:
        args = [args[0], own_part(args[1], host), *args[2:]]
    if type(named.get("at")) is str:
        named = {**named, "at": own_part(named["at"], host)}
    return args, named
