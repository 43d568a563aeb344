"""What a cluster of many nodes would need, computed from figures that were measured on one.

    python -m tests.benchmarks.planning              the tables of docs/planning.md
    python -m tests.benchmarks.planning --write      put them into that page

`MEASURED` holds the figures, each with the benchmark that gives it: run those anew, put in what
they say, and write the page again. `LOAD` is the question, `PRICES` a provider's list. Nothing is
measured here.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "planning.md"
HOUR, MONTH = 3600.0, 730 * 3600.0
BUCKETS = 4096


@dataclass(frozen=True)
class Measured:
    """Of one host, on two cores that it shared with its callers and with much else: low figures."""

    calls: float = 8_000
    """remote calls a second (`Ray: call, 256 at once`)"""
    writes: float = 1_300
    """durable writes a second (`Ray: durable write, 128 at once`)"""
    create: float = 2.6
    """ms of a new actor with 10 facets, 10,000 of them (`tests.benchmarks.cluster_population`)"""
    awake: float = 4.1
    """KB of an awake actor or facet (`Ray: memory of an awake actor with 10 facets`, / 11)"""
    host: float = 71
    """MB of a host without actors, its own (`tests.benchmarks.cluster_population`)"""
    wake: float = 0.35
    """ms of waking an actor that sleeps (`facets bench`: reopen a sleeping facet)"""
    failover: float = 2.0
    """s from a host's death to the first answer (`Ray: first answer after the host was killed`)"""
    restore: float = 35
    """ms for each MB of a lost disk, S3 on loopback (`Ray: a lost disk from S3`)"""


@dataclass(frozen=True)
class Load:
    """What is asked of the cluster."""

    nodes: int = 100
    hosts: int = 1
    """on each node (`hosts="per-node"`)"""
    memory: float = 32
    """GiB of each node that hosts may use"""
    actors: int = 10_000_000
    facets: int = 10
    """of each actor"""
    size: float = 40
    """KB of an actor with its facets"""
    calls: float = 20
    """remote calls of an actor in an hour"""
    writes: float = 0.5
    """commits of a call, those of facets included"""
    record: float = 1.2
    """KB of a commit in the journal and the replica"""
    awake: float = 0.02
    """part of the actors that are awake at a moment"""
    callers: int = 200
    """processes that call"""
    put: float = 25
    """ms of a put in the object store; a host has one under way"""


@dataclass(frozen=True)
class Prices:
    """US dollars, as large providers list them."""

    put: float = 5e-6
    get: float = 4e-7
    gib_month: float = 0.023
    puts_second: float = 3_500
    """that a store takes under one prefix"""


HEARTBEAT = 10 / 3
"""Seconds between two renewals of a host's lease."""
COMPACT = 64.0
"""MB of a host's log that snapshots replace."""
NAMED = 20.0
"""Bytes of a database in the manifest of a replica, which names all of them."""


@dataclass(frozen=True)
class Bound:
    """Something that there is only so much of."""

    what: str
    need: float
    room: float
    unit: str
    moves: str
    """What would move the bound."""

    @property
    def used(self) -> float:
        """The part that is needed."""
        return self.need / self.room


def bounds(load: Load, measured: Measured, prices: Prices) -> list[Bound]:
    """The fullest first."""
    hosts = load.nodes * load.hosts
    calls = load.actors * load.calls / HOUR
    lives = load.actors * load.awake * (1 + load.facets)
    memory = lives * measured.awake / 2**20 + hosts * measured.host / 2**10
    wakes = calls * (1 - load.awake) * measured.wake / 1e3
    found = [
        Bound("calls", calls, hosts * measured.calls, "a second", "hosts"),
        Bound("durable writes", calls * load.writes, hosts * measured.writes, "a second", "hosts"),
        Bound("wakes", wakes, hosts * 0.3, "cores", "a longer `idle`, hosts"),
        Bound("memory", memory, load.nodes * load.memory, "GiB", "a shorter `idle`, nodes"),
        Bound(
            "rows of a host's catalogue",
            load.actors * (1 + load.facets) / hosts,
            10e6,
            "rows",
            "hosts",
        ),
        Bound(
            "directory versions when all hosts start",
            hosts**2 / 2,
            prices.puts_second * 60,
            "attempts in a minute",
            "a pause between attempts; one version for all hosts that start together",
        ),
        Bound(
            "long polls of a host",
            load.callers + hosts,
            100_000,
            "requests",
            "a gateway for callers",
        ),
        Bound(
            "snapshots of a host's replica",
            snapshots(load) / hosts,
            1e3 / load.put,
            "puts a second",
            "many databases in one put; several puts at a time; hosts",
        ),
        Bound(
            "manifest of a host's replica",
            load.actors * (1 + load.facets) / hosts * NAMED / 1e6,
            256.0,
            "MB",
            "manifests in parts; hosts",
        ),
    ]
    return sorted(found, key=lambda one: -one.used)


@dataclass(frozen=True)
class Requests:
    """Of the object store, a second, all hosts together."""

    commits: float
    heartbeats: float
    snapshots: float

    @property
    def puts(self) -> float:
        """All of them."""
        return self.commits + self.heartbeats + self.snapshots


