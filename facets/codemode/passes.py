"""One run of an execution's code: its calls are made, replayed from the log, or asked for.

The code runs from its first line every time. A call is known again by its path, its arguments and
which of the equal calls it is, so those that run at the same time may come in any order. What is
known has its outcome from the log, and its tool does not run again. What is new waits while the
log has calls of the same tool that were not made again yet: either they come, or nothing comes any
more, and then this call is what one of them has become, a divergence. The isolate's clock and
random numbers are those of every run of this execution. A snippet that the code runs has an isolate
of its own, and a scope, in which its calls are told from equal ones of the code.
"""

from __future__ import annotations

import asyncio
import builtins
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from facets.codemode.errors import (
    CallDenied,
    CallRejected,
    ReplayDivergence,
    ToolFailed,
)
from facets.codemode.ledger import CALL, LOG, CallRecord, Ledger, Status, digest, pack, too_much
from facets.codemode.operation import RUNNING, Operation
from facets.codemode.policy import ApprovalRule, decide
from facets.codemode.undoing import Undoing

SETTLE = 0.25
"""Seconds without any call after which those that a run has not made again are missing."""
_TURNS = 20
"""Of the loop, after the last tool has ended, in which code may call another before a pause."""
Ended = tuple[Status, ReplayDivergence | None]


class Pass:
    """One run. `stopped` is done when it has to end before its code does."""

    def __init__(self, number: int, ledger: Ledger, rules: Sequence[ApprovalRule]) -> None:
        self._number = number
        self._ledger = ledger
        self._rules = rules
        self._known = {call.key: call for call in ledger.calls(number)}
        self._room = LOG - ledger.size(number)
        """Bytes that more calls may be kept in."""
        self._missing = dict(self._known)
        """In the log, and not made again yet."""
        self._seen: Counter[str] = Counter()
        self.busy = 0
        """Tools that run, and snippets that have made no call yet."""
        self._moves = 0
        self.stopped: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()

    async def use(self, operation: Operation, arguments: dict[str, Any], scope: str = "") -> Any:
        """One call of a tool, from the code or, with `scope`, from a snippet that it runs."""
        self._moves += 1
        path = operation.path
        size = len(pack(arguments, path))
        key = self.key(path, arguments, scope)
        call = self._known.get(key)
        if call is None:
            self._take(size, path)
            await self._expected(path, arguments)
            call = self._new(operation, arguments, key)
        return await self._outcome(operation, call)

    def divergence(self) -> ReplayDivergence | None:
        """What the log has and this run did not do; looked at when it is over."""
        for call in self._missing.values():
            if call.state not in ("pending", "abandoned"):
                return _diverged(call.path, call.arguments, "was made before and not again")
        return None

    def abandon(self) -> None:
        """The code has ended and no longer waits for what was asked."""
        for call in self._known.values():
            if call.state in ("pending", "approved"):
                self._ledger.state(call, "abandoned")

    def key(self, path: str, arguments: dict[str, Any], scope: str) -> tuple[str, int]:
        """Of a call that is made now: what it is, and which of the equal ones."""
        hashed = digest(f"{scope}{path}", arguments)
        key = hashed, self._seen[hashed]
        self._seen[hashed] += 1
        self._missing.pop(key, None)
        return key

    def step(self, name: str, scope: str = "") -> dict[str, Any]:
        """Whether a step of the code's own was done, and what it gave; it is done inside if not."""
        self._moves += 1
        path, arguments = "codemode.step", {"name": name}
        key = self.key(path, arguments, scope)
        call = self._known.get(key)
        if call is None:
            self._take(len(name), path)
            call = self._ledger.add(self._number, path, arguments, key, "executing")
            self._known[key] = call
        return {"done": call.state == "applied", "value": call.result, "id": call.id}

    def keep(self, number: int, value: Any) -> None:
        """What a step gave."""
        self._moves += 1
        for call in self._known.values():
            if call.id == number and call.path == "codemode.step" and call.state == "executing":
                self._room -= self._ledger.ended(call, result=value, room=self._room)

    def _take(self, size: int, path: str) -> None:
        """Room for a call with arguments of that size; ToolFailed."""
        if self._room < CALL + size:
            raise too_much(path)
        self._room -= CALL + size

    def _new(
        self, operation: Operation, arguments: dict[str, Any], key: tuple[str, int]
    ) -> CallRecord:
        own = operation.connector == "codemode"
        decision = "allow" if own else decide(self._rules, operation, arguments)
        state: Any = {"allow": "executing", "ask": "pending", "deny": "denied"}[decision]
        call = self._ledger.add(self._number, operation.path, arguments, key, state)
        self._known[key] = call
        return call if decision != "allow" else self._begun(call)

    def _begun(self, call: CallRecord) -> CallRecord:
        """Told apart from what the log says was begun and not ended."""
        call.state = "approved"
        return call

    async def _outcome(self, operation: Operation, call: CallRecord) -> Any:
        if call.state == "executing":  # the process died in it
            if operation.repeatable:
                call.state = "approved"
            else:
                self._ledger.state(call, "pending", unsure=True)
        if call.state == "pending":
            await self._asked()
        if call.state == "approved":
            await self._made(operation, call)
        if call.state != "applied":
            await asyncio.sleep(0)  # commits the step: one that raises is undone, and its log too
        return _told(call)

    async def _made(self, operation: Operation, call: CallRecord) -> None:
        self._ledger.state(call, "executing")
        self.busy += 1
        try:
            if not operation.local:
                await self._ledger.durable()
            running = RUNNING.set(self._ledger.name(call))
            try:
                result = await self._called(operation, dict(call.arguments))
            finally:
                RUNNING.reset(running)
            self._room -= self._ledger.ended(call, result=result, room=self._room)
        except Exception as error:
            self._room -= self._ledger.ended(call, error=_kept(error, call.path))
        finally:
            self.busy -= 1
            self._moves += 1

    def _called(self, operation: Operation, arguments: dict[str, Any]) -> Awaitable[Any]:
        called = operation.call(arguments)
        if operation.local and asyncio.iscoroutine(called):
            return Undoing(self._ledger.actor, called)
        return called

    async def _asked(self) -> None:
        """Stop, once no tool runs and the code has made what other calls it can."""
        quiet = 0
        while quiet < _TURNS:
            await asyncio.sleep(0 if not self.busy else 0.01)
            quiet = 0 if self.busy else quiet + 1
        self._stop("paused", None)
        await asyncio.get_running_loop().create_future()

    async def _expected(self, path: str, arguments: dict[str, Any]) -> None:
        """Wait until the log has no call of this tool that was not made again."""
        while any(call.path == path for call in self._missing.values()):
            before = self._moves
            await asyncio.sleep(SETTLE)
            if self._moves == before and not self.busy:
                self._stop("error", _diverged(path, arguments, "was not made before"))
                await asyncio.get_running_loop().create_future()

    def _stop(self, status: Status, error: ReplayDivergence | None) -> None:
        if not self.stopped.done():
            self.stopped.set_result((status, error))


