"""Open, call, stream, storage, close: what a session promises when nobody misbehaves."""

from __future__ import annotations

import asyncio
import pickle

import pytest

from actors.errors import NoSuchMethod, NotCallable
from facets.isolates import Code, Limits
from facets.isolates.calls import MethodInfo
from facets.isolates.errors import GuestError, IsolateClosed, LoadError, NotTransferable
from storage.errors import ConstraintError, NoRow, SqlError, TooManyRows
from tests.isolates.conftest import Open
from tests.isolates.fake import Owner, until

TOOL = """
import asyncio
import facets
from facets import Actor

class Tool(Actor):
    migrations = ["create table words(word text primary key, n integer not null)"]

    def __init__(self):
        self.seen = 0

    async def on_start(self):
        self.started = True

    async def add(self, a, b=1):
        return a + b

    async def who(self):
        return self.id, self.name, self.props, self.env

    async def count(self, word):
        self.seen += 1
        self.sql("insert into words values (?, 1) on conflict do update set n = n + 1", word)
        return self.sql("select n from words where word = ?", word).value()

    async def put(self, word, n):
        self.sql("insert into words values (?, ?)", word, n)

    async def numbers(self, n):
        for i in range(n):
            yield i

    @facets.exclusive
    async def alone(self):
        return self.seen

    def helper(self):
        return 1

    async def _private(self):
        return 2
"""


async def test_open_reports_what_can_be_called(start: Open) -> None:
    session = await start(TOOL)

    assert session.methods["add"] == MethodInfo("call", exclusive=False)
    assert session.methods["numbers"] == MethodInfo("stream", exclusive=False)
    assert session.methods["alone"] == MethodInfo("call", exclusive=True)
    assert "helper" not in session.methods
    assert "_private" not in session.methods
    assert session.hooks == {"on_start"}
    assert len(session.migrations) == 1
    assert session.timings.keys() == {"mint", "load"}


async def test_calls_take_positional_and_named_arguments(start: Open) -> None:
    session = await start(TOOL)

    assert await session.call("add", (1, 2), {}) == 3
    assert await session.call("add", ("a",), {"b": "b"}) == "ab"
    assert await session.call("on_start") is None


async def test_the_actor_knows_who_it_is(start: Open) -> None:
    session = await start(TOOL, identity={"id": "7", "name": "t"}, props={"a": (1,)}, env=None)

    assert await session.call("who") == ("7", "t", {"a": (1,)}, None)


async def test_state_in_memory_and_in_storage_lasts_between_calls(
    start: Open, owner: Owner
) -> None:
    session = await start(TOOL)

    assert [await session.call("count", ("x",)) for _ in range(3)] == [1, 2, 3]
    assert await session.call("alone") == 3
    assert owner.values("select n from words") == [3]


async def test_each_call_with_storage_is_committed_once(start: Open, owner: Owner) -> None:
    session = await start(TOOL)

    await session.call("count", ("x",))
    await session.call("add", (1, 2))

    assert owner.events == ["sql", "sql", "commit"]


async def test_a_stream_yields_in_order(start: Open) -> None:
    session = await start(TOOL)

    assert [item async for item in session.stream("numbers", (100,))] == list(range(100))
    assert session.pending == 0


async def test_a_stream_that_is_closed_early_closes_the_generator(
    start: Open, owner: Owner
) -> None:
    session = await start(
        """
        from facets import Actor
        class Tool(Actor):
            async def forever(self):
                try:
                    i = 0
                    while True:
                        yield i
                        i += 1
                finally:
                    print("closed")
        """
    )
    stream = session.stream("forever")

    assert await anext(stream) == 0
    await stream.aclose()
    await until(lambda: session.pending == 0)

    assert owner.text == "closed\n"


