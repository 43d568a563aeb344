"""Deltas: each leads from either page to the other."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.history.delta import apply, delta
from storage.limits import PAGE_SIZE
from storage.pages import ZERO

seeds = st.one_of(st.none(), st.integers(0, 1 << 20))


def page(seed: int | None) -> bytes:
    return ZERO if seed is None else random.Random(seed).randbytes(PAGE_SIZE)


@given(seeds, seeds)
def test_a_delta_leads_from_either_page_to_the_other(one: int | None, other: int | None) -> None:
    old, new = page(one), page(other)
    difference = delta(old, new)
    assert apply(difference, new) == old
    assert apply(difference, old) == new


@given(st.lists(seeds, min_size=2, max_size=6))
def test_deltas_walk_back_through_all_images(chain: list[int | None]) -> None:
    images = [page(seed) for seed in chain]
    image = images[-1]
    for old, new in reversed(list(pairwise(images))):
        image = apply(delta(old, new), image)
        assert image == old


@pytest.mark.parametrize("changed", [1, 50, 200])
def test_a_delta_costs_about_what_has_changed(changed: int) -> None:
    old = bytearray(page(1))
    new = bytearray(old)
    new[1000 : 1000 + changed] = random.Random(2).randbytes(changed)
    assert len(delta(bytes(old), bytes(new))) <= changed + 40


def test_a_page_that_cannot_be_compressed_still_fits_its_length_field() -> None:
    assert PAGE_SIZE < len(delta(ZERO, page(3))) < PAGE_SIZE + 64
