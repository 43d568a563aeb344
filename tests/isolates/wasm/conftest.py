"""Raw WebAssembly for tests, written as text and compiled the way a user's bytes are."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import wasmtime

from facets.isolates import Code, Limits
from facets.isolates.wasm.session import WasmSession
from tests.isolates.fake import Owner
from tests.isolates.intact import Host

Load = Callable[..., Awaitable[WasmSession]]


def assembled(text: str) -> bytes:
    return bytes(wasmtime.wat2wasm(text))


@pytest.fixture
def owner() -> Owner:
    return Owner()


@pytest.fixture
def opened() -> list[WasmSession]:
    """The sessions of the test, closed at its end."""
    return []


@pytest.fixture
async def load(owner: Owner, opened: list[WasmSession]) -> AsyncIterator[Load]:
    """`await load(text or bytes, target="", ...)` opens a session."""

    async def load(source: str | bytes, target: str = "", **options: Any) -> WasmSession:
        wasm = assembled(source) if isinstance(source, str) else source
        limits = Limits(**options.pop("limits", {}))
        session = await WasmSession.open(
            Code.of(wasm), target=target, actor=False, limits=limits, services=owner, **options
        )
        opened.append(session)
        return session

    yield load
    for session in opened:
        session.close()


@pytest.fixture
async def healthy(load: Load, opened: list[WasmSession]) -> AsyncIterator[None]:
    """After the test, the host is intact, nothing is left, and another module works."""
    host = Host()
    yield
    attacked = list(opened)
    session = await load(
        '(module (func (export "add") (param i32 i32) (result i32)'
        " (i32.add (local.get 0) (local.get 1))))"
    )
    assert await session.call("add", (1, 2)) == 3
    for one in attacked:
        one.close()
    await host.check(attacked)
