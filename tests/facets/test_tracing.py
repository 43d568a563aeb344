"""Spans: what called what, across actors, streams and sandboxes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from actors import tracing
from facets import Actor, LocalRuntime

trace = pytest.importorskip("opentelemetry.trace")
sdk = pytest.importorskip("opentelemetry.sdk.trace")
export = pytest.importorskip("opentelemetry.sdk.trace.export")
memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")

BAGGAGE: ContextVar[str] = ContextVar("baggage", default="")
SOURCE = """
from facets import Actor

class Tool(Actor):
    async def ask(self, below):
        return await below.leaf()
"""


class Tree(Actor):
    async def leaf(self) -> str:
        return BAGGAGE.get()

    async def call(self, other: Tree) -> str:
        BAGGAGE.set("from the caller")
        await asyncio.sleep(0)
        return await other.leaf()

    async def many(self, other: Tree) -> Any:
        return await asyncio.gather(other.leaf(), other.leaf())

    async def through_isolate(self, other: Tree) -> Any:
        tool = self.facets.get("tool", self.isolates.get(SOURCE).actor("Tool"))
        return await tool.ask(other)

    async def items(self, other: Tree) -> AsyncIterator[str]:
        for _ in range(3):
            yield await other.leaf()

    async def fail(self) -> None:
        await asyncio.sleep(0)
        raise LookupError("nothing")


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    exporter = memory.InMemorySpanExporter()
    provider = sdk.TracerProvider()
    provider.add_span_processor(export.SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    yield exporter
    provider.shutdown()


@pytest.fixture
async def traced(spans: Any, state: Path) -> AsyncIterator[LocalRuntime]:
    async with LocalRuntime(state) as runtime:
        yield runtime


def tree(spans: Any) -> list[tuple[str, str]]:
    """Each span with the one above it."""
    found = spans.get_finished_spans()
    names = {one.context.span_id: one.name for one in found}
    return sorted((one.name, names.get(one.parent.span_id) if one.parent else "") for one in found)


async def test_a_call_is_a_span_below_its_callers(traced: LocalRuntime, spans: Any) -> None:
    top, below = traced.get(Tree, "top"), traced.get(Tree, "below")
    await top.call(below)
    await top.many(below)
    assert tree(spans) == [
        ("Tree.call", ""),
        ("Tree.leaf", "Tree.call"),
        ("Tree.leaf", "Tree.many"),
        ("Tree.leaf", "Tree.many"),
        ("Tree.many", ""),
    ]
    assert {one.attributes["facets.actor"] for one in spans.get_finished_spans()} == {
        "Tree:top",
        "Tree:below",
    }


async def test_the_span_of_a_script_is_above_its_calls(traced: LocalRuntime, spans: Any) -> None:
    tracer = trace.get_tracer_provider().get_tracer("script")
    with tracer.start_as_current_span("script"):
        await traced.get(Tree, "a").leaf()
        assert trace.get_current_span().name == "script"
    assert tree(spans) == [("Tree.leaf", "script"), ("script", "")]


async def test_a_call_of_another_process_is_below_the_span_there(
    traced: LocalRuntime, spans: Any
) -> None:
    tracer = trace.get_tracer_provider().get_tracer("script")
    with tracer.start_as_current_span("script"):
        headers = tracing.depart(None)
    assert headers is not None
    with tracing.arrived(headers):
        await traced.get(Tree, "a").leaf()
    await traced.get(Tree, "a").leaf()
    assert tree(spans) == [("Tree.leaf", ""), ("Tree.leaf", "script"), ("script", "")]


async def test_calls_out_of_a_sandbox_are_below_the_call_into_it(
    traced: LocalRuntime, spans: Any
) -> None:
    await traced.get(Tree, "top").through_isolate(traced.get(Tree, "below"))
    assert tree(spans) == [
        ("Tool.ask", "Tree.through_isolate"),
        ("Tree.leaf", "Tool.ask"),
        ("Tree.through_isolate", ""),
    ]


async def test_a_stream_is_one_span(traced: LocalRuntime, spans: Any) -> None:
    top, below = traced.get(Tree, "top"), traced.get(Tree, "below")
    assert len([item async for item in top.items(below)]) == 3
    assert tree(spans) == [("Tree.items", ""), *[("Tree.leaf", "Tree.items")] * 3]


async def test_what_a_call_raises_is_recorded(traced: LocalRuntime, spans: Any) -> None:
    with pytest.raises(LookupError):
        await traced.get(Tree, "a").fail()
    (span,) = spans.get_finished_spans()
    assert span.status.description == "LookupError: nothing"
    assert [event.name for event in span.events] == ["exception"]


async def test_context_of_the_caller_is_seen_and_not_changed(runtime: LocalRuntime) -> None:
    top, below = runtime.get(Tree, "top"), runtime.get(Tree, "below")
    assert await top.call(below) == "from the caller"
    assert (BAGGAGE.get(), await below.leaf()) == ("", "")


async def test_without_a_provider_calls_are_not_wrapped(runtime: LocalRuntime) -> None:
    assert runtime.host.tracer is None


def test_nothing_of_it_is_imported_unasked() -> None:
    code = "import facets, sys; sys.exit(any('opentelemetry' in one for one in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
