"""What code mode keeps in the database of its actor: executions, their calls, snippets.

One row for each call, written before the tool runs. A call whose outcome is in its row is never
made again; a row that says `executing` while nothing runs is of a call that the process died in.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from actors.call import CURRENT
from actors.transaction import refuse
from facets.codemode.errors import NoSuchExecution, ToolFailed
from facets.codemode.stubs import Language
from storage.errors import SqlError

if TYPE_CHECKING:
    from facets import Actor, Row

Status = Literal["running", "paused", "completed", "error", "rolled_back"]
State = Literal[
    "executing", "applied", "error", "denied", "pending", "approved", "rejected", "abandoned",
    "reverting", "reverted",
]  # fmt: skip
VALUE = 8 << 20
"""Bytes of one result that is kept; a larger one is the failure of its call."""
LOG = 64 << 20
"""Bytes of all that is kept of the calls of one execution; what would be more fails. Half of what
one statement may read."""
ALL = 1 << 30
"""Bytes of all executions that have ended, about; the oldest go."""
CALL = 512
"""Bytes of a row besides arguments and result."""
_SIZE = f"{CALL} + length(arguments) + coalesce(length(result), 0) + coalesce(length(error), 0)"
_TABLES = (
    """create table if not exists codemode_executions(id integer primary key autoincrement,
        code text not null,
        input blob not null, language text not null, connectors blob, key text unique,
        status text not null, result blob, error text not null default '',
        printed text not null default '', passes integer not null default 0, time real not null)""",
    """create table if not exists codemode_calls(id integer primary key autoincrement,
        execution integer not null, path text not null, arguments blob not null,
        digest text not null, occurrence integer not null, state text not null, result blob,
        error blob, ended integer, time real not null, unsure integer not null default 0,
        unique(execution, digest, occurrence))""",
    """create table if not exists codemode_snippets(name text not null, version integer not null,
        code text not null, description text not null, language text not null, connectors blob,
        examples blob not null, time real not null, primary key(name, version))""",
)
_ROUND = 16
"""So many executions, and old ones are looked for."""
_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_decode = msgspec.msgpack.decode


@dataclass(slots=True)
class CallRecord:
    """One call that code made, as it is kept."""

    id: int
    execution: int
    path: str
    arguments: dict[str, Any]
    state: State
    result: Any
    error: tuple[str, str] | None
    """The builtin that was raised inside, and its message."""
    unsure: bool
    """It is asked for because a process died in it, and nobody knows whether it ran."""
    key: tuple[str, int]
    """The digest of path and arguments, and which of the equal calls it is."""
    time: float
    """When it was made first, in seconds since 1970."""


class Ledger:
    """The rows of one actor."""

    def __init__(self, actor: Actor, keep: int) -> None:
        self.actor = actor
        self._keep = keep

    def sql(self, query: str, *args: Any) -> Any:
        """A statement on the tables, which are made by the first.

        They are made where they are missing, and not once in a life: the step that made them may
        have been undone.
        """
        try:
            return self.actor.sql.unsafe(query, *args)
        except SqlError as error:
            if "no such table" not in error.message:
                raise
        for table in _TABLES:
            self.actor.sql.unsafe(table)
        return self.actor.sql.unsafe(query, *args)

    async def durable(self) -> None:
        """Return once all that was written here is on the disk: something is about to leave.

        EffectInTransaction inside a transaction of several actors, which may yet undo it.
        """
        call = CURRENT.get()
        if call is not None:
            refuse(call, "a call of a tool")
        await asyncio.sleep(0)  # which ends the step
        home = self.actor._active()
        await home.node.host.gate.passed(home.dependency, home.remote)

    # -- executions -----------------------------------------------------------------------------

    def start(
        self,
        code: str,
        value: Any,
        language: Language,
        connectors: Sequence[str] | None = None,
        key: str | None = None,
    ) -> int:
        """A new execution, running, or the one with this key. ToolFailed if its input cannot be
        kept."""
        query = "select id from codemode_executions where key = ?"
        known = self.sql(query, key).first() if key is not None else None
        if known is not None:
            return int(known.id)
        query = """insert into codemode_executions(code, input, language, connectors, key, status,
            time) values (?, ?, ?, ?, ?, 'running', ?) returning id"""
        named = pack(connectors, "connectors")
        kept = pack(value, "the input"), language, named, key, time.time()
        number = int(self.sql(query, code, *kept).value())
        if number % _ROUND == 0:
            self._forget_old()
        return number

    def _forget_old(self) -> None:
        """Those that have ended, but the newest, as many as are kept and as there is room for."""
        size = f"select total({_SIZE}) from codemode_calls where execution = e.id"  # noqa: S608
        query = f"""select id, row_number() over newest as place, sum(size) over newest as total
            from (select id, ({size}) as size from codemode_executions e
                where status not in ('running', 'paused'))
            window newest as (order by id desc)"""  # noqa: S608 - no words of a stranger
        for row in self.sql(query):
            if row.place > self._keep or row.total > ALL:
                self.forget(row.id)

    def size(self, number: int) -> int:
        """Bytes of what is kept of the calls of an execution."""
        query = f"select total({_SIZE}) from codemode_calls where execution = ?"  # noqa: S608 - ours
        return int(self.sql(query, number).value())

    def execution(self, number: int) -> Row:
        """The row of one; NoSuchExecution."""
        row: Row | None = self.sql("select * from codemode_executions where id = ?", number).first()
        if row is None:
            raise NoSuchExecution(f"there is no execution {number}", id=number)
        return row

    def executions(self, status: Status | None, limit: int) -> list[int]:
        """Ids, newest first."""
        query = """select id from codemode_executions where ?1 is null or status = ?1
            order by id desc limit ?2"""
        return [row.id for row in self.sql(query, status, limit)]

    def again(self, number: int) -> int:
        """It runs once more; which time that is, from 1."""
        query = """update codemode_executions set status = 'running', passes = passes + 1
            where id = ? returning passes"""
        return int(self.sql(query, number).value())

    def end(
        self, number: int, status: Status, *, result: Any = None, error: str = "", printed: str = ""
    ) -> None:
        """How a pass ended."""
        query = """update codemode_executions set status = ?, result = ?, error = ?, printed = ?
            where id = ?"""
        self.sql(query, status, _encode(result), error, printed, number)

    def forget(self, number: int) -> None:
        """Delete an execution and its calls."""
        self.sql("delete from codemode_calls where execution = ?", number)
        self.sql("delete from codemode_executions where id = ?", number)
        if self.actor.fs.exists(kept_at(number)):
            self.actor.fs.unlink(kept_at(number))

    # -- calls ----------------------------------------------------------------------------------

    def add(
        self, number: int, path: str, arguments: dict[str, Any], key: tuple[str, int], state: State
    ) -> CallRecord:
        """A call that is about to be made, or asked for."""
        query = """insert into codemode_calls(execution, path, arguments, digest, occurrence,
            state, time) values (?, ?, ?, ?, ?, ?, ?) returning id"""
        packed = _encode(arguments)
        now = time.time()
        added = self.sql(query, number, path, packed, *key, state, now).value()
        return CallRecord(added, number, path, arguments, state, None, None, False, key, now)

    def name(self, call: CallRecord) -> str:
        """What tells it from every other call of every actor, also once it is deleted."""
        return f"codemode/{self.actor.id}/{call.id}/{call.time:.6f}"

    def state(self, call: CallRecord, state: State, *, unsure: bool = False) -> None:
        """It is in another state."""
        call.state, call.unsure = state, unsure
        query = "update codemode_calls set state = ?, unsure = ? where id = ?"
        self.sql(query, state, unsure, call.id)

    def ended(
        self,
        call: CallRecord,
        *,
        result: Any = None,
        error: tuple[str, str] | None = None,
        room: int = VALUE,
    ) -> int:
        """What came of it; the bytes of that. ToolFailed, and nothing written, if it cannot be
        kept, or is a result of more bytes than there is room for."""
        packed = pack(result, call.path)
        if error is None and len(packed) > room:
            raise too_much(call.path)
        said = _encode(error)
        state: State = "applied" if error is None else "error"
        query = """update codemode_calls set state = ?, result = ?, error = ?, unsure = 0,
            ended = (select coalesce(max(ended), 0) + 1 from codemode_calls) where id = ?"""
        self.sql(query, state, packed, said, call.id)
        call.state, call.result, call.error, call.unsure = state, result, error, False
        return len(packed) + len(said)

    def calls(self, number: int) -> list[CallRecord]:
        """Those of an execution, in the order in which they were made."""
        query = "select * from codemode_calls where execution = ? order by id"
        return [_record(row) for row in self.sql(query, number)]

    def revertible(self, number: int) -> list[CallRecord]:
        """Those that ran, the one that ended last first."""
        query = """select * from codemode_calls where execution = ? and
            state in ('applied', 'reverting') order by ended desc"""
        return [_record(row) for row in self.sql(query, number)]

    def call(self, number: int) -> CallRecord:
        """One call; NoSuchExecution."""
        row = self.sql("select * from codemode_calls where id = ?", number).first()
        if row is None:
            raise NoSuchExecution(f"there is no call {number}", id=number)
        return _record(row)

    def pending(self) -> list[CallRecord]:
        """Those that wait for approval, oldest first."""
        query = """select c.id from codemode_calls c join codemode_executions e
            on c.execution = e.id where c.state = 'pending' and e.status in ('running', 'paused')
            order by c.id"""
        # One by one: together they may be more than one statement may read.
        return [self.call(row.id) for row in self.sql(query).all()]

    def decide(self, call: CallRecord, state: State, reason: str) -> None:
        """It was approved or rejected; the reason is for the code."""
        self.state(call, state)
        error = _encode(["PermissionError", reason]) if reason else None
        self.sql("update codemode_calls set error = ? where id = ?", error, call.id)

    def waiting_since(self, moment: float) -> list[CallRecord]:
        """Those that wait for approval and were made before this time."""
        query = "select id from codemode_calls where state = 'pending' and time < ? order by id"
        old = {row.id for row in self.sql(query, moment)}
        return [call for call in self.pending() if call.id in old]


def kept_at(number: int) -> str:
    """The file of a result that is too long for a model."""
    return f"/codemode/{number}.json"


def digest(path: str, arguments: dict[str, Any]) -> str:
    """What stands for a call: equal for equal arguments, in whatever order they were given."""
    return hashlib.sha256(_encode([path, arguments])).hexdigest()


def pack(result: Any, path: str) -> bytes:
    """A result as it is kept; ToolFailed if it is no plain data, or too large."""
    try:
        packed = _encode(result)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ToolFailed(f"{path} gave what is no plain data: {error}", path=path) from error
    if len(packed) > VALUE:
        raise ToolFailed(
            f"{path} gave {len(packed)} bytes, of which {VALUE} can be kept", path=path,
            hint="ask for a part of it",
        )  # fmt: skip
    return packed


def too_much(path: str) -> ToolFailed:
    """What a call fails with for which there is no room."""
    return ToolFailed(
        f"{path} was not kept: the calls of this execution have {LOG} bytes in all", path=path,
        hint="ask for less, or for the rest in another execution",
    )  # fmt: skip


def unpack(content: bytes | None) -> Any:
    """What was kept."""
    return None if content is None else _decode(content)


def _record(row: Row) -> CallRecord:
    error = unpack(row.error)
    return CallRecord(
        row.id, row.execution, row.path, unpack(row.arguments), row.state, unpack(row.result),
        None if error is None else (error[0], error[1]), bool(row.unsure),
        (row.digest, row.occurrence), row.time,
    )  # fmt: skip
