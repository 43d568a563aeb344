"""Instances made ahead of use: nobody's before they are taken, and as good as new ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from facets.isolates import image, pool, workers
from facets.isolates.errors import GuestError, IsolateError
from facets.isolates.instance import Instance
from facets.isolates.pool import Pool, rehearsed
from tests.isolates.conftest import Open


def fill(stock: Pool) -> None:
    """As if nobody had asked for a while."""
    stock._asked = -1.0
    stock._quiet()


LIMITS = (64 << 20, 1 << 20)


@pytest.fixture
def stock(guest: image.Image, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pool]:
    """A pool that works at once, where it is called, and sessions that take from it."""
    monkeypatch.setattr(workers, "submit", lambda job: job() is None)
    monkeypatch.setattr(guest, "pool", made := Pool(guest))
    yield made
    made.drain()


async def test_nothing_is_made_before_somebody_asks(stock: Pool) -> None:
    fill(stock)
    assert stock.ready == 0


async def test_each_instance_is_given_out_once(stock: Pool) -> None:
    taken = []
    for _ in range(3):
        taken.append(stock.take(*LIMITS))
        fill(stock)
    try:
        assert stock.ready == 1
        assert len({one._number for one in taken}) == 3
    finally:
        for one in taken:
            one.close()


async def test_requests_in_vain_make_it_keep_more_up_to_a_cap(
    stock: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "MOST", 3)
    kept = []
    for _ in range(3):
        stock.take(*LIMITS).close()
        kept.append(stock._wanted)
    fill(stock)
    assert kept == [1, 2, 3]
    assert stock.ready == 3


async def test_nothing_is_made_while_requests_come(stock: Pool) -> None:
    stock.take(*LIMITS).close()
    stock._quiet()
    stock._fill()
    assert stock.ready == 0
    fill(stock)
    assert stock.ready == 1


async def test_a_quiet_time_empties_it(stock: Pool) -> None:
    stock.take(*LIMITS).close()
    fill(stock)
    stock._sweep()
    assert stock.ready == 1, "there was demand since the last sweep"
    stock._sweep()
    assert stock.ready == 0


async def test_limits_are_those_of_the_request(stock: Pool, start: Open) -> None:
    source = "async def hold(n): return len(bytearray(n << 20))"
    for memory, fits in ((64, False), (256, True)):
        (await start(source, "hold", actor=False)).close()
        fill(stock)
        assert stock.ready
        session = await start(source, "hold", actor=False, limits={"memory": memory << 20})
        if fits:
            assert await session.call("", (100,)) == 100 << 20
        else:
            with pytest.raises(MemoryError):
                await session.call("", (100,))


async def test_the_rehearsal_leaves_nothing_to_be_seen(stock: Pool, start: Open) -> None:
    source = """
        import gc, linecache, sys
        from facets import Actor
        async def look():
            return [sorted(sys.modules), sorted(linecache.cache), len(sys.meta_path),
                    [cls.__module__ for cls in Actor.__subclasses__()]]
    """
    fresh = await (await start(source, "look", actor=False)).call("")
    fill(stock)
    assert stock.ready
    assert await (await start(source, "look", actor=False)).call("") == fresh


async def test_no_two_draw_the_same_random_numbers(stock: Pool, start: Open) -> None:
    source = """
        import random, uuid
        async def draw(): return [random.random(), str(uuid.uuid4())]
    """
    drawn: list[Any] = []
    for _ in range(3):
        drawn += await (await start(source, "draw", actor=False)).call("")
        fill(stock)
    assert len(set(drawn)) == 6


async def test_a_guest_that_fails_its_rehearsal_is_not_kept(
    stock: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Instance, "take", lambda _: b'["err"]')
    with pytest.raises(IsolateError, match="rehearsal"):
        rehearsed(stock._image)
    stock.take(*LIMITS).close()
    with pytest.raises(IsolateError):
        fill(stock)
    assert stock.ready == 0
    assert not stock._making


async def test_an_exception_from_a_pooled_instance_shows_the_tools_lines(
    stock: Pool, start: Open
) -> None:
    source = "async def bad():\n    raise ValueError('no')\n"
    (await start(source, "bad", actor=False)).close()
    fill(stock)
    with pytest.raises(GuestError) as caught:
        await (await start(source, "bad", actor=False)).call("")
    assert "raise ValueError('no')" in caught.value.traceback
