"""How a guest's use of a capability runs: as the call of trusted code in its place would.

One `Desk` for each isolate; every use passes it, and is recorded in the owner's audit.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from actors.call import CURRENT, Call, Guest
from actors.transaction import refuse
from facets.capabilities.audit import Entry, audit_of
from facets.capabilities.running import at_home, stream_at_home

if TYPE_CHECKING:
    from actors.activation import Activation
    from facets.isolates.own import Own
    from facets.isolates.serving import Asked


class Desk:
    """Where the calls out of one isolate are made.

    `source` is the actor that its code acts for, `owner` the one whose isolate it is, `who` what
    the audit calls it.
    """

    def __init__(self, source: Activation, owner: Activation, who: str) -> None:
        self._source = source
        self._owner = owner
        self._audit = audit_of(owner)
        self._who = who

    async def use(self, asked: Asked) -> Any:
        """Run one call to a capability; what it returns.

        The step of the guest that made it has been committed. Code of another actor runs in
        steps of that actor; code that nobody made is outside, and sees only what is durable.
        """
        cause = await self._enter(asked)
        entry = self._entry(asked)
        try:
            asked.grant.capability.admit(asked.method, asked.args, asked.kwargs)
            result = await self._run(asked, cause, entry)
        except BaseException as error:
            entry.end(error)
            raise
        entry.end()
        return result

    def own_now(
        self, own: Own, cause: Any, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Run one of the runtime's own services at once."""
        entry = self._audit.entry(self._who, own.name, method, [args, kwargs])
        current: Call = cause or Call(self._source, "a task of its own", None)
        context = copy_context()
        context.run(CURRENT.set, current)
        if own.ends_step(method):
            entry.begin()  # it changes what lasts: the row comes first
        try:
            result = context.run(own.now, method, args, kwargs)
        except Exception as error:
            entry.end(error)
            raise
        entry.end()
        return result

    async def _run(self, asked: Asked, cause: Call, entry: Entry) -> Any:
        capability, home = asked.grant.capability, asked.grant.home
        call = (asked.method, asked.args, asked.kwargs)
        if capability.at_home and home is self._owner:
            return await at_home(capability, home, *call, entry.around)
        entry.begin()
        if capability.at_home and home is not None:
            return await at_home(capability, home, *call)
        if capability.at_home:
            await self._outside(asked, cause)
        return await capability.call(*call)

    async def iterate(self, asked: Asked) -> AsyncGenerator[Any, None]:
        """The items of a stream of a capability, under the same terms; one record for all."""
        cause = await self._enter(asked)
        entry = self._entry(asked)
        try:
            asked.grant.capability.admit(asked.method, asked.args, asked.kwargs)
            entry.begin()
            items = self._items(asked, cause)
            try:
                async for item in items:
                    yield item
            finally:
                await items.aclose()
        except BaseException as error:
            entry.end(error)
            raise
        entry.end()

    async def _items(self, asked: Asked, cause: Call) -> AsyncGenerator[Any, None]:
        capability, home = asked.grant.capability, asked.grant.home
        call = (asked.method, asked.args, asked.kwargs)
        if capability.at_home and home is not None:
            items = stream_at_home(capability, home, *call)
        else:
            if capability.at_home:
                await self._outside(asked, cause)
            items = capability.stream(*call)
        try:
            async for item in items:
                yield item
        finally:
            await items.aclose()

    async def _enter(self, asked: Asked) -> Call:
        """Make the guest's call the current one; wait while others hold its actor."""
        source = self._source
        cause: Call = asked.cause or Call(source, "a task of its own", None)
        while (held := source.transaction) is not None and held is not cause.transaction:
            await held.over()
        if source.broken is not None:
            raise source.reason()
        CURRENT.set(Guest(cause))
        return cause

    def expect(self, several: Sequence[Asked]) -> None:
        """Record what is about to be used, all in one commit."""
        entries = [self._entry(asked) for asked in several]
        for asked, entry in zip(several, entries, strict=True):
            asked.entry, entry.begun = entry, True
        self._audit.begin(entries)

    def _entry(self, asked: Asked) -> Entry:
        known: Entry | None = asked.entry
        if known is not None:
            return known
        name = asked.grant.capability.name
        return self._audit.entry(self._who, name, asked.method, [asked.args, asked.kwargs])

    async def _outside(self, asked: Asked, cause: Call) -> None:
        source = self._source
        refuse(cause, f"a call to {asked.grant.capability.name}")
        # In a turn of its own: a sync that fails ends every actor, and must not find the task of
        # one of them below it on the stack, where it cannot be interrupted.
        await asyncio.sleep(0)
        await source.node.host.gate.passed(source.dependency, source.remote)
        CURRENT.set(None)
