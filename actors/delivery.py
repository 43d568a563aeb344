"""One delivery of one timer: the call, and what is written of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from actors.call import Terms
from actors.deadline import deadline, outside_deadline
from actors.steps import Waiting
from actors.ticks import SECOND, backoff_of, rule_of
from actors.timers import TimerCall, arguments_of, attempt_of, delivery_of

if TYPE_CHECKING:
    from actors.activation import Activation
    from actors.limits import TimerLimits
    from storage import Database
    from storage.schedule import Entry, Schedule

PAUSE = 0.001
"""Seconds between two looks whether a step of others is over."""
SAID = 1_000
"""Characters of an error that are kept."""


async def run(target: Activation, uid: int, entry: Entry, done: Callable[[], None]) -> None:
    """Call the method; `done` is called in its last step. Raises what it raised.

    All that it calls has to be over in time: `DeadlineExceeded`.
    """
    call = TimerCall(target, entry.method, delivery_of(uid, entry))
    target.body.check_timed(entry.method)
    with deadline(target.node.host.options.timers.seconds):
        call.terms = Terms(None, outside_deadline())
        target.begun += 1
        try:
            if target.begun > target.allowed:
                await target.mailbox.enter()
            result = target.body.deliver(call, *arguments_of(entry), done)
            if type(result) is Waiting:
                await result.rest
        finally:
            target.ended += 1


async def quiet(database: Database) -> None:
    """Return when no step of others is open, nor a transaction."""
    while database.in_step or database.deferred:
        await asyncio.sleep(0)
        if database.in_step or database.deferred:
            await asyncio.sleep(PAUSE)


@contextmanager
def aside(database: Database) -> Iterator[Schedule]:
    """A step of the runtime's own, whoever runs over the database; after `quiet`."""
    begin, database.on_begin = database.on_begin, None
    try:
        yield database.schedule
        database.commit()
    except BaseException:
        database.rollback()
        raise
    finally:
        database.on_begin = begin


def finish(schedule: Schedule, entry: Entry, now: int) -> None:
    """A delivery is done: forget the timer, or go on to its next tick. Nothing happens if it was
    cancelled, replaced or moved on meanwhile."""
    rule = rule_of(entry.rule)
    if rule is None:
        schedule.done(entry)
    else:
        schedule.tick(entry, rule.after(entry.planned, now))


def fail(
    schedule: Schedule, uid: int, entry: Entry, error: BaseException, now: int, limits: TimerLimits
) -> None:
    """A delivery failed: try again later, or give it up."""
    found = schedule.find(entry.id)
    same = found is not None and found[2:] == entry[2:]
    if found is None or not same:
        return  # it is over, or was changed meanwhile
    failed, retry = attempt_of(found), backoff_of(found.retry)
    found = found._replace(attempt=failed, error=said(error))
    if failed < retry.attempts:
        wait = retry.wait(failed, delivery_of(uid, found).id)
        schedule.put(found._replace(due=now + round(wait * SECOND)))
        return
    if found.rule is None:
        schedule.put(found._replace(due=None))
    else:
        schedule.add(found._replace(name=None, due=None, rule=None))
        finish(schedule, found, now)
    schedule.trim(limits.dead)


def said(error: BaseException) -> str:
    """What is kept of an error."""
    text = f"{type(error).__name__}: {error}"
    return text if len(text) <= SAID else text[: SAID - 3] + "..."
