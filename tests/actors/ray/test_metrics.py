"""What hosts tell Ray's metrics, and what they log."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import facets
from actors.ray.metrics import LEVELS, REPLICA, SPANS, SUMS, Metrics
from actors.ray.runtime import RayRuntime
from facets import Actor


class Counter(Actor):
    async def add(self, n: int) -> None:
        self.kv["n"] = n
        logging.getLogger("shop").info("added %d", n)

    async def add_there(self, other: Any) -> None:
        logging.getLogger("shop").info("passing it on")
        await other.add(7)

    async def fail(self) -> None:
        raise ValueError("as asked")


class Told:
    """In the place of Ray's instruments: what was told, by name."""

    values: dict[str, float] = {}

    def __init__(self, name: str, what: str, *rest: Any) -> None:
        assert what
        self.name = name
        self.tag_keys = rest[-1]

    def set_default_tags(self, tags: dict[str, str]) -> Told:
        assert tuple(tags) == self.tag_keys
        return self

    def set(self, value: float) -> None:
        Told.values[self.name] = value

    def inc(self, value: float) -> None:
        assert value > 0, "as Ray demands"
        Told.values[self.name] = Told.values.get(self.name, 0) + value

    observe = inc


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    import ray.util.metrics

    for name in ("Counter", "Gauge", "Histogram"):
        monkeypatch.setattr(ray.util.metrics, name, Told)
    Told.values = {}
    return Told.values


async def test_counters_rise_by_what_happened_since_they_were_told_last(
    told: dict[str, float], tmp_path: Path
) -> None:
    replica = f"file://{tmp_path}/replica"
    async with facets.LocalRuntime(tmp_path / "state", replica=replica) as runtime:
        teller = Metrics(runtime.host, "runtime", "host-0")
        for _ in range(3):
            await runtime.get(Counter, "one").add(1)
        teller.tell()
        first, rising = dict(told), {f"facets_{one}" for one in SUMS} & set(told)
        teller.tell()
        assert {one: told[one] for one in rising} == {one: first[one] for one in rising}
        with pytest.raises(ValueError, match="as asked"):
            await runtime.get(Counter, "one").fail()
        teller.tell()

    assert first["facets_turns"] == 3
    assert "facets_errors" not in first
    assert told["facets_errors"] == 1
    assert told["facets_turns"] == 4
    assert told["facets_awake"] == 1
    assert told["facets_replica_held"] == 1
    assert told["facets_sync_seconds"] > 0
    sums = {f"facets_{one}" for one in SUMS} - {"facets_timers_delivered", "facets_timers_failed"}
    levels = {f"facets_{one}" for one in (*LEVELS, *REPLICA)}
    spans = {f"facets_{one}_seconds" for one in SPANS} - {"facets_timer_delay_seconds"}
    assert set(told) == sums | levels | spans


def test_the_runbook_explains_every_metric() -> None:
    book = (Path(__file__).parents[3] / "docs" / "runbook.md").read_text()
    names = {*SUMS, *LEVELS, *REPLICA} | {f"{one}_seconds" for one in SPANS}

    assert {one for one in names if f"`facets_{one}`" not in book} == set()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Where a Ray of its own serves metrics."""
    import ray

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ray.init(
        "local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        namespace="facets",
        _metrics_export_port=port,
    )
    yield port
    ray.shutdown()


async def test_a_host_logs_json_lines_with_the_actor_and_one_id_for_each_call(
    port: int, tmp_path: Path
) -> None:
    async with RayRuntime(tmp_path / "state") as runtime:
        for n in range(2):
            await runtime.get(Counter, "one").add(n)
        await runtime.down()

    said = logged()
    shop = [one for one in said if one["logger"] == "shop"]
    assert [(one["actor"], one["message"]) for one in shop] == [
        ("Counter:one", "added 0"),
        ("Counter:one", "added 1"),
    ]
    assert len({one["call"] for one in shop}) == 2
    assert {one["host"] for one in said} == {"host-0"}
    assert [one["message"] for one in said if one["logger"] == "facets.host"] == [
        "the state is open",
        "the state is closed",
    ]


async def test_a_call_that_failed_is_logged_for_those_who_ask_for_it(
    port: int, tmp_path: Path
) -> None:
    for level in ("INFO", "DEBUG"):
        async with RayRuntime(tmp_path / level, log=level) as runtime:
            with pytest.raises(ValueError, match="as asked"):
                await runtime.get(Counter, level).fail()
            await runtime.down()

    (failed,) = [one for one in logged() if one["message"] == "a call failed"]
    assert failed["target"] == "Counter:DEBUG"
    assert failed["called"] == "fail"
    assert failed["raised"] == "ValueError('as asked')"
    assert "call" in failed


async def test_a_call_that_goes_on_to_another_host_keeps_its_id_in_the_logs(
    port: int, tmp_path: Path
) -> None:
    async with RayRuntime(tmp_path / "state", hosts=2) as runtime:
        one, other = apart(runtime)
        await one.add_there(other)
        await runtime.down()

    (shop,) = [one for one in logged() if one["logger"] == "shop" and one["message"] == "added 7"]
    told = [one for one in logged() if one["message"] == "passing it on"]
    assert told[0]["host"] != shop["host"]
    assert told[0]["call"] == shop["call"]


def apart(runtime: RayRuntime) -> tuple[Any, Any]:
    """Stubs of two actors of two hosts."""
    directory = runtime._open().directory
    names = [f"actor {n}" for n in range(20)]
    first = directory.owner("Counter", names[0])
    other = next(name for name in names if directory.owner("Counter", name) != first)
    return runtime.get(Counter, names[0]), runtime.get(Counter, other)


@pytest.mark.skipif(find_spec("prometheus_client") is None, reason='needs "ray[default]"')
async def test_prometheus_reads_them_from_the_port_of_the_node(port: int, tmp_path: Path) -> None:
    async with RayRuntime(tmp_path / "state") as runtime:
        await runtime.get(Counter, "one").add(1)
        found: dict[str, float] = {}
        while found.get("facets_turns_total", 0) < 1:
            found = await asyncio.to_thread(scrape, port)
        await runtime.down()

    assert found["facets_awake"] == 1
    assert found["facets_actors"] == 1


def logged() -> list[dict[str, Any]]:
    """What hosts of this test's Ray logged."""
    import ray._private.worker

    logs = Path(ray._private.worker._global_node.get_logs_dir_path())
    lines = [line for file in logs.glob("worker-*.err") for line in file.read_text().splitlines()]
    return [json.loads(line) for line in lines if line.startswith("{")]


def scrape(port: int) -> dict[str, float]:
    """Ours, without Ray's prefix and the tags."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found = re.findall(r"^ray_(facets_\w+)\{[^}]*\} (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in found}
