"""Log lines know the actor, the call and the trace."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from facets import Actor
from facets.logs import JsonLines, WithActor
from facets.testing import MemoryRuntime

log = logging.getLogger("tests.shop")


class Item(Actor):
    async def pick(self) -> None:
        log.info("picked", extra={"shelf": 7})


class Cart(Actor):
    async def buy(self, name: str) -> None:
        log.info("buying %s", name)
        await self.facets.get(name, Item).pick()
        log.warning("bought")

    async def fail(self) -> None:
        try:
            raise KeyError("no stock")
        except KeyError:
            log.exception("could not")

    async def later(self) -> None:
        self.timers.after(60, self.buy, "tea")


@pytest.fixture
def lines() -> Iterator[Any]:
    """What was logged, as objects."""
    file = io.StringIO()
    handler = logging.StreamHandler(file)
    handler.addFilter(WithActor())
    handler.setFormatter(JsonLines("host-7"))
    log.addHandler(handler)
    level, log.level = log.level, logging.INFO
    yield lambda: [json.loads(line) for line in file.getvalue().splitlines()]
    log.removeHandler(handler)
    log.level = level


async def test_each_line_says_which_actor_logs_also_in_facets_and_after_a_wait(lines: Any) -> None:
    async with MemoryRuntime() as runtime:
        await runtime.get(Cart, "alice").buy("tea")

    said = [(one["actor"], one["method"], one["message"]) for one in lines()]
    assert said == [
        ("Cart:alice", "buy", "buying tea"),
        ("Cart:alice/tea", "pick", "picked"),
        ("Cart:alice", "buy", "bought"),
    ]
    assert lines()[1]["shelf"] == 7
    assert {one["host"] for one in lines()} == {"host-7"}


async def test_what_a_timer_does_is_told_by_the_id_of_its_delivery(lines: Any) -> None:
    async with MemoryRuntime() as runtime:
        await runtime.get(Cart, "alice").later()
        await runtime.clock.run(61)

    assert len({one["call"] for one in lines()}) == 1
    assert lines()[0]["call"].startswith("timer-")
    assert lines()[0]["trace"] == lines()[0]["call"]


async def test_lines_from_outside_every_actor_name_none(lines: Any) -> None:
    log.info("hello")

    assert not {"actor", "method", "call", "trace"} & set(lines()[0])


async def test_an_error_brings_its_traceback_in_the_same_line(lines: Any) -> None:
    async with MemoryRuntime() as runtime:
        await runtime.get(Cart, "alice").fail()

    (line,) = lines()
    assert line["level"] == "ERROR"
    assert "KeyError: 'no stock'" in line["error"]
    assert line["time"].endswith("+00:00")


async def test_an_object_that_is_not_json_does_not_lose_the_line(lines: Any) -> None:
    log.info("odd", extra={"what": {1, 2}})

    assert lines()[0]["what"] == "{1, 2}"


async def test_the_trace_is_that_of_the_current_span(lines: Any) -> None:
    trace = pytest.importorskip("opentelemetry.trace")
    context = trace.SpanContext(0xABC, 0xDEF, False, trace.TraceFlags(1))
    with trace.use_span(trace.NonRecordingSpan(context)):
        async with MemoryRuntime() as runtime:
            await runtime.get(Cart, "alice").buy("tea")

    assert {one["trace"] for one in lines()} == {format(0xABC, "032x")}
