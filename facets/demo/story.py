"""The demo's actors and its two acts.

Act one runs in a process of its own: a parent adopts the tool, calls it, aborts it, calls it
again, reports, and is killed with SIGKILL. Act two opens the same directory afterwards.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from facets import Actor, Limits, LocalRuntime

RPC_CALLS = 2000
NAME = "tool"


@dataclass(frozen=True)
class Job:
    """What to demonstrate: a tool's source and the call to make."""

    source: str
    cls: str
    method: str
    args: list[Any]


@dataclass
class Report:
    """What the first act saw; times in the unit that each name says."""

    results: list[Any] = field(default_factory=list)
    timings_ms: dict[str, float] = field(default_factory=dict)
    parent: str = ""
    facet: str = ""
    size: int = 0
    output: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


class Echo(Actor):
    """The smallest facet, to time a call."""

    async def echo(self, value: int) -> int:
        """The value again."""
        return value


class Lead(Actor, kind="facets.demo.Lead"):
    """The parent: it is handed the source of a tool and runs it as its facet."""

    async def adopt(self, source: str, cls: str, method: str, args: list[Any]) -> dict[str, Any]:
        """Load, start, call twice, abort, call again; a `Report`."""
        report = Report(parent=self.id)
        isolate = self.isolates.get(source, limits=Limits(wall=10.0))
        tool = self.facets.get(NAME, isolate.actor(cls))
        for timing in ("first_call", "warm_call"):
            await _timed(report, timing, tool, method, args)
        stat = self.facets.stat(NAME)
        report.timings_ms.update(stat.timings)
        report.facet, report.size, report.output = stat.id, stat.size, list(stat.output)
        self.facets.abort(NAME, "the demo wants to see the data survive")
        tool = self.facets.get(NAME, isolate.actor(cls))
        await _timed(report, "after_abort", tool, method, args)
        report.timings_ms["facet_rpc_us"] = await self._rpc_us()
        return report.as_dict()

    async def call(self, source: str, cls: str, method: str, args: list[Any]) -> Any:
        """One call of the tool."""
        tool = self.facets.get(NAME, self.isolates.get(source).actor(cls))
        return await getattr(tool, method)(*args)

    async def _rpc_us(self) -> float:
        echo = self.facets.get("echo", Echo)
        await echo.echo(0)
        started = time.perf_counter()
        for i in range(RPC_CALLS):
            await echo.echo(i)
        return (time.perf_counter() - started) / RPC_CALLS * 1e6


async def first_act(state: Path, job: Job) -> dict[str, Any]:
    """Open the directory, adopt the tool, report."""
    started = time.perf_counter()
    runtime = await LocalRuntime(state).open()
    opened = (time.perf_counter() - started) * 1e3
    lead = runtime.get(Lead, "demo")
    report = await lead.adopt(job.source, job.cls, job.method, job.args)
    report["timings_ms"]["open"] = opened
    return report


async def second_act(state: Path, job: Job) -> tuple[Any, float]:
    """Open what the killed process left and call once more; the result and the ms to recover."""
    started = time.perf_counter()
    async with LocalRuntime(state) as runtime:
        recovered = (time.perf_counter() - started) * 1e3
        lead = runtime.get(Lead, "demo")
        return await lead.call(job.source, job.cls, job.method, job.args), recovered


async def _timed(report: Report, name: str, tool: Any, method: str, args: list[Any]) -> None:
    started = time.perf_counter()
    report.results.append(await getattr(tool, method)(*args))
    report.timings_ms[name] = (time.perf_counter() - started) * 1e3


__all__ = ["Job", "Lead", "Report", "first_act", "second_act"]