@pytest.mark.parametrize(
    ("method", "error", "says"),
    [
        ("nothing", NoSuchMethod, "there is add"),
        ("helper", NotCallable, "make it async def"),
        ("_private", NotCallable, "underscore"),
        ("__init__", NotCallable, "underscore"),
        ("numbers", NotCallable, "async for"),
        ("on_stop", NoSuchMethod, "does not exist"),
    ],
)
async def test_what_is_not_a_method_is_refused_with_the_reason(
    start: Open, method: str, error: type[Exception], says: str
) -> None:
    session = await start(TOOL)

    with pytest.raises(error, match=says):
        await session.call(method)


async def test_an_error_is_the_builtin_it_was_and_shows_the_tools_own_line(start: Open) -> None:
    session = await start(
        """
        from facets import Actor
        class Bad(KeyError): pass
        class Tool(Actor):
            async def fail(self):
                raise ValueError("no luck")  # the line
            async def own(self):
                raise Bad("x")
            async def unicode(self):
                b"\\xff".decode()
            async def group(self):
                raise ExceptionGroup("g", [ValueError(1)])
        """
    )

    with pytest.raises(ValueError, match="no luck") as caught:
        await session.call("fail")
    assert isinstance(caught.value, GuestError)
    assert 'File "main.py", line 6, in fail' in caught.value.traceback
    assert 'raise ValueError("no luck")  # the line' in caught.value.traceback
    with pytest.raises(KeyError) as own:
        await session.call("own")
    assert type(own.value).__name__ == "Bad"
    with pytest.raises(UnicodeError):
        await session.call("unicode")
    with pytest.raises(GuestError) as group:
        await session.call("group")
    assert group.value.type == "ExceptionGroup"


async def test_guest_errors_survive_pickling(start: Open) -> None:
    session = await start(TOOL)
    with pytest.raises(TypeError) as caught:
        await session.call("add", (1, "x"))

    again = pickle.loads(pickle.dumps(caught.value))

    assert isinstance(again, TypeError)
    assert isinstance(again, GuestError)
    assert (str(again), again.traceback, again.__notes__) == (
        str(caught.value), caught.value.traceback, caught.value.__notes__,
    )  # fmt: skip


async def test_storage_errors_have_their_names_on_both_sides(start: Open) -> None:
    session = await start(
        """
        from facets import Actor, errors
        class Tool(Actor):
            migrations = ["create table t(n integer unique)"]
            async def twice(self):
                self.sql("insert into t values (1)")
                try:
                    self.sql("insert into t values (1)")
                except errors.ConstraintError as error:
                    return type(error).__name__, error.code
            async def broken(self):
                self.sql("selekt 1")
            async def none(self):
                return self.sql("select 1 where 0").value()
            async def many(self):
                return self.sql("select 1 union select 2").one()
            async def dup(self):
                self.sql.many("insert into t values (?)", [(5,), (5,)])
        """
    )

    assert await session.call("twice") == ("ConstraintError", 19)
    for method, error in [
        ("broken", SqlError), ("none", NoRow), ("many", TooManyRows), ("dup", ConstraintError),
    ]:  # fmt: skip
        with pytest.raises(error):
            await session.call(method)


