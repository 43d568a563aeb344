"""Calls out of an isolate, at the level of one session: messages, handles, streams, ends."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest

from facets.capabilities.capability import Capability
from facets.capabilities.errors import CapabilityRevoked
from facets.capabilities.marked import capability
from facets.isolates.errors import CallLimit, GuestError, NotTransferable
from facets.isolates.session import Session
from storage.errors import NotStorable
from tests.isolates.conftest import Open
from tests.isolates.fake import Owner

TOOL = """
import asyncio, copy, facets, pickle
from facets import Actor

@facets.capability
class Counter:
    def __init__(self): self.n = 0
    async def up(self, by=1):
        self.n += by
        return self.n
    def now(self): return self.n
    async def each(self, n):
        for i in range(n): yield i
    def _hidden(self): return 1

class Tool(Actor):
    migrations = ["create table if not exists t(n)"]
    async def call(self, cap, *args, **kwargs): return await cap(*args, **kwargs)
    async def on(self, cap, method, *args): return await getattr(cap, method)(*args)
    async def many(self, cap, n):
        return await asyncio.gather(*[cap(i) for i in range(n)])
    async def items(self, cap, *args):
        return [item async for item in cap(*args)]
    async def first(self, cap, n):
        taken = []
        async for item in cap():
            taken.append(item)
            if len(taken) == n: return taken
    async def pipe(self, cap):
        async for item in cap(): yield item
    async def keep(self, cap):
        self.kept = cap
        return cap
    async def again(self, *args): return await self.kept(*args)
    async def let_go(self): self.kept = None
    async def same(self, a, b): return a is b
    async def write(self, cap):
        self.sql("insert into t values (1)")
        await cap()
        self.sql("insert into t values (2)")
    async def timeout(self, cap):
        try:
            async with asyncio.timeout(0.01): await cap()
        except TimeoutError: return "late"
    async def store(self, where, cap):
        if where == "kv": self.kv["a"] = [cap]
        elif where == "sql": self.sql("insert into t values (?)", cap)
        elif where == "pickle": pickle.dumps(cap)
        else: return copy.deepcopy([cap])[0] is cap
    async def caught(self, cap):
        try: await cap()
        except Exception as error:
            return type(error).__name__, isinstance(error, LookupError), str(error)
    async def counter(self):
        self.made = Counter()
        return self.made
    async def function(self):
        @facets.capability
        async def double(x): return 2 * x
        return double
    async def method(self): return facets.capability(self._own)
    async def _own(self, x): return x, self.name
    async def mine(self, it): return it is self.made
    async def give(self, cap):
        @facets.capability
        def heard(x): return x + 1
        return await cap(heard)
    async def unmarked(self, cap): return await cap({"f": lambda: 1})
    async def shown(self, cap): return repr(cap)
    async def group(self, cap):
        async with asyncio.TaskGroup() as tasks:
            made = [tasks.create_task(cap(i)) for i in range(3)]
        return [one.result() for one in made]
