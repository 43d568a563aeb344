"""Requests that failed, and turns that were cut off: what is tried again, when, and how often.

How often a request has failed, and when the next one is due, are kept: a crash between two of them
forgets neither. A turn that was cut off counts how often it was taken up again since it last came
further; one that kills its process each time ends so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic_ai import exceptions as x

from actors.clock import Clock, Timeout
from actors.deadline import remaining
from actors.ticks import Backoff
from facets.agents import hooks
from facets.agents.errors import ModelStalled, OverBudget
from facets.agents.events import Retrying
from storage.errors import FacetsError

if TYPE_CHECKING:
    from facets.agents.agent import Agent
    from facets.agents.driving import Driver
    from facets.agents.turns import Turn

T = TypeVar("T")
ErrorKind = Literal["context_overflow", "rate_limit", "transient", "fatal"]
"""What an error of a model means: the history is too long; wait; try again; give up."""
_KINDS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], ErrorKind], ...] = (
    (x.ModelContextWindowExceededError, "context_overflow"),
    ((x.ModelRateLimitError, x.ConcurrencyLimitExceeded), "rate_limit"),
    ((x.ModelQuotaExceededError, x.ModelRequestRejectedError, x.ContentFilterError), "fatal"),
    ((x.ModelUnavailableError, x.ModelServerError, x.ModelConnectionError), "transient"),
    ((x.ModelRequestTimeout, x.UnexpectedModelBehavior, OSError), "transient"),
    (x.ModelHTTPError, "fatal"),
    (x.ModelAPIError, "transient"),
)
"""The first that fits. OSError is what a network says by itself; an error of a provider that is of
no class and no status is a response that nobody could read."""
BACKOFF = Backoff(first=1.0, most=60.0, attempts=5)


@dataclass(frozen=True, slots=True)
class Retries:
    """What becomes of a request to the model that failed.

    One that may do better later, as `Agent.error_kind` says, is made again after a wait that grows
    and is at least what the provider asks for. Time is that of the runtime's clock, and a crash
    loses neither the wait nor the count. When `backoff.attempts` requests of a step have failed, or
    the turn has less time left than the wait, the turn ends with the error.

    The client of a provider may try again by itself, below this, and unseen:
    `model_settings = {"max_retries": 0}` leaves it all to this.
    """

    backoff: Backoff = BACKOFF
    stall: float = 600.0
    """Seconds for the next event of a stream, or for a whole response where nobody listens: then
    the request has failed, as `ModelStalled`."""


def kind_of(error: Exception) -> ErrorKind:
    """What an error of a model means, by its class, or by what the provider says of it."""
    if isinstance(error, x.FallbackExceptionGroup):
        kinds = {kind_of(one) for one in error.exceptions}
        order: tuple[ErrorKind, ...] = ("transient", "rate_limit", "context_overflow")
        return next((one for one in order if one in kinds), "fatal")
    kind: ErrorKind = next(
        (kind for classes, kind in _KINDS if isinstance(error, classes)), "fatal"
    )
    if isinstance(error, x.ModelHTTPError) and kind in ("transient", "fatal"):
        said = error.provider_retry_hint
        kind = kind if said is None else "transient" if said else "fatal"
    return kind


async def within(clock: Clock, seconds: float, work: Awaitable[T]) -> T:
    """What comes of it; `ModelStalled` if that takes longer."""
    timeout = Timeout(clock, seconds)
    try:
        async with timeout:
            return await work
    except TimeoutError as error:
        if not timeout.expired:
            raise
        raise ModelStalled(f"nothing from the model for {seconds:g} s", seconds=seconds) from error


async def patiently(driver: Driver, turn: Turn, ask: Callable[[], Awaitable[T]]) -> T:
    """What `ask` returns, as often as it takes and the agent's `retries` allow."""
    while True:
        await _until(driver.agent, Attempts(driver.agent).due(turn))
        try:
            return await ask()
        except Exception as error:
            ours = isinstance(error, FacetsError) and not isinstance(error, ModelStalled)
            if ours or driver.agent._active().broken is not None:
                raise  # a limit, a hook: no error of the model
            await hooks.tell(driver.agent, "on_error", turn, error, "request")
            wait = _wait(driver.agent, turn, error)
            if wait is None:
                raise
            driver.log.restart(turn.id)
            driver.log.tell(turn.id, Retrying(turn.id, f"{type(error).__name__}: {error}", wait))
        await driver.durable()


def _wait(agent: Agent, turn: Turn, error: Exception) -> float | None:
    """Seconds until the next attempt, which is kept; None if there is none."""
    attempts, backoff = Attempts(agent), agent.retries.backoff
    failed, left = attempts.failed(turn) + 1, remaining()
    wait = backoff.wait(failed, f"{turn.id}:{turn.steps}")
    wait = max(wait, getattr(error, "retry_after", None) or 0.0)
    again = agent.error_kind(error) in ("rate_limit", "transient")
    if not again or failed >= backoff.attempts or (left is not None and left <= wait):
        return None
    attempts.fail(turn, failed, _clock(agent).now() + wait)
    return wait


async def _until(agent: Agent, due: float) -> None:
    clock = _clock(agent)
    wait = due - clock.now()
    if wait <= 0:
        return
    over = asyncio.Event()
    alarm = clock.call_at(clock.time() + wait, over.set)
    try:
        await over.wait()
    finally:
        alarm.cancel()


def _clock(agent: Agent) -> Clock:
    return agent._active().node.host.clock


async def take_up(driver: Driver, turn: Turn) -> None:
    """Go on with a turn that was cut off; `OverBudget` if that has led nowhere too often."""
    most = driver.agent.limits.attempts
    taken = Attempts(driver.agent).take(turn)
    if taken >= most:
        raise OverBudget(
            f"turn {turn.id!r} was cut off {taken} times in the same place",
            hint="see in the logs what ends the process; limits = TurnLimits(attempts=...)",
            limit="attempts",
            most=most,
        )
    await driver.durable()  # before anything runs that may end the process again


class Attempts:
    """The table of turns in trouble. Changes belong to the current step."""

    __slots__ = ("_agent",)

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def take(self, turn: Turn) -> int:
        """The turn is taken up again; how often it was since it came further."""
        taken: int = self._sql(
            "insert into agent_attempts(turn, taken) values (?, 1) "
            "on conflict do update set taken = taken + 1 returning taken",
            turn.id,
        ).value()
        return taken

    def fail(self, turn: Turn, failed: int, due: float) -> None:
        """So many requests of the step that is open have failed; the next one is due then. The
        process has lived to tell, which counts as coming further."""
        self._sql(
            "insert into agent_attempts(turn, failed, due) values (?1, ?2, ?3) "
            "on conflict do update set failed = ?2, due = ?3, taken = 0",
            turn.id,
            failed,
            due,
        )

    def failed(self, turn: Turn) -> int:
        """Requests of the step that is open."""
        query = "select failed from agent_attempts where turn = ?"
        count: int = self._sql(query, turn.id).value(0)
        return count

    def due(self, turn: Turn) -> float:
        """When the next request may be made, in seconds since 1970."""
        when: float = self._sql("select due from agent_attempts where turn = ?", turn.id).value(0.0)
        return when

    def clear(self, id: str) -> None:
        """The turn has come further, or is over."""
        self._sql("delete from agent_attempts where turn = ?", id)

    def _sql(self, query: str, *args: Any) -> Any:
        return self._agent.sql.unsafe(query, *args)
