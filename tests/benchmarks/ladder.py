"""The ladder: what each promise of a call costs, from a bare await to a sandbox.

The lower rungs are models that do part of what a call does, with the runtime's own parts; each
does what the one below it does, and one thing more. All are timed in the same rounds.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from contextvars import ContextVar
from functools import partial
from typing import Any

import facets
from actors.call import CURRENT, Call
from actors.steps import begin
from actors.values import ATOMS, copy, copy_arguments
from tests.benchmarks.actors import TOOL, Leaf, Trunk, inside, opened
from tests.benchmarks.harness import Ladder, Rung, benchmark
from tests.benchmarks.rpc import Plain

CALLS = 300
"""In one round: so few that a machine with other work to do has rounds that it does not disturb."""
ROUNDS = 75
Way = Callable[[Trunk], Callable[[int], Any]]
TRACE: ContextVar[str] = ContextVar("trace", default="")


class Reply:
    """A call before it runs; the method's first step runs without an awaitable of its own."""

    __slots__ = ("_args", "_run")

    def __init__(self, run: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self._run = run
        self._args = args

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._run(*self._args)
        yield


def sent(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that does not suspend."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise RuntimeError("it suspended")


def bare(_: Trunk) -> Callable[[int], Any]:
    """Await a method of an object."""
    return Plain().echo


def reply(_: Trunk) -> Callable[[int], Any]:
    """Nothing runs before it is awaited; then the step is run by hand."""
    plain = Plain()

    def run(n: int) -> Any:
        return sent(plain.echo(n))

    return lambda n: Reply(run, (n,))


def copied(_: Trunk) -> Callable[[int], Any]:
    """Arguments and result share nothing mutable with the caller."""
    plain = Plain()

    def run(n: int) -> Any:
        result = sent(plain.echo(n))
        return result if type(result) in ATOMS else copy(result)

    def call(*args: Any, **kwargs: Any) -> Reply:
        args, kwargs = copy_arguments(args, kwargs)
        return Reply(run, args)

    return call


def stepped(trunk: Trunk) -> Callable[[int], Any]:
    """The call has a name in a chain and a context of its own, and is one step."""
    plain = Plain()
    target = trunk._activation
    assert target is not None

    def run(n: int) -> Any:
        result = begin(Call(target, "echo", CURRENT.get()), plain.echo(n))
        return result if type(result) in ATOMS else copy(result)

    def call(*args: Any, **kwargs: Any) -> Reply:
        args, kwargs = copy_arguments(args, kwargs)
        return Reply(run, args)

    return call


def stub(trunk: Trunk) -> Callable[[int], Any]:
    """The whole: it wakes what sleeps, knows what it depends on, is counted and bounded."""
    return trunk.facets.get("leaf", Leaf).echo


def isolate(trunk: Trunk) -> Callable[[int], Any]:
    """The same into a sandbox that lives."""
    return trunk.facets.get("tool", trunk.isolates.get(TOOL).actor("Tool")).nop  # type: ignore[no-any-return]


WAYS: dict[str, Way] = {one.__name__: one for one in (bare, reply, copied, stepped, stub, isolate)}


@inside
async def climb(trunk: Trunk, n: int, way: str) -> None:
    call = WAYS[way](trunk)
    for i in range(n):
        await call(i)


@inside
async def under_a_deadline(trunk: Trunk, n: int) -> None:
    call = stub(trunk)
    with facets.deadline(3600):
        for i in range(n):
            await call(i)


@inside
async def traced(trunk: Trunk, n: int) -> None:
    call = stub(trunk)
    for i in range(n):
        TRACE.set(f"span {i}")
        await call(i)


@inside
async def deadlines(_: Trunk, n: int) -> None:
    for _i in range(n):
        with facets.deadline(3600):
            pass


@inside
async def streamed(trunk: Trunk, n: int) -> None:
    async for _ in trunk.facets.get("leaf", Leaf).items(n):
        pass


async def from_outside(trunk: Any, n: int) -> None:
    for i in range(n):
        await trunk.echo(i)


@benchmark("a call")
async def ladder() -> AsyncIterator[Ladder]:
    async with opened() as (_, trunk):
        run = partial(partial, trunk.run)
        await trunk.run("climb", 1, "isolate")
        yield Ladder(
            [
                Rung("bare await", run("climb", CALLS, "bare"), CALLS),
                Rung("+ a reply that runs when awaited", run("climb", CALLS, "reply"), CALLS),
                Rung("+ copied arguments and result", run("climb", CALLS, "copied"), CALLS),
                Rung("+ a step with a context and a chain", run("climb", CALLS, "stepped"), CALLS),
                Rung("+ life, gate, mailbox: to a facet", run("climb", CALLS, "stub"), CALLS),
                Rung("the same under a deadline", run("under_a_deadline", CALLS), CALLS),
                Rung("the same, a trace set by the caller", run("traced", CALLS), CALLS),
                Rung("a deadline itself", run("deadlines", CALLS), CALLS),
                Rung("an item of a stream", run("streamed", CALLS), CALLS),
                Rung("from outside, nothing written", partial(from_outside, trunk, 100), 100),
                Rung("into an isolate", run("climb", 200, "isolate"), 200),
            ]
        )
