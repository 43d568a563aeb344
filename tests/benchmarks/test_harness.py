"""What `facets bench` reports is what was measured, and what could not be is said."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.benchmarks import harness
from tests.benchmarks.harness import Figure, Lap, Skip, Subject, benchmark, run_all, table
from tests.benchmarks.peers import workerd


@pytest.fixture
def registered() -> Iterator[str]:
    """A group of benchmarks of the test's own."""
    yield "test"
    harness.BENCHMARKS[:] = [one for one in harness.BENCHMARKS if one[0] != "test"]


def shown(results: Any) -> str:
    console = Console(file=StringIO(), width=160)
    console.print(table(results))
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_work_that_timed_itself_is_believed_and_divided_by_its_count(registered: str) -> None:
    @benchmark("timed", registered)
    async def timed() -> AsyncIterator[Subject]:
        async def work() -> Lap:
            return Lap(600.0)

        async def reference() -> Lap:
            return Lap(1000.0)

        yield Subject(work, 3, reference, 10, "the other", rounds=4)

    (found,) = run_all(group=registered)
    assert isinstance(found, harness.Result)
    assert (found.median, found.reference, found.ratio) == (200.0, 100.0, 2.0)


def test_what_is_absent_is_skipped_with_its_reason_and_the_rest_runs(registered: str) -> None:
    @benchmark("absent", registered)
    async def absent() -> AsyncIterator[Subject]:
        raise Skip("there is no such peer")
        yield

    @benchmark("present", registered)
    async def present() -> AsyncIterator[Figure]:
        yield Figure([1.0, 2.0, 3.0], "MB")

    results = run_all(group=registered)
    assert [type(one).__name__ for one in results] == ["Skipped", "Result"]
    assert "there is no such peer" in shown(results)
    assert json.loads(json.dumps(results[0].as_dict()))["skipped"] == "there is no such peer"


def test_a_peer_is_skipped_where_nothing_could_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FACETS_WORKERD", raising=False)
    monkeypatch.setenv("FACETS_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Skip, match="no npm"):
        workerd.find()


def test_both_sides_of_a_peer_row_do_the_same_work() -> None:
    from tests.benchmarks.actors import WORK
    from tests.benchmarks.peers.rows import ROWS

    source = (workerd.HERE / "worker.js").read_text()
    for row in ROWS:
        works = {row.work, *(work for work, _, _ in row.prepare)}
        assert works <= set(WORK), row.title
        theirs = {row.peer_work or row.work, *(work for work, _, _ in row.prepare)}
        assert {work for work in theirs if f"  {work}(n) {{" not in source} == set(), row.title


def test_both_sides_of_a_row_of_agents_do_the_same_work() -> None:
    from tests.benchmarks.peers import agent_rows, sdk

    source = (sdk.HERE / "worker.js").read_text()
    for row in agent_rows.ROWS:
        assert hasattr(agent_rows.Lead, row.work), row.title
        assert f"  {row.theirs or row.work}(n) {{" in source.replace("async ", ""), row.title


def test_rungs_of_a_ladder_are_compared_with_the_first(registered: str) -> None:
    order: list[str] = []

    def lap(name: str, us: float) -> Any:
        async def work() -> Lap:
            order.append(name)
            return Lap(us)

        return work

    @benchmark("ladder", registered)
    async def ladder() -> AsyncIterator[harness.Ladder]:
        rungs = [
            harness.Rung("low", lap("low", 10.0), 5),
            harness.Rung("high", lap("high", 60), 10),
        ]
        yield harness.Ladder(rungs, rounds=3)

    low, high = run_all(group=registered)
    assert isinstance(low, harness.Result)
    assert isinstance(high, harness.Result)
    assert (low.name, low.median, low.ratio) == ("ladder: low", 2.0, 1.0)
    assert (high.name, high.median, high.ratio, high.against) == ("ladder: high", 6.0, 3.0, "low")
    assert order == ["low", "high"] * 4  # in turn, after one for warming up