"""


@capability
async def double(x: int) -> int:
    return 2 * x


@capability
def plain(x: int = 1) -> int:
    return x + 1


@capability
async def numbers(n: int) -> AsyncIterator[int]:
    for i in range(n):
        yield i


@capability
class Shop:
    def __init__(self) -> None:
        self.sold: list[str] = []

    async def sell(self, what: str) -> int:
        self.sold.append(what)
        return len(self.sold)

    def stock(self) -> int:
        return 3

    async def list(self, n: int) -> AsyncIterator[str]:
        for i in range(n):
            yield f"item {i}"

    async def _secret(self) -> str:
        return "secret"


def held(session: Session) -> int:
    return len(session._grants)


async def test_functions_are_called_and_awaited(start: Open) -> None:
    session = await start(TOOL)

    assert await session.call("call", (double, 4)) == 8
    assert await session.call("call", (double,), {"x": 5}) == 10
    assert await session.call("call", (plain,)) == 2
    assert await session.call("many", (double, 50)) == [2 * i for i in range(50)]
    assert await session.call("group", (double,)) == [0, 2, 4]


async def test_objects_are_called_by_their_public_methods(start: Open) -> None:
    session, shop = await start(TOOL), Shop()

    assert await session.call("on", (shop, "sell", "pen")) == 1
    assert await session.call("on", (shop, "stock")) == 3
    assert shop.sold == ["pen"]
    for method in ("_secret", "sold", "__class__", "nothing"):
        with pytest.raises((GuestError, AttributeError)):
            await session.call("on", (shop, method))


async def test_env_and_props_hold_capabilities(start: Open) -> None:
    session = await start(
        """
        from facets import Actor
        class Tool(Actor):
            async def run(self): return [await self.env["f"](1), await self.props[0].stock()]
        """,
        env={"f": double},
        props=[Shop()],
    )

    assert await session.call("run") == [2, 3]


async def test_one_object_is_one_handle_inside(start: Open) -> None:
    session = await start(TOOL)

    assert await session.call("same", (double, double)) is True
    assert await session.call("same", (double, plain)) is False
    assert await session.call("keep", (double,)) is double
    assert await session.call("shown", (double,)) == "<capability double>"


async def test_what_the_guest_lets_go_of_is_freed_in_one_message(start: Open) -> None:
    session = await start(TOOL)
    await session.call("keep", (double,))
    await session.call("many", (plain, 3))
    assert held(session) == 1

    await session.call("let_go")

    assert held(session) == 0
    assert await session.call("call", (double, 1)) == 2


async def test_a_grant_in_flight_survives_the_drop_of_an_earlier_one(start: Open) -> None:
    session = await start(TOOL)
    await session.call("keep", (double,))

    dropping, keeping = session.call("let_go"), session.call("keep", (double,))
    await asyncio.gather(dropping, keeping)

    assert held(session) == 1
    assert await session.call("again", (2,)) == 4


async def test_a_stream_makes_no_more_items_than_the_guest_can_take(start: Open) -> None:
    session = await start(TOOL)
    made = []

    @capability
    async def endless() -> AsyncIterator[int]:
        while True:
            made.append(len(made))
            yield made[-1]

    assert await session.call("items", (numbers, 100)) == list(range(100))
    assert await session.call("first", (endless, 3)) == [0, 1, 2]
    await _until(lambda: not len(session._serving))

    assert len(made) <= 33


async def test_a_stream_passes_through_a_guest_with_its_own_pace(start: Open) -> None:
    session = await start(TOOL)
    made = []

    @capability
    async def endless() -> AsyncIterator[int]:
        while True:
            made.append(1)
            yield len(made)

    stream = session.stream("pipe", (endless,))
    assert [await anext(stream) for _ in range(3)] == [1, 2, 3]
    await stream.aclose()
    await _until(lambda: not len(session._serving))

    assert len(made) <= 33


async def test_errors_arrive_by_their_names_and_as_the_builtins_they_were(start: Open) -> None:
    class Missing(LookupError):
        pass

    @capability
    async def fails() -> None:
        raise Missing("not here")

    session = await start(TOOL)

    assert await session.call("caught", (fails,)) == ("Missing", True, "not here")
    with pytest.raises(LookupError, match="not here"):
        await session.call("call", (fails,))


async def test_a_step_is_committed_before_the_call_it_made_runs(start: Open, owner: Owner) -> None:
    session = await start(TOOL)
    seen = []

    @capability
    async def look() -> None:
        seen.append((list(owner.events), owner.db.in_transaction))

    await session.call("write", (look,))

    assert seen == [(["sql", "commit", "use"], False)]
    assert owner.values("select n from t") == [1, 2]


async def test_calls_made_in_a_step_that_was_lost_do_not_run(start: Open, owner: Owner) -> None:
    session = await start(TOOL)
    owner.fail_commit = OSError("disk")

    with pytest.raises(OSError, match="disk"):
        await session.call("write", (double,))

    assert owner.asked == []


async def test_a_cancelled_wait_cancels_the_call_outside(start: Open) -> None:
    session = await start(TOOL)
    ended = asyncio.Event()

    @capability
    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    assert await session.call("timeout", (forever,)) == "late"
    await ended.wait()
    assert not len(session._serving)
    calling = asyncio.create_task(session.call("call", (forever,)))
    ended.clear()
    await _until(lambda: len(session._serving) == 1)
    calling.cancel()
    await ended.wait()
    assert session.alive


async def test_a_killed_isolate_cancels_what_runs_for_it(start: Open) -> None:
    session = await start(TOOL)
    began, ended = asyncio.Event(), asyncio.Event()

    @capability
    async def forever() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    calling = asyncio.create_task(session.call("call", (forever,)))
    await began.wait()
    session.kill(RuntimeError("enough"))

    with pytest.raises(RuntimeError, match="enough"):
        await calling
    await ended.wait()


async def test_a_capability_may_kill_the_isolate_that_calls_it(start: Open) -> None:
    session = await start(TOOL)
    seen = []

    @capability
    async def kills() -> None:
        session.kill(RuntimeError("enough"))
        await asyncio.sleep(0)
        seen.append("went on")

    with pytest.raises(RuntimeError, match="enough"):
        await session.call("call", (kills,))
    await _until(lambda: seen == ["went on"])


async def test_revoked_means_now_everywhere_and_for_good(start: Open) -> None:
    session = await start(TOOL)
    began = asyncio.Event()

    async def wait() -> None:
        began.set()
        await asyncio.Event().wait()

    revocable = capability(wait)
    await session.call("keep", (revocable,))
    calling = asyncio.create_task(session.call("again"))
    await began.wait()
    revocable.revoke()

    with pytest.raises(PermissionError) as caught:
        await calling
    assert caught.value.type == "CapabilityRevoked"  # type: ignore[attr-defined]
    with pytest.raises(CapabilityRevoked):
        await session.call("again")
    with pytest.raises(CapabilityRevoked):
        await session.call("call", (revocable,))


@pytest.mark.parametrize("where", ["kv", "sql"])
async def test_a_capability_is_not_data_to_be_stored(start: Open, where: str) -> None:
    session = await start(TOOL)

    with pytest.raises(NotStorable, match="store numbers"):
        await session.call("store", (where, double))
    with pytest.raises(TypeError, match="cannot be stored or pickled"):
        await session.call("store", ("pickle", double))
    assert await session.call("store", ("deepcopy", double)) is True


async def test_guests_hand_out_functions_and_objects(start: Open) -> None:
    session = await start(TOOL, identity={"name": "t"})

    counter = await session.call("counter")
    assert await counter.up() == 1
    assert await counter.up(by=2) == 3
    assert await counter.now() == 3
    assert [item async for item in counter.each(4)] == [0, 1, 2, 3]
    assert await session.call("mine", (counter,)) is True
    assert await (await session.call("function"))(4) == 8
    assert await (await session.call("method"))(4) == (4, "t")
    for name in ("_hidden", "n", "nothing"):
        with pytest.raises(AttributeError):
            getattr(counter, name)


async def test_guests_pass_callbacks_as_arguments(start: Open) -> None:
    session = await start(TOOL)

    @capability
    async def calls_back(callback: Any) -> int:
        return 10 * await callback(1)

    assert await session.call("give", (calls_back,)) == 20


async def test_what_a_guest_handed_out_dies_with_it(start: Open) -> None:
    session = await start(TOOL)
    counter = await session.call("counter")
    session.close()

    with pytest.raises(CapabilityRevoked, match="ended"):
        await counter.up()


async def test_a_guest_forgets_what_nobody_outside_holds(start: Open) -> None:
    session = await start(
        """
        import facets, gc
        from facets import Actor
        class Tool(Actor):
            async def function(self):
                @facets.capability
                def f(): return 1
                return f
            async def exports(self):
                from isolate import capabilities
                return len(capabilities._current[0]._exports)
        """
    )
    function = await session.call("function")
    assert await session.call("exports") == 1

    del function
    gc.collect()
    await asyncio.sleep(0)

    assert await session.call("exports") == 0


async def test_capabilities_of_one_isolate_work_in_another(start: Open) -> None:
    one, other = await start(TOOL), await start(TOOL)

    counter = await one.call("counter")
    assert await other.call("on", (counter, "up", 5)) == 5
    assert await other.call("keep", (counter,)) is counter


async def test_only_what_is_marked_crosses(start: Open) -> None:
    session = await start(TOOL)

    with pytest.raises(NotTransferable, match=r'argument 0\["f"\]'):
        await session.call("unmarked", (double,))
    with pytest.raises(NotTransferable, match=r"argument 1: function"):
        await session.call("call", (double, lambda: 1))
    assert held(session) == 0


async def test_calls_out_are_counted_and_bounded(start: Open) -> None:
    session = await start(TOOL, limits={"calls": 100})

    assert len(await session.call("many", (double, 100))) == 100
    with pytest.raises(CallLimit):
        await session.call("many", (double, 101))


async def test_an_honest_guest_holds_back_calls_over_the_bound(start: Open) -> None:
    session = await start(TOOL)
    most = 0

    @capability
    async def slow(x: int) -> int:
        nonlocal most
        most = max(most, len(session._serving))
        await asyncio.sleep(0)
        return x

    assert await session.call("many", (slow, 2000)) == list(range(2000))
    assert most <= 1000


async def test_a_timeout_inside_a_capability_is_its_own(start: Open) -> None:
    session = await start(TOOL)

    @capability
    async def impatient() -> str:
        try:
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()
        except TimeoutError:
            return "gave up"
        return "never"

    assert await session.call("call", (impatient,)) == "gave up"


async def test_capabilities_cannot_be_pickled() -> None:
    import pickle

    for one in (double, capability(plain)):
        assert isinstance(one, Capability)
        with pytest.raises(TypeError, match="reference"):
            pickle.dumps(one)


async def _until(condition: Any) -> None:
    while not condition():
        await asyncio.sleep(0)
