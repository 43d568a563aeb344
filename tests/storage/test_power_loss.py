"""After a power loss every database is at one prefix of history that holds what was acknowledged.

FACETS_TORTURE_ROUNDS says how many directories are lived through; each sees about three
processes at work and two that die while they recover.
"""

from __future__ import annotations

import os
import shutil
from functools import cache
from pathlib import Path

import pytest

from storage.catalogue import first_image
from storage.testing.rules import BROKEN_RULES
from tests.storage.power_model import (
    Pace,
    amid_a_write,
    in_the_databases,
    in_the_journal,
    live,
)

ROUNDS = int(os.environ.get("FACETS_TORTURE_ROUNDS", "40"))
TAILS = Pace(
    death=1.0, deaths=(amid_a_write,), spared=1.0,
    recovery=0.8, recoveries=(in_the_databases,), clean=0.8, acts=25,
)  # fmt: skip
"""Processes that die amid a write of the journal, and the next ones amid their overlay."""
SEGMENTS = Pace(death=1.0, deaths=(in_the_journal,), spared=0.2)
"""Processes that die at a write of the journal, mostly with the machine."""
PACES = {
    "files_are_overlaid_before_the_kept_tail_is_durable": TAILS,
    "a_new_segment_counts_before_it_holds_what_it_replaces": SEGMENTS,
    "a_segment_begins_before_the_one_before_is_durable": SEGMENTS,
}
"""For rules that a default pace would seldom need."""
FIRST = {
    "files_are_overlaid_before_the_kept_tail_is_durable": 115,
    "segments_are_released_before_their_databases_are_synced": 120,
}
"""Seeds to begin with, for rules that about one life in a hundred needs."""
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(autouse=True)
def _small_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments and -wal files that fill up after a few commits."""
    monkeypatch.setattr("storage.segment.STEP", 1 << 15)
    monkeypatch.setattr("storage.checkpoint.MAX_FRAMES", 8)
    monkeypatch.setattr("storage.format.first_image", cache(first_image))


def test_power_losses_lose_nothing_acknowledged_and_leave_a_prefix(memory: Path) -> None:
    for seed in range(ROUNDS):
        live(memory / str(seed), seed)
        shutil.rmtree(memory / str(seed))


@pytest.mark.parametrize("pace", [TAILS, SEGMENTS], ids=["tails", "segments"])
def test_deaths_amid_writes_of_the_journal_and_of_its_recovery_do_neither(
    memory: Path, pace: Pace
) -> None:
    for seed in range(ROUNDS // 4):
        live(memory / str(seed), seed, pace)
        shutil.rmtree(memory / str(seed))


@pytest.mark.parametrize("rule", BROKEN_RULES)
def test_without_one_of_its_rules_storage_is_found_wanting(memory: Path, rule: str) -> None:
    with BROKEN_RULES[rule]():
        for seed in range(FIRST.get(rule, 0), FIRST.get(rule, 0) + 300):
            try:
                live(memory / str(seed), seed, PACES.get(rule, Pace()))
            except Exception:
                return
            shutil.rmtree(memory / str(seed))
    pytest.fail("the model cannot tell that this rule is off")
