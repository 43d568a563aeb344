"""Measuring: medians with spread, and ratios to a reference timed in the same rounds.

A benchmark is an async generator function that prepares, yields one `Subject` (what to time
and what to compare it with), and cleans up. Subject and reference take turns, so that a
machine that slows down slows both; the ratio is the median of the rounds' ratios.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from rich.table import Table

Work = Callable[[], Awaitable[object]]
Benchmark = Callable[[], AsyncIterator[Any]]
OWN, PEERS, RAY = "own", "peers", "ray"
"""Groups of benchmarks: ours alone, ours beside what others offer, and on a Ray cluster."""
BENCHMARKS: list[tuple[str, str, Benchmark]] = []


class Lap(NamedTuple):
    """Returned by work that timed itself, where the way to it is not what is measured."""

    us: float


class Skip(Exception):
    """What a benchmark needs is not there; the text says what."""


@dataclass
class Subject:
    """What to time. One call of `work` does `count` units, one of `reference` `reference_count`."""

    work: Work
    count: int = 1
    reference: Work | None = None
    reference_count: int = 1
    against: str = ""
    rounds: int = 15


@dataclass(frozen=True)
class Result:
    """Microseconds a unit, or another unit if the name says so."""

    name: str
    median: float
    low: float
    """First quartile."""
    high: float
    """Third quartile."""
    unit: str = "us"
    reference: float | None = None
    against: str = ""
    ratio: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Skipped:
    """A benchmark that could not run here."""

    name: str
    skipped: str
    """Why."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass
class Figure:
    """A subject that measured itself: samples in a unit of its own."""

    samples: list[float]
    unit: str
    reference: float | None = None
    against: str = ""


@dataclass(frozen=True)
class Rung:
    """One subject of several: one call of `work` does `count` units."""

    name: str
    work: Work
    count: int


@dataclass
class Ladder:
    """Several subjects, timed in turn in the same rounds, and compared with the first."""

    rungs: Sequence[Rung]
    rounds: int = 15


def benchmark(name: str, group: str = OWN) -> Callable[[Benchmark], Benchmark]:
    """Register a benchmark under the name that the table shows."""

    def register(function: Benchmark) -> Benchmark:
        BENCHMARKS.append((group, name, function))
        return function

    return register


def run_all(
    only: str = "", group: str = OWN, started: Callable[[str], object] = str
) -> list[Result | Skipped]:
    """Run the benchmarks of this group whose name contains `only`, one after the other.

    `started` hears the name of each as it begins.
    """
    from tests.benchmarks import (  # noqa: F401
        agents,
        cluster,
        cluster_failures,
        cluster_population,
        cluster_values,
        growth,
        isolates,
        ladder,
        live,
        memory,
        rpc,
        storage,
        timers,
        trees,
    )
    from tests.benchmarks.peers import agent_rows, others, rows  # noqa: F401 - all of these register

    results: list[Result | Skipped] = []
    for its, name, made in BENCHMARKS:
        if its == group and only in name:
            results += asyncio.run(_run(name, made, started))
    return results


async def _run(
    name: str, made: Benchmark, started: Callable[[str], object]
) -> Sequence[Result | Skipped]:
    started(name)
    try:
        async with aclosing(made()) as benchmark:  # type: ignore[type-var]
            async for subject in benchmark:
                if isinstance(subject, Ladder):
                    return await _climb(name, subject)
                if isinstance(subject, Figure):
                    return [_figure(name, subject)]
                return [await _measure(name, subject)]
    except Skip as reason:
        return [Skipped(name, str(reason))]
    raise RuntimeError(f"{name} yielded nothing")


async def _measure(name: str, subject: Subject) -> Result:
    await subject.work()
    times: list[float] = []
    references: list[float] = []
    gc.collect()
    gc.disable()
    try:
        for _ in range(subject.rounds):
            if subject.reference is not None:
                references.append(await _time(subject.reference) / subject.reference_count)
            times.append(await _time(subject.work) / subject.count)
            gc.collect(0)
    finally:
        gc.enable()
    low, median, high = statistics.quantiles(times, n=4)
    if not references:
        return Result(name, median, low, high)
    ratio = statistics.median([a / b for a, b in zip(times, references, strict=True)])
    return Result(
        name, median, low, high, "us", statistics.median(references), subject.against, ratio
    )


async def _climb(name: str, ladder: Ladder) -> list[Result]:
    times: dict[str, list[float]] = {rung.name: [] for rung in ladder.rungs}
    for rung in ladder.rungs:
        await rung.work()
    gc.collect()
    gc.disable()
    try:
        for _ in range(ladder.rounds):
            for rung in ladder.rungs:
                times[rung.name].append(await _time(rung.work) / rung.count)
            gc.collect(0)
    finally:
        gc.enable()
    first = ladder.rungs[0].name
    return [_rung(f"{name}: {rung}", its, first, times[first]) for rung, its in times.items()]


def _rung(name: str, times: list[float], first: str, base: list[float]) -> Result:
    low, median, high = statistics.quantiles(times, n=4)
    ratio = statistics.median([a / b for a, b in zip(times, base, strict=True)])
    return Result(name, median, low, high, "us", statistics.median(base), first, ratio)


def _figure(name: str, figure: Figure) -> Result:
    low, median, high = statistics.quantiles(figure.samples, n=4)
    ratio = median / figure.reference if figure.reference else None
    return Result(name, median, low, high, figure.unit, figure.reference, figure.against, ratio)


async def _time(work: Work) -> float:
    started = time.perf_counter()
    done = await work()
    return done.us if isinstance(done, Lap) else (time.perf_counter() - started) * 1e6


def table(results: Sequence[Result | Skipped]) -> Table:
    """The table that `facets bench` prints."""
    made = Table(title="medians, quartiles and ratios of this run")
    for column in ("what", "median", "quartiles", "reference", "ratio"):
        made.add_column(column, justify="left" if column in {"what", "reference"} else "right")
    for one in results:
        if isinstance(one, Skipped):
            made.add_row(one.name, "skipped", "", one.skipped, "")
            continue
        made.add_row(
            one.name,
            f"{_short(one.median)} {one.unit}",
            f"{_short(one.low)} .. {_short(one.high)}",
            "" if one.reference is None else f"{one.against} {_short(one.reference)} {one.unit}",
            "" if one.ratio is None else f"{one.ratio:.2f}",
        )
    return made


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