def requests(load: Load, linger: float = 0.0, packed: float = 1.0) -> Requests:
    """Puts of replicas, if an upload waits `linger` ms for more commits before it leaves, and so
    many databases make one snapshot."""
    hosts = load.nodes * load.hosts
    commits = load.actors * load.calls * load.writes / HOUR
    slots = min(commits, hosts * 1e3 / (load.put + linger))
    return Requests(slots, hosts / HEARTBEAT, snapshots(load) / packed)


def snapshots(load: Load) -> float:
    """Databases a second that change between two compactions, all hosts together: each is a put."""
    hosts = load.nodes * load.hosts
    each = load.actors * (1 + load.facets) / hosts
    commits = COMPACT * 1e3 / load.record
    changed = each * (1 - math.exp(-commits / each))
    return load.actors * load.calls * load.writes / HOUR * changed / commits


def month(load: Load, prices: Prices, linger: float = 0.0, packed: float = 1.0) -> float:
    """Dollars of the object store."""
    held = load.actors * load.size / 2**20 * prices.gib_month
    return requests(load, linger, packed).puts * MONTH * prices.put + held


def recovery(load: Load, measured: Measured) -> list[tuple[str, float]]:
    """Seconds until all is as it was."""
    share = load.actors * load.size / 1e3 / (load.nodes * load.hosts)
    return [
        ("a host dies, its disk is there", measured.failover),
        ("a node and its disk are lost, replicated", share * measured.restore / 1e3),
        (
            "all actors are created anew",
            load.actors * measured.create / 1e3 / load.nodes / load.hosts,
        ),
    ]


# -- the page ---------------------------------------------------------------------------------


def tables(load: Load, measured: Measured, prices: Prices) -> str:
    """Everything that is computed, as Markdown."""
    full = bounds(load, measured, prices)
    ways = [
        ("as it is", 0.0, 1.0),
        ("1,000 databases in a snapshot", 0.0, 1000.0),
        ("and uploads wait 100 ms", 100.0, 1000.0),
        ("and uploads wait 250 ms", 250.0, 1000.0),
    ]
    sizes = [
        replace(load, nodes=nodes, actors=actors)
        for nodes, actors in (
            (1, 100_000),
            (10, 1_000_000),
            (load.nodes, load.actors),
            (400, 10**8),
        )
    ]
    parts = [
        "### What was measured",
        _table(("figure", "value"), [(_said(Measured, n), v) for n, v in vars(measured).items()]),
        "### What is asked",
        _table(("", "value"), [(_said(Load, n), v) for n, v in vars(load).items()]),
        "### How full everything is",
        _table(
            ("what", "needed", "there is", "used", "moved by"),
            [
                (
                    one.what,
                    f"{_number(one.need)} {one.unit}",
                    one.room,
                    f"{one.used:.1%}",
                    one.moves,
                )
                for one in full
            ],
        ),
        "### Requests and dollars of the object store",
        _table(
            ("how", "commits", "snapshots", "heartbeats", "puts a second", "dollars a month"),
            [_way(load, prices, *way) for way in ways],
        ),
        "### Until all is as it was",
        _table(("when", "seconds"), recovery(load, measured)),
        "### Other sizes",
        _table(
            ("nodes", "actors", "fullest", "used", "store, dollars a month"),
            [_size(one, measured, prices) for one in sizes],
        ),
    ]
    return "\n\n".join(parts)


def _way(load: Load, prices: Prices, said: str, linger: float, packed: float) -> tuple[object, ...]:
    made = requests(load, linger, packed)
    dollars = month(load, prices, linger, packed)
    return said, made.commits, made.snapshots, made.heartbeats, made.puts, dollars


def _size(load: Load, measured: Measured, prices: Prices) -> tuple[object, ...]:
    first = bounds(load, measured, prices)[0]
    return load.nodes, load.actors, first.what, f"{first.used:.1%}", month(load, prices)


def _said(kind: type, name: str) -> str:
    """A field with the text below it."""
    source = Path(__file__).read_text()
    body = source[source.index(f"class {kind.__name__}:") :]
    found = re.search(rf'    {name}: .*\n    """(.*?)"""', body)
    return name if found is None or _between(body, found.start()) else f"{name}: {found[1]}"


def _between(body: str, position: int) -> bool:
    return "\nclass " in body[:position]


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *[[_number(cell) for cell in row] for row in rows]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _number(value: object) -> str:
    if isinstance(value, int | float):
        return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.2g}"
    return str(value)


def write(page: str, computed: str) -> str:
    """The page with what is computed in its place."""
    begin, end = "<!-- computed -->", "<!-- end -->"
    before, rest = page.split(begin)
    return f"{before}{begin}\n\n{computed}\n\n{end}{rest.split(end)[1]}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true")
    computed = tables(Load(), Measured(), Prices())
    if parser.parse_args().write:
        PAGE.write_text(write(PAGE.read_text(), computed))
    else:
        print(computed)
