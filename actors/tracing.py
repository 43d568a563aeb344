"""A span for every call, where the program has set up OpenTelemetry.

A runtime that is opened after a tracer provider was set traces its calls; any other pays nothing.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from actors.call import whole
from actors.steps import Waiting

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

    from actors.call import Call
    from actors.code import Body
    from actors.timers import TimerCall

_END = object()


def find_tracer() -> Tracer | None:
    """The program's, if it has set up a provider; nothing is imported to find out."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    provider = trace.get_tracer_provider()
    if isinstance(provider, (trace.ProxyTracerProvider, trace.NoOpTracerProvider)):
        return None
    tracer: Tracer = provider.get_tracer("facets")
    return tracer


def depart(call: Call | None) -> dict[str, str] | None:
    """The trace that the running code is part of, for a call to another process."""
    if find_tracer() is None:
        return None
    from opentelemetry import propagate, trace

    above = None
    if call is not None and not trace.get_current_span().get_span_context().is_valid:
        above = _inside.get(call)
    headers: dict[str, str] = {}
    propagate.inject(headers, context=above)
    return headers or None


@contextmanager
def arrived(headers: dict[str, str]) -> Iterator[None]:
    """Be part of the trace of another process, where this one keeps traces."""
    if find_tracer() is None:
        yield
        return
    from opentelemetry import propagate

    with _current(propagate.extract(headers)):
        yield


class Traced:
    """A body whose calls are spans, in place of the body itself.

    A span is called after the code and its method, lasts until the call is over, and knows the
    actor (`facets.actor`). It is the current one in the code of the call, and so the parent of
    what that calls, also through an isolate. What the call raises is recorded.
    """

    def __init__(self, body: Body, tracer: Tracer) -> None:
        self._body = body
        self._tracer = tracer
        self.contract = body.contract
        self.own_steps = body.own_steps

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)

    def call(self, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run the call in its span."""
        return self._in_span(call, partial(self._body.call, call, args, kwargs))

    def deliver(
        self,
        call: TimerCall,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        done: Callable[[], None],
    ) -> Any:
        """The same for what a timer calls."""
        return self._in_span(call, partial(self._body.deliver, call, args, kwargs, done))

    def _in_span(self, call: Call, begin: Callable[[], Any]) -> Any:
        span, context = self._start(call)
        try:
            with _current(context):
                result = begin()
        except BaseException as error:
            self._end(call, span, error)
            raise
        if type(result) is Waiting:
            return Waiting(self._until_over(call, span, result.rest))
        self._end(call, span)
        return result

    async def _until_over(self, call: Call, span: Span, rest: Awaitable[Any]) -> Any:
        try:
            result = await rest
        except BaseException as error:
            self._end(call, span, error)
            raise
        self._end(call, span)
        return result

    async def stream(
        self, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> AsyncGenerator[Any, None]:
        """One span for all items."""
        span, context = self._start(call)
        items = self._body.stream(call, args, kwargs)
        try:
            try:
                with _current(context):  # the code keeps what is current when it begins
                    item = await anext(items, _END)
                while item is not _END:
                    yield item
                    item = await anext(items, _END)
            finally:
                await items.aclose()
        except BaseException as error:
            self._end(call, span, None if isinstance(error, GeneratorExit) else error)
            raise
        self._end(call, span)

    def _start(self, call: Call) -> tuple[Span, Context]:
        from opentelemetry import trace

        above = None
        into = whole(call.parent)
        if into is not None and not trace.get_current_span().get_span_context().is_valid:
            above = _inside.get(into)  # an isolate's calls have no context of their own
        span = self._tracer.start_span(
            f"{self.contract.name}.{call.method}",
            context=above,
            attributes={"facets.actor": call.activation.id},
        )
        context = trace.set_span_in_context(span)
        if self.own_steps:
            _inside[call] = context
        return span, context

    def _end(self, call: Call, span: Span, error: BaseException | None = None) -> None:
        from opentelemetry.trace import Status, StatusCode

        _inside.pop(call, None)
        if error is not None:
            span.record_exception(error)
            span.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"))
        span.end()


_inside: dict[Call, Context] = {}
"""Calls into isolates that are under way."""


@contextmanager
def _current(context: Context) -> Iterator[None]:
    from opentelemetry.context import attach, detach

    token = attach(context)
    try:
        yield
    finally:
        detach(token)
