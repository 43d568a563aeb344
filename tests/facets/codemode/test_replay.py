"""Whatever runs side by side, whoever approves it when, and whether the process dies meanwhile."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from facets.codemode import CodeMode
from facets.testing import MemoryRuntime
from tests.facets.codemode.conftest import WORLD, run

CALLS = st.sampled_from(
    [
        ("numbers.double({n})", "double"),
        ("numbers.slowly({n})", "slowly"),
        ("bank.pay('w', {n})", "pay"),
        ("bank.pay('w', {n} + 100)", "pay"),
        ("notes.note('n{n}')", "note"),
        ("snippets.pays({n} + 98)", "pay"),
    ]
)
GROUPS = st.lists(st.lists(st.tuples(CALLS, st.integers(0, 3)), min_size=1, max_size=4), max_size=3)


def written(groups: list[Any], language: str) -> str:
    """Groups of calls that run side by side, each with a random number that must be the same."""
    begin, chance, several, end = WORDS[language]
    lines = [begin]
    for group in groups:
        calls = ", ".join(text.format(n=n) for (text, _), n in group)
        lines += [f"await numbers.double({chance})", several.format(calls)]
    return "\n".join([*lines, end])


WORDS = {
    "python": (
        "import asyncio, random\ntold = []", "random.randrange(1000)",
        "told += await asyncio.gather({})", "len(told)",
    ),
    "typescript": (
        "const told: unknown[] = []", "Math.floor(Math.random() * 1000)",
        "told.push(...await Promise.all([{}]))", "told.length",
    ),
}  # fmt: skip


@settings(max_examples=16, deadline=None)
@given(
    language=st.sampled_from(["python", "typescript"]),
    groups=GROUPS,
    picks=st.lists(st.integers(0, 99), min_size=4, max_size=4),
    dies=st.booleans(),
)
async def test_every_call_has_one_effect_in_whatever_order_calls_end_and_are_approved(
    language: Any, groups: list[Any], picks: list[int], dies: bool
) -> None:
    WORLD.__init__()  # type: ignore[misc]

    async def begin(code: CodeMode) -> Any:
        await code.save("pays", "return await bank.pay('w', input)")
        return await code.execute(written(groups, language), language=language)

    async def approve(code: CodeMode) -> Any:
        waits = code.pending()
        return await code.approve(waits[picks[len(waits) % 4] % len(waits)].id)

    async def notes(code: CodeMode) -> Any:
        return await code._actor.notes()  # type: ignore[attr-defined]

    async with MemoryRuntime() as runtime:
        done = await run(runtime, begin)
        while done.status == "paused":
            if dies:
                await runtime.crash()
            done = await run(runtime, approve)
        kept = await run(runtime, notes)
    calls = [kind for group in groups for (_, kind), _ in group]
    assert (done.error, done.result) == ("", len(calls))
    did = [one[0] for one in WORLD.did]
    assert did.count("double") == calls.count("double") + len(groups)
    assert did.count("slowly") == calls.count("slowly")
    assert did.count("pay") == calls.count("pay")
    assert len(kept) == calls.count("note")
