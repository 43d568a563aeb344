"""Storage operations: one crossing each, tagged with the step they belong to.

The host opens a transaction with the first operation of a step and commits it when the number
changes or the pump returns. A method that raises undoes its open step first (`undo`). A
`transaction()` that is still open when its task suspends is found by `after_step`: the step is
undone, the task is cancelled, and the block turns that into TransactionAcrossAwait.
"""

import asyncio
import contextvars

from wit_world.imports import host

from facets.errors import NotStorable, NotTransferable, TransactionAcrossAwait
from isolate.failures import build
from isolate.values import Blob, encode, lift, lower, receive, reserve

call_id = contextvars.ContextVar("call_id", default=0)
references = [None]
"""What capabilities become in calls to the runtime's own services; set by `capabilities`."""
_open = []
_state = {"loop": None, "step": -1}


def bind(loop):
    """Number operations by this loop's steps."""
    _state["loop"] = loop
    _state["step"] = -1
    _open.clear()


def operate(op, args):
    """Run one operation in the current step; raises what the host raised."""
    step = _state["loop"].step
    if _open:
        _refuse_broken()
    _state["step"] = step
    blob = Blob(references[0] if op == "own" else None)
    try:
        lowered = lower(args, blob, op)
    except NotTransferable as error:
        if op == "own":
            raise
        raise NotStorable(error.message, hint="store numbers, text, bytes or plain data") from None
    text = f'[{step},{call_id.get()},"{op}",{encode(lowered)}]'
    reserve(text, blob.parts)
    (ok, value), tail = receive(host.call(blob.frame(text)))
    if ok:
        return lift(value, tail)
    raise build(value)


def call_own(method, args):
    """Call the runtime's own services and wait in the fiber; other calls of this isolate wait too.

    The step ends here. Raises what the host raised; CancelledError if this call was told to stop.
    """
    if _open:
        _refuse_broken()
        raise TransactionAcrossAwait("this transaction met a request to the outside")
    loop = _state["loop"]
    blob = Blob()
    lowered = encode([method, lower(args, blob, "args"), {}])
    text = f'[{loop.step},{call_id.get()},"own",{lowered}]'
    reserve(text, blob.parts)
    (ok, value), tail = receive(host.call(blob.frame(text)))
    loop.step += 1
    if ok:
        return lift(value, tail)
    if value["type"] == "CancelledError":
        raise asyncio.CancelledError
    raise build(lift(value, tail))


def _refuse_broken():
    for block in _open:
        if block.broken and block.task is asyncio.current_task():
            raise TransactionAcrossAwait("this transaction met a suspension and was undone")


def undo():
    """Roll back what the current step wrote."""
    step = _state["loop"].step
    if _state["step"] == step:
        _state["step"] = -1
        host.call(f'[{step},{call_id.get()},"undo",[]]')


def end_step():
    """What was written until now is undone no more: what follows is another step."""
    _state["loop"].step += 1


def after_step():
    """Break the transactions that are open although their step has ended."""
    if not _open:
        return
    step = _state["loop"].step
    for block in _open:
        if not block.broken:
            block.broken = True
            if _state["step"] == step:
                _state["step"] = -1
                host.call(f'[{step},{block.call},"undo",[]]')
            if block.task is not None and not block.task.done():
                block.task.cancel()


class transaction:  # noqa: N801 - used as a function
    """A savepoint that may not span an await."""

    def __enter__(self):
        operate("begin", [])
        self.broken = False
        self.task = asyncio.current_task()
        self.call = call_id.get()
        _open.append(self)
        return self

    def __exit__(self, kind, error, trace):
        _open.remove(self)
        if self.broken:
            if self.task is not None:
                self.task.uncancel()
            raise TransactionAcrossAwait(
                "this transaction met a suspension and was undone"
            ) from None
        operate("rollback_to" if kind else "release", [])
