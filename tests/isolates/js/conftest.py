"""A guest of JavaScript, for what only that language promises."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.isolates.conformance.conftest import Guest
from tests.isolates.fake import Owner
from tests.isolates.intact import Host


@pytest.fixture
async def guest_js(owner: Owner) -> AsyncIterator[Guest]:
    made = Guest("javascript", owner, [])
    yield made
    for session in made.opened:
        session.close()


@pytest.fixture
async def healthy(guest_js: Guest) -> AsyncIterator[None]:
    """After the test, the host is intact, nothing is left, and another isolate works."""
    host = Host()
    yield
    attacked = list(guest_js.opened)
    session = await guest_js.open("export const main = (a, b) => a + b;", "main", actor=False)
    assert await session.call("", (1, 2)) == 3
    for one in attacked:
        one.close()
    await host.check(attacked)


@pytest.fixture
def run(guest_js: Guest) -> Any:
    """`await run("expression")` in a fresh isolate: what an async function made of it returns."""

    async def run(body: str, *args: Any, **options: Any) -> Any:
        session = await guest_js.open(
            "import * as facets from 'facets';\n"
            f"export async function main(...args) {{\n{body}\n}}",
            "main",
            actor=False,
            **options,
        )
        return await session.call("", args)

    return run
