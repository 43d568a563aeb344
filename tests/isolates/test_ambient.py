"""Time and randomness of deterministic isolates."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facets.isolates.ambient import MILLISECOND, Seeded, seed_of


@given(st.lists(st.floats(0, 1e8), max_size=20))
def test_a_moment_that_was_reached_has_come_and_time_never_goes_back(moments: list[float]) -> None:
    ambient = Seeded(b"")
    for moment in moments:
        before = ambient.now
        ambient.reach(moment)
        assert ambient.now >= max(before, moment)
        assert ambient.now <= max(before, moment + 0.002)
        assert ambient.monotonic() == round(ambient.now * 1000) * MILLISECOND


@given(st.integers(0, 10**11))
def test_a_time_that_a_guest_was_told_is_the_same_when_it_is_replayed(milliseconds: int) -> None:
    first, second = Seeded(b""), Seeded(b"")
    first.reach(milliseconds / 1000)
    second.reach(float(repr(first.now)))

    assert first.now == second.now == milliseconds / 1000


@given(st.lists(st.integers(0, 300), max_size=10), st.binary(max_size=8))
def test_bytes_depend_on_the_seed_and_not_on_how_they_are_asked_for(
    counts: list[int], seed: bytes
) -> None:
    ambient, whole = Seeded(seed), Seeded(seed).random(sum(counts))

    assert b"".join([ambient.random(count) for count in counts]) == whole
    assert Seeded(seed).random(64) != Seeded(seed + b"x").random(64)


def test_a_number_a_text_and_bytes_are_different_seeds() -> None:
    assert len({seed_of(1), seed_of("1"), seed_of(b"1"), seed_of(-1)}) == 4
    for wrong in (None, 1.0, True):
        with pytest.raises(TypeError):
            seed_of(wrong)  # type: ignore[arg-type]
