"""An isolate as the body of an actor: its storage, its steps, its death."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from actors.actor import RESERVED
from actors.call import CURRENT, Call
from actors.contract import HOOKS, Contract, Kind
from actors.once import KEY, Slot, no_key, run_apart
from actors.steps import Waiting
from facets.isolates import outcomes
from facets.isolates.errors import IsolateDead
from facets.isolates.fetching import Fetching
from facets.isolates.metering import IsolateMeters
from facets.isolates.nested import NestedFacets
from facets.isolates.own import Own
from facets.isolates.printed import Printed
from facets.isolates.raised import raised
from facets.isolates.scheduling import IsolateTimers
from facets.isolates.using import Desk
from storage.files import Entry, Stat
from storage.limits import StorageLimits

if TYPE_CHECKING:
    from actors.activation import Activation
    from actors.timers import TimerCall
    from facets.isolates.opening import AnySession
    from facets.isolates.serving import Asked
    from facets.isolates.target import IsolateActor

SQL = StorageLimits(value=1 << 20, rows=100_000, result=16 << 20, seconds=0.25)
"""What an isolate's SQL may do: it holds the loop, and its results are in the host's memory."""


class IsolateBody:
    """Code in a sandbox over one activation's database.

    The guest drives its own coroutines and says where its steps end; everything here runs on
    the loop's thread, even while the guest itself computes on a worker.
    """

    own_steps = True

    def __init__(self, activation: Activation, code: IsolateActor) -> None:
        self.contract: Contract
        self.own: Own | None = Own()
        NestedFacets(activation, code).offer(self.own)
        self._meters = IsolateMeters(activation)
        self._timers = IsolateTimers(activation)
        self._timers.offer(self.own)
        isolate = code.isolate
        Fetching(isolate.egress, activation, isolate.owner, code.label).offer(self.own)
        self.home = activation
        self.giver = giver = isolate.owner
        self._desk = Desk(activation, giver, activation.id)
        self.output = Printed()
        self._activation = activation
        self._interface = code.interface
        self._slots: dict[int, Slot] = {}
        """Of calls with a key that are under way."""
        self._numbered = 0
        self._session: AnySession

    def attach(self, session: AnySession, name: str) -> None:
        """Take the open session; its code says what may be called."""
        self._session = session
        methods: dict[str, Kind] = {
            method: "stream" if info.kind == "stream" else "call"
            for method, info in session.methods.items()
        }
        closed = dict.fromkeys(RESERVED | HOOKS, "belongs to the actor itself")
        closed |= dict.fromkeys(session.plain, "is not `async def`, so it is not open to callers")
        self.contract = Contract(name, methods, session.migrations, session.hooks, closed)
        self._interface.check(self.contract)

    @property
    def timings(self) -> Mapping[str, float]:
        """Milliseconds of `mint` and `load`."""
        return self._session.timings

    # -- Body ---------------------------------------------------------------------------

    def call(self, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run the method inside; the codec copies both ways."""
        if kwargs.get(KEY) is not None:
            work = partial(self._keep, args=args, kwargs=kwargs)
            return run_apart(call, args, kwargs, work, partial(self._kept, call.method))
        kwargs.pop(KEY, None)
        return Waiting(self._call(call, args, kwargs))

    async def _call(self, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = await self._session.call(call.method, args, kwargs, call)
        return self._interface.convert(call.method, result)

    async def _keep(self, slot: Slot, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The same for a call with a key: the guest's last step says what came of it."""
        self._numbered += 1
        number, call = self._numbered, slot.call
        self._slots[number] = slot
        try:
            result = await self._session.keep(number, call.method, args, kwargs, call)
        finally:
            self._slots.pop(number, None)
        return self._interface.convert(call.method, result)

    def _kept(self, method: str, outcome: bytes) -> Any:
        """What was kept of such a call, returned or raised again."""
        failed, what = outcomes.read(outcome)
        if failed:
            raise raised(what)
        return self._interface.convert(method, what)

    async def stream(
        self, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> AsyncGenerator[Any, None]:
        """The items, as the guest yields them."""
        if KEY in kwargs:
            no_key(call, kwargs, "a stream is not kept")
        items = self._session.stream(call.method, args, kwargs, call)
        try:
            async for item in items:
                yield self._interface.convert(call.method, item)
                if self._activation.transaction is not None:
                    await self._activation.admit(CURRENT.get())
        finally:
            await items.aclose()

    def check_timed(self, method: str) -> None:
        """A private one is looked for inside, when its time comes."""
        if not method.startswith("_"):
            self.contract.check(method, "call")

    def deliver(
        self,
        call: TimerCall,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        done: Callable[[], None],
    ) -> Any:
        """Run the method inside; the guest says in its last step that it is done."""
        work = self._session.deliver(call.delivery.timer, call.method, args, kwargs, call)
        return Waiting(work)

    def limits(self, most: StorageLimits) -> StorageLimits:
        """Statements of code that is not trusted run on the loop too: they must be short."""
        return replace(
            most,
            value=min(most.value, SQL.value),
            rows=min(most.rows, SQL.rows),
            result=min(most.result, SQL.result),
            seconds=min(most.seconds or math.inf, SQL.seconds or math.inf),
        )

    async def settled(self, call: Call) -> None:
        """Calls in progress end first: the guest drives its own steps, nobody can hold them.

        Not those that wait for `call` itself.
        """
        await self._session.idle(frozenset(call.ancestry()))

    def kill(self, reason: BaseException) -> None:
        """Drop the isolate with its memory; pending calls fail with `reason`."""
        self._session.kill(reason)

    # -- Services of the session ----------------------------------------------------------

    def granter(self, cause: Call | None) -> Activation | None:
        """Who called; None if that was nobody of this runtime."""
        above = None if cause is None else cause.parent
        return None if above is None else above.activation

    def own_now(
        self, cause: Any, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """One of the runtime's own services, in the middle of a step."""
        assert self.own is not None  # noqa: S101 - it is never taken away
        return self._desk.own_now(self.own, cause, method, args, kwargs)

    def expect(self, several: Sequence[Asked]) -> None:
        """The guest is about to use several things."""
        self._desk.expect(several)

    async def use(self, asked: Asked) -> Any:
        """A call of the guest's to something that it was handed."""
        return await self._desk.use(asked)

    def iterate(self, asked: Asked) -> AsyncGenerator[Any, None]:
        """A stream of something that the guest was handed."""
        return self._desk.iterate(asked)

    def storage(self, op: str, args: list[Any]) -> object:
        """One storage operation of the guest's open step."""
        outer, self._activation.driven = self._activation.driven, True
        try:
            if op == "meters":
                return self._meters.operate(*args)
            if op == "outcome":
                self._outcome(*args)
                return None
            if op == "timers":
                return self._timers.operate(*args)
            return _OPERATIONS[op](self._activation.database, *args)
        finally:
            self._activation.driven = outer

    def _outcome(self, number: int, failed: bool, what: Any) -> None:
        """What came of a call with a key. A guest that lies about it fools its own callers."""
        slot = self._slots.get(number)
        if slot is None:
            raise ValueError("an outcome of no call")
        slot.put(outcomes.written(failed, what))
        del self._slots[number]

    def commit(self) -> None:
        """The guest's step ended."""
        if self._activation.database.in_step:
            self._activation.commit()

    def rollback(self) -> None:
        """The guest's step failed."""
        self._activation.database.rollback()

    def log(self, stream: str, text: str) -> None:
        """Keep what was printed, line by line."""
        self.output.add(stream, text)

    def died(self, error: IsolateDead) -> None:
        """The sandbox was killed: this incarnation of the facet is over."""
        self._activation.node.broke(error)


def _sql(database: Any, query: str, args: list[Any], named: dict[str, Any]) -> dict[str, Any]:
    rows = database.sql.unsafe(query, *args, **named)
    return {
        "columns": list(rows.columns),
        "rows": [list(row) for row in rows],
        "changes": rows.changes,
    }


def _many(database: Any, query: str, rows: list[Any]) -> dict[str, Any]:
    return {"changes": database.sql.many(query, rows)}


def _kv(database: Any, op: str, *args: Any) -> Any:
    return _KV[op](database.kv, *args)


def _kv_list(
    kv: Any, prefix: str, start: str | None, end: str | None, limit: int | None, reverse: bool
) -> list[list[Any]]:
    found = kv.list(prefix, start=start, end=end, limit=limit, reverse=reverse)
    return [list(pair) for pair in found]


FILES = frozenset({
    "append", "chmod", "copy", "diff", "diff_text", "exists", "glob", "is_dir", "is_file",
    "is_link", "lexists", "listdir", "lstat", "mkdir", "read", "readlink", "remove_tree", "rename",
    "rmdir", "scandir", "stat", "symlink", "truncate", "unlink", "utime", "write", "write_at",
})  # fmt: skip
"""Not grep: a pattern of a stranger's could hold the host for hours."""


def _fs(database: Any, method: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    if method not in FILES:
        raise PermissionError(f"files have no {method!r} for isolates")
    return _shown(getattr(database.fs, method)(*args, **kwargs))


def _shown(value: Any) -> Any:
    if isinstance(value, Stat):
        return [value.kind, value.size, value.mode, value.mtime_ns, value.inode]
    if isinstance(value, Entry):
        return [value.name, value.path, _shown(value.stat)]
    return [_shown(one) for one in value] if isinstance(value, list) else value


_KV: dict[str, Any] = {
    "get": lambda kv, key: kv[key],
    "set": lambda kv, key, value: kv.__setitem__(key, value),
    "delete": lambda kv, key: kv.__delitem__(key),
    "contains": lambda kv, key: key in kv,
    "len": len,
    "list": _kv_list,
    "get_many": lambda kv, keys: kv.get_many(keys),
    "update": lambda kv, values: kv.update(values),
    "delete_many": lambda kv, keys: kv.delete_many(keys),
    "clear": lambda kv: kv.clear(),
}
_OPERATIONS: dict[str, Any] = {
    "sql": _sql,
    "unsafe": _sql,
    "many": _many,
    "kv": _kv,
    "fs": _fs,
    "begin": lambda database: database.begin_savepoint(),
    "release": lambda database: database.release_savepoint(),
    "rollback_to": lambda database: database.rollback_savepoint(),
}
