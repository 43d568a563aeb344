"""`random` in an isolate: its own in each, the usual one for a seed, and cheap to start."""

from __future__ import annotations

import random

import pytest

from facets.isolates import Code, Limits, capi, image, loading, wasi
from facets.isolates.ambient import Ambient
from facets.isolates.instance import BOOT, Instance
from tests.isolates.conftest import Open


async def test_two_isolates_of_one_image_draw_different_numbers(start: Open) -> None:
    source = "import random\nasync def draw(): return [random.random(), random.getrandbits(64)]"
    drawn = [await (await start(source, "draw", actor=False)).call("") for _ in range(2)]
    first, second = drawn
    assert first[0] != second[0]
    assert first[1] != second[1]


async def test_what_is_seeded_with_none_again_starts_elsewhere(start: Open) -> None:
    source = """
        import random
        async def draw():
            found = set()
            for _ in range(3):
                random.seed()
                found.add(random.getrandbits(64))
            own = random.Random()
            own.seed(None)
            return len(found), own.getrandbits(64) in found
    """
    assert await (await start(source, "draw", actor=False)).call("") == (3, False)


async def test_a_seed_gives_the_numbers_that_it_gives_outside(start: Open) -> None:
    source = """
        import random
        async def draw(seed):
            random.seed(seed)
            return [random.random(), random.randrange(1000), random.choice("abcdef")]
    """
    session = await start(source, "draw", actor=False)
    for seed in (7, 2**200, "seven", b"7"):
        outside = random.Random(seed)
        expected = [outside.random(), outside.randrange(1000), outside.choice("abcdef")]
        assert await session.call("", (seed,)) == expected


def test_a_load_asks_the_host_for_thirty_two_random_bytes(
    monkeypatch: pytest.MonkeyPatch, guest: image.Image
) -> None:
    asked: list[int] = []

    @wasi._function
    def few(ambient: Ambient, arguments: int, result: int) -> None:
        asked.append(capi.u64_at(arguments + capi.OF).value)
        wasi.put_bytes(result, ambient.random(asked[-1]))

    monkeypatch.setitem(wasi._TABLE, ("random", "get-random-bytes"), few)
    listening = image.Image(guest.engine, guest.component, guest.identity, guest.smallest)
    instance = Instance(listening, Limits().memory, 1 << 20)
    try:
        code = Code.of("async def main(): pass")
        instance.begin(BOOT, loading.order(code, "main", False, None, None, {}, 1 << 20))
        while not instance.poll():
            pass
        assert instance.take().startswith(b'["ready"')
    finally:
        instance.close()
    assert asked == [32]