def _diverged(path: str, arguments: dict[str, Any], what: str) -> ReplayDivergence:
    shown = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
    return ReplayDivergence(
        f"the code ran again and did something else: {path}({shown[:300]}) {what}",
        path=path,
        arguments=arguments,
    )


def _told(call: CallRecord) -> Any:
    """The outcome of a call, as the code that made it sees it, the first time and every time."""
    if call.state == "denied":
        raise CallDenied(f"a rule forbids {call.path} with these arguments", path=call.path)
    if call.state == "rejected":
        reason = call.error[1] if call.error else ""
        raise CallRejected(f"{call.path} was not approved{reason and f': {reason}'}")
    if call.error is not None:
        raise raised(*call.error)
    return call.result


def _kept(error: Exception, path: str) -> tuple[str, str]:
    """The builtin that an error is, and its text: the same for code whenever it is replayed."""
    kind = next(one.__name__ for one in type(error).__mro__ if _simple(one))
    text = str(error)[:4_000] or type(error).__name__
    own = isinstance(error, ToolFailed) or type(error).__module__ == "builtins"
    return kind, text if own else f"{path}: {type(error).__name__}: {text}"


def _simple(cls: type) -> bool:
    """A builtin that is made of a message alone, or the root of all."""
    if cls.__module__ != "builtins" or not issubclass(cls, Exception):
        return cls is object
    if issubclass(cls, StopIteration | StopAsyncIteration | UnicodeError | ExceptionGroup):
        return False
    return cls is not Exception


def raised(kind: str, text: str) -> Exception:
    """The error that a log or an example says."""
    made: Callable[[str], Exception] = getattr(builtins, kind, ToolFailed)
    return made(text) if kind not in ("object", "Exception") else ToolFailed(text)