async def test_rows_and_kv_behave_as_they_do_for_trusted_actors(start: Open) -> None:
    session = await start(
        """
        from facets import Actor
        class Tool(Actor):
            migrations = ["create table t(a, b)"]
            async def rows(self):
                assert self.sql.many("insert into t values (?, ?)", [(1, "x"), (2, b"y")]) == 2
                rows = self.sql("select a, b from t where a > :low order by a", low=0)
                assert rows.columns == ("a", "b") and len(rows) == 2
                row = rows.first()
                assert (row.a, row["b"], row[0], tuple(row)) == (1, "x", 1, (1, "x"))
                assert [r.asdict() for r in rows] == [{"a": 1, "b": "x"}, {"a": 2, "b": b"y"}]
                assert rows[1].b == b"y" and rows.all()[0].a == 1
                assert self.sql("select 1 where 0").first() is None
                assert self.sql("select 1 where 0").value(default=9) == 9
                assert self.sql.unsafe("update t set a = a").changes == 2
                return self.sql("select a from t where a = 1").one()
            async def kv_(self): pass
            async def keys(self):
                kv = self.kv
                kv["b"] = [1, (2,)]
                kv.update({"a": {"x": {1}}, "ab": None}, c=1.5)
                assert list(kv) == ["a", "ab", "b", "c"] and len(kv) == 4
                assert kv["b"] == [1, (2,)] and kv["a"] == {"x": {1}}
                assert kv.list("a") == [("a", {"x": {1}}), ("ab", None)]
                assert [k for k, _ in kv.list(start="ab", limit=2, reverse=True)] == ["c", "b"]
                assert kv.get_many(["a", "zz"]) == {"a": {"x": {1}}}
                assert "b" in kv and "zz" not in kv and kv.get("zz", 7) == 7
                assert kv.pop("b") == [1, (2,)] and kv.delete_many(["c", "zz"]) == 1
                try:
                    kv["zz"]
                except KeyError as error:
                    assert error.args == ("zz",), error.args
                try:
                    del kv["zz"]
                except KeyError:
                    pass
                assert kv.setdefault("s", 1) == 1
                kv.clear()
                return len(kv)
        """
    )

    row = await session.call("rows")
    assert (row.a, tuple(row)) == (1, (1,))
    assert await session.call("keys") == 0


async def test_calls_interleave_where_they_await(start: Open) -> None:
    session = await start(
        """
        import asyncio
        from facets import Actor
        class Tool(Actor):
            def __init__(self):
                self.order = []
                self.gate = asyncio.Event()
            async def first(self):
                self.order.append("first waits")
                await self.gate.wait()
                self.order.append("first goes on")
            async def second(self):
                self.order.append("second")
                self.gate.set()
            async def say(self):
                return self.order
        """
    )

    await asyncio.gather(session.call("first"), session.call("second"))

    assert await session.call("say") == ["first waits", "second", "first goes on"]


async def test_asyncio_works_inside(start: Open, owner: Owner) -> None:
    session = await start(
        """
        import asyncio, contextvars, time
        async def work(n):
            await asyncio.sleep(0.001 * n)
            return n
        async def main():
            got = await asyncio.gather(*[work(i) for i in range(5)])
            async with asyncio.TaskGroup() as tasks:
                task = tasks.create_task(work(3))
            try:
                async with asyncio.timeout(0.01):
                    await asyncio.Event().wait()
            except TimeoutError:
                got.append("timeout")
            try:
                await asyncio.wait_for(asyncio.sleep(60), 0.001)
            except TimeoutError:
                got.append("wait_for")
            queue = asyncio.Queue()
            asyncio.create_task(queue.put(task.result()))
            got.append(await queue.get())
            before = time.monotonic_ns()
            time.sleep(0.02)
            got.append(time.monotonic_ns() - before >= 20_000_000)
            try:
                await asyncio.to_thread(print)
            except RuntimeError as error:
                got.append(str(error))
            return got
        """,
        "main",
        actor=False,
    )

    assert await session.call("") == [
        0, 1, 2, 3, 4, "timeout", "wait_for", 3, True,
        "an isolate has no threads; call the function directly",
    ]  # fmt: skip


async def test_targets_may_be_functions_plain_classes_and_modules(start: Open) -> None:
    source = """
    def add(a, b): return a + b
    async def twice(x): return 2 * x
    async def items():
        yield 1
        yield 2
    def _hidden(): pass
    class Plain:
        async def hello(self): return "hello"
    """
    function = await start(source, "add", actor=False)
    stream = await start(source, "items", actor=False)
    plain = await start(source, "Plain", actor=False)
    module = await start(source, "", actor=False)

    assert await function.call("", (1, 2)) == 3
    assert [item async for item in stream.stream("")] == [1, 2]
    assert await plain.call("hello") == "hello"
    assert await module.call("twice", (4,)) == 8
    assert set(module.methods) == {"add", "twice", "items"}


