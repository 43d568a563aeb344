"""The planning page says what its figures lead to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.benchmarks.planning import (
    PAGE,
    Load,
    Measured,
    Prices,
    bounds,
    requests,
    snapshots,
    tables,
    write,
)


def test_the_page_has_the_tables_of_the_present_figures() -> None:
    page = PAGE.read_text()

    assert write(page, tables(Load(), Measured(), Prices())) == page


@pytest.mark.parametrize("hosts", [2, 4])
def test_more_hosts_leave_more_room_for_what_hosts_do(hosts: int) -> None:
    one = {b.what: b.used for b in bounds(Load(), Measured(), Prices())}
    more = {b.what: b.used for b in bounds(replace(Load(), hosts=hosts), Measured(), Prices())}

    for what in ("calls", "durable writes", "wakes"):
        assert more[what] == pytest.approx(one[what] / hosts)


def test_puts_of_commits_are_bounded_by_hosts_and_by_commits() -> None:
    load = Load()
    quiet = replace(load, calls=0.001)

    assert requests(load).commits == load.nodes * 1000 / load.put
    assert requests(quiet).commits == pytest.approx(quiet.actors * 0.001 * quiet.writes / 3600)


def test_few_actors_that_write_often_need_few_snapshots() -> None:
    busy = replace(Load(), actors=10_000, calls=20_000)

    assert snapshots(busy) < snapshots(Load()) / 10
