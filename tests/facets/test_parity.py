"""The same source gives the same results trusted and in an isolate."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from facets import Actor, LocalRuntime, Start
from facets.errors import (
    ConstraintError,
    ExclusiveReentered,
    FacetAborted,
    NoRow,
    NoSuchMethod,
    NotCallable,
    NotStorable,
    SqlDenied,
    SqlError,
    TooManyRows,
    TransactionAcrossAwait,
)
from tests.facets import parity_source

SOURCE = Path(parity_source.__file__).read_text()


class Lead(Actor):
    def facet(self, mode: str) -> Any:
        isolate = self.isolates.get(SOURCE, env={"mode": "test"})
        code = parity_source.Subject if mode == "trusted" else isolate.actor("Subject")
        return self.facets.get("subject", Start(code, props={"p": [1]}))

    async def call(self, mode: str, method: str, *args: Any, **kwargs: Any) -> Any:
        return await getattr(self.facet(mode), method)(*args, **kwargs)

    async def crowd(self, mode: str, method: str, n: int) -> list[Any]:
        facet = self.facet(mode)
        return await asyncio.gather(*[getattr(facet, method)(1) for _ in range(n)])

    async def items(self, mode: str, method: str, *args: Any) -> list[Any]:
        return [item async for item in getattr(self.facet(mode), method)(*args)]

    async def first_item(self, mode: str) -> Any:
        items = aiter(self.facet(mode).stream(5))
        first = await anext(items)
        await items.aclose()
        return first

    async def abort_hanging(self, mode: str) -> str:
        facet = self.facet(mode)
        hanging = asyncio.create_task(facet.write_and_hang("committed"))
        while not await facet.log():
            await asyncio.sleep(0)
        self.facets.abort("subject", "enough")
        try:
            await hanging
        except FacetAborted as error:
            return error.reason
        return "not aborted"

    async def cancel_hanging(self, mode: str) -> list[str]:
        facet = self.facet(mode)
        hanging = asyncio.create_task(facet.write_and_hang("committed"))
        while not await facet.log():
            await asyncio.sleep(0)
        hanging.cancel()
        await asyncio.wait([hanging])
        return await facet.log()


@pytest.fixture(params=["trusted", "isolate"])
def mode(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
async def runtime(state: Path) -> Any:
    async with LocalRuntime(state, env={"mode": "test"}) as runtime:
        yield runtime


class Subject:
    """Calls the subject through its parent."""

    def __init__(self, runtime: LocalRuntime, mode: str) -> None:
        self.lead = runtime.get(Lead, "a")
        self.mode = mode

    def __getattr__(self, method: str) -> Any:
        return lambda *args, **kwargs: self.lead.call(self.mode, method, *args, **kwargs)


@pytest.fixture
async def subject(runtime: LocalRuntime, mode: str) -> Subject:
    return Subject(runtime, mode)


async def test_it_knows_who_it_is(subject: Subject) -> None:
    assert await subject.who() == ("Lead:a/subject", "subject", {"p": [1]}, {"mode": "test"})


async def test_memory_lasts_as_long_as_the_incarnation(subject: Subject) -> None:
    assert await subject.remember(1) == (1, 1)
    assert await subject.remember(2) == (2, 1)
    await subject.lead.abort_hanging(subject.mode)
    assert await subject.remember(3) == (1, 2)


VALUES = [
    None, True, -(10**30), 2.5, float("inf"), "text \u0000 é \U0001f600", b"\x00\xff", [1, [2]],
    (1, (2, "x")), {"a": {"b": [1]}}, {1: "x", (2, 3): None}, {1, 2}, frozenset({"x"}),
    date(2026, 11, 24), bytearray(b"x"), [], {}, (),
    Decimal("1.10"), UUID(int=5), datetime(2026, 1, 2, 3, 4, 5, 6, UTC),
    timedelta(days=-1, microseconds=3),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=[repr(value)[:30] for value in VALUES])
async def test_values_come_back_equal_and_of_the_same_type(subject: Subject, value: Any) -> None:
    back = await subject.echo(value)
    assert back == value
    assert type(back) is type(value)


async def test_named_arguments_arrive_by_name(subject: Subject) -> None:
    assert await subject.echo(1, other=[2]) == (1, {"other": [2]})
    with pytest.raises(TypeError):
        await subject.record(1, 2, 3)


async def test_rows_have_every_shape(subject: Subject) -> None:
    assert await subject.shapes() == {
        "columns": ["what", "n"],
        "length": 2,
        "by name": ["a", "bb"],
        "by attribute": 1,
        "by index": 1,
        "unpacked": [("a", 1), ("bb", 2)],
        "asdict": {"what": "a", "n": 1},
        "value": 2,
        "default": "none",
        "one": (2,),
        "none": None,
        "all": [("a", 1), ("bb", 2)],
        "changes": 2,
        "many": 2,
        "unsafe": 4,
        "types": (1, 2.5, "x", b"\x00\xff", None),
    }


async def test_kv_is_an_ordered_mapping(subject: Subject) -> None:
    assert await subject.kv_story() == {
        "keys": ["a", "list/1", "list/2", "list/3", "starts"],
        "len": 5,
        "in": (True, False),
        "bytes": b"\x00\xff",
        "prefix": [("list/1", 1), ("list/2", 2), ("list/3", 3)],
        "limit": [("list/1", 1), ("list/2", 2)],
        "reverse": [("list/3", 3), ("list/2", 2), ("list/1", 1)],
        "get": 7,
        "get_many": {"a": b"\x00\xff", "list/1": 1},
        "pop": 3,
        "deleted": 2,
        "missing": ["nothing"],
        "left": ["a", "starts"],
    }


@pytest.mark.parametrize(
    ("method", "args", "error"),
    [
        ("no_row", (), NoRow),
        ("too_many_rows", (), TooManyRows),
        ("breaks_constraint", (), ConstraintError),
        ("bad_sql", (), SqlError),
        ("denied", ("attach 'x' as y",), SqlDenied),
        ("denied", ("pragma journal_mode = delete",), SqlDenied),
        ("denied", ("begin",), SqlDenied),
        ("denied", ("select * from _facets_kv",), SqlDenied),
        ("kv_bad_value", (), NotStorable),
        ("await_inside", (), TransactionAcrossAwait),
        ("reenter", (), ExclusiveReentered),
        ("raises", ("value",), ValueError),
        ("raises", ("key",), KeyError),
        ("raises", ("zero",), ZeroDivisionError),
        ("recurse", (), RecursionError),
        ("imports", (), ModuleNotFoundError),
        ("plain", (), NotCallable),
        ("_private", (), NotCallable),
        ("sql", (), NotCallable),
        ("on_start", (), (NotCallable, NoSuchMethod)),
        ("nothing", (), NoSuchMethod),
        ("stream", (1,), NotCallable),
    ],
)
async def test_errors_are_of_the_same_class(
    subject: Subject, method: str, args: tuple[Any, ...], error: Any
) -> None:
    await subject.note("before")
    with pytest.raises(error):
        await getattr(subject, method)(*args)
    assert await subject.log() == ["before"]


async def test_a_failed_statement_leaves_the_step_open(subject: Subject) -> None:
    assert await subject.survives_errors() == ["before", "SqlError", "ConstraintError", "SqlDenied"]


async def test_only_the_step_that_raised_is_undone(subject: Subject) -> None:
    with pytest.raises(ValueError, match="after two steps"):
        await subject.fail_after_two_steps()
    assert await subject.log() == ["first"]


async def test_a_savepoint_undoes_its_own_block(subject: Subject) -> None:
    assert await subject.undo_part() == ["kept", "after"]


async def test_tasks_and_timeouts_work(subject: Subject) -> None:
    assert await subject.gather() == [0, 1, 4, 16, 25]
    assert await subject.timeout() == "timed out"


async def test_streams_yield_and_their_steps_are_kept(subject: Subject) -> None:
    assert await subject.lead.items(subject.mode, "stream", 3) == [{"i": 0}, {"i": 1}, {"i": 2}]
    assert await subject.log() == ["item 0", "item 1", "item 2"]


async def test_a_stream_can_be_left_early(subject: Subject) -> None:
    assert await subject.lead.first_item(subject.mode) == {"i": 0}
    assert await subject.log() == ["item 0"]


async def test_exclusive_sections_do_not_interleave(subject: Subject) -> None:
    await subject.lead.crowd(subject.mode, "add", 10)
    await subject.lead.crowd(subject.mode, "add_too", 10)
    assert await subject.add(0) == 20


async def test_abort_raises_the_reason_and_keeps_committed_steps(subject: Subject) -> None:
    assert await subject.lead.abort_hanging(subject.mode) == "enough"
    assert await subject.log() == ["committed"]


async def test_a_cancelled_call_keeps_committed_steps(subject: Subject) -> None:
    assert await subject.lead.cancel_hanging(subject.mode) == ["committed"]


async def test_the_standard_library_is_there(subject: Subject) -> None:
    assert await subject.standard_library() == [["to", 2]]


async def test_data_written_by_one_is_read_by_the_other(state: Path) -> None:
    for mode, expected in [
        ("trusted", ["x"]),
        ("isolate", ["x", "y"]),
        ("trusted", ["x", "y", "z"]),
    ]:
        async with LocalRuntime(state, env={"mode": "test"}) as runtime:
            assert await Subject(runtime, mode).note(expected[-1]) == expected


FILE_ERRORS = [
    ("read", ("/nothing",), ("FileMissing", "ENOENT", "/nothing")),
    ("mkdir", ("/",), ("FileExists", "EEXIST", "/")),
    ("read", ("/",), ("IsDirectory", "EISDIR", "/")),
    ("write", ("a\0b", b""), ("PathInvalid", "EINVAL", "a\0b")),
    ("write", ("/" + "x" * 300, b""), ("PathTooLong", "ENAMETOOLONG", "/" + "x" * 300)),
]


async def test_files_work_the_same(subject: Subject) -> None:
    assert await subject.file_shapes() == {
        "size": 10,
        "text": "eins\nzwei\ndrei\n",
        "part": bytes(range(10, 15)),
        "glob": ["/a/b/one.txt", "/a/b/three.bin", "/a/table.csv", "/a/two.bin"],
        "names": ["b", "table.csv", "two.bin"],
        "entries": [("a", "directory"), ("link", "link")],
        "stat": ("file", 15),
        "csv": [["x", "y"], ["1", "2"]],
        "diff": "--- /link\n+++ /link\n@@ -1,3 +1 @@\n eins\n-zwei\n-drei\n",
    }


@pytest.mark.parametrize(("method", "args", "expected"), FILE_ERRORS)
async def test_files_have_the_errors_of_posix(
    subject: Subject, method: str, args: tuple[Any, ...], expected: Any
) -> None:
    assert await subject.file_error(method, *args) == expected


async def test_an_error_of_a_file_reaches_the_parent_as_what_it_is(subject: Subject) -> None:
    with pytest.raises(FileNotFoundError):
        await subject.file_raises()


async def test_a_part_of_a_step_that_is_undone_takes_files_along(subject: Subject) -> None:
    assert await subject.file_undone() == "kept"