async def test_an_entry_point_has_no_storage(start: Open, owner: Owner) -> None:
    session = await start(
        "from facets import Actor\nclass Tool(Actor):\n    async def run(self): self.sql('x')",
        actor=False,
    )

    with pytest.raises(PermissionError, match="only actors have storage"):
        await session.call("run")
    assert owner.events == []


async def test_code_may_be_many_modules(start: Open) -> None:
    session = await start(
        {
            "main": "from lib.text import shout\nimport lib\n"
            "async def run(x): return shout(x) + lib.MARK",
            "lib": "MARK = '!'",
            "lib.text": "def shout(x): return x.upper()\ndef fail(): 1 / 0",
            "json": "MINE = True",
        },
        "run",
        actor=False,
    )

    assert await session.call("", ("a",)) == "A!"


async def test_print_and_stderr_reach_the_owner(start: Open, owner: Owner) -> None:
    session = await start(
        """
        import sys
        def main():
            print("one", 2)
            print("three", end="")
            print("careful \\ud800 é", file=sys.stderr)
        """,
        "main",
        actor=False,
    )

    await session.call("")

    assert sorted(owner.printed) == [
        ("stderr", "careful ? é\n"),
        ("stdout", "one 2\n"),
        ("stdout", "three"),
    ]


async def test_a_closed_session_says_so(start: Open) -> None:
    session = await start(TOOL)
    session.close()
    session.close()

    assert not session.alive
    with pytest.raises(IsolateClosed):
        await session.call("add", (1, 2))


# -- loading --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("def broken(:\n", "SyntaxError"),
        ("x = 1\nraise ValueError('at import')\n", "at import"),
        ("import nothing_of_that_name\n", "ModuleNotFoundError"),
        ("class Other: pass\n", "there is no 'Tool' in main; there is .'Other'."),
        ("class Tool: pass\n", "not an Actor"),
        ("Tool = 3\n", "not a class"),
        ("from facets import Actor\nclass Tool(Actor):\n    sql = 1\n", "reserved"),
        ("raise SystemExit(3)\n", "SystemExit"),
        ("import asyncio\nasyncio.run(asyncio.sleep(0))\n", "RuntimeError"),
    ],
)
async def test_code_that_does_not_load_says_why(
    start: Open, healthy: None, source: str, says: str
) -> None:
    with pytest.raises(LoadError, match=says):
        await start(source)


async def test_a_load_error_shows_the_line(start: Open) -> None:
    with pytest.raises(LoadError) as caught:
        await start("x = 1\nraise ValueError('at import')\n")

    assert "File \"main.py\", line 2, in <module>\n    raise ValueError('at import')" in str(
        caught.value
    )
    assert pickle.loads(pickle.dumps(caught.value)).traceback == caught.value.traceback


async def test_arguments_that_cannot_cross_are_named(start: Open) -> None:
    session = await start(TOOL)

    with pytest.raises(NotTransferable, match=r'argument 1\["x"\]: function'):
        await session.call("add", (1, {"x": lambda: 1}))
    assert await session.call("add", (1, 2)) == 3


def test_code_is_equal_by_content() -> None:
    one, other = Code.of("x = 1"), Code.of({"main": "x = 1"})

    assert one == other
    assert hash(one) == hash(other)
    assert one != Code.of("x = 2")
    assert pickle.loads(pickle.dumps(one)) == one
    assert Code.of({"a": ""}).main == "a"
    with pytest.raises(ValueError, match="pass main="):
        Code.of({"a": "", "b": ""})


def test_limits_have_a_floor() -> None:
    with pytest.raises(ValueError, match="32 MiB"):
        Limits(memory=16 << 20)
    with pytest.raises(ValueError, match="wall"):
        Limits(wall=0)
