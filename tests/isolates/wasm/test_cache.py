"""Native code of raw WebAssembly: compiled once, checked before each use, swept."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
import wasmtime

from facets.isolates import native, sweeping
from facets.isolates.errors import LoadError
from facets.isolates.wasm import compiling, modules
from tests.isolates.wasm.conftest import Load, assembled

ONE = '(module (func (export "f") (result i32) (i32.const 1)))'
TWO = '(module (func (export "f") (result i32) (i32.const 2)))'


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The size of everything that is compiled; the process forgets what it had ready."""
    seen: list[int] = []
    compile_ = compiling._compile
    monkeypatch.setattr(
        compiling, "_compile", lambda wasm: seen.append(len(wasm)) or compile_(wasm)
    )
    modules._ready.clear()
    return seen


async def test_the_same_bytes_are_compiled_once(
    load: Load, cache: Path, compilations: list[int]
) -> None:
    first, second = await asyncio.gather(load(ONE), load(ONE))
    assert await first.call("f") == await second.call("f") == 1
    modules._ready.clear()
    assert await (await load(ONE)).call("f") == 1
    assert len(compilations) == 1
    assert await (await load(TWO)).call("f") == 2
    assert len(compilations) == 2
    assert all(path.stat().st_mode & 0o077 == 0 for path in cache.glob("raw-*.native"))


async def test_a_changed_byte_is_compiled_again(
    load: Load, cache: Path, compilations: list[int]
) -> None:
    await load(ONE)
    [native] = cache.glob("raw-*.native")
    content = bytearray(native.read_bytes())
    content[len(content) // 2] ^= 1
    native.write_bytes(content)
    modules._ready.clear()

    assert await (await load(ONE)).call("f") == 1
    assert len(compilations) == 2


async def test_code_that_was_made_for_another_engine_is_compiled_again(
    load: Load, cache: Path, compilations: list[int]
) -> None:
    other = wasmtime.Module(wasmtime.Engine(), assembled(ONE)).serialize()
    native.store(compiling._target(assembled(ONE)), bytes(other), lambda *_: None)

    assert await (await load(ONE)).call("f") == 1
    assert len(compilations) == 1


async def test_the_least_recently_used_goes_when_there_is_too_much(
    load: Load, cache: Path, compilations: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    await load(ONE)
    [first] = cache.glob("raw-*.native")
    os.utime(first, (1, 1))
    monkeypatch.setattr(sweeping, "RAW", first.stat().st_size)
    session = await load(TWO)

    assert not first.exists()
    assert len(list(cache.glob("raw-*.native"))) == 1
    assert len(list(cache.glob("raw-*.sha256"))) == 1
    assert await session.call("f") == 2


async def test_a_failed_load_does_not_poison_its_content(
    load: Load, cache: Path, compilations: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(compiling, "PATIENCE", 0.001)
        with pytest.raises(LoadError):
            await load(ONE)
    assert await (await load(ONE)).call("f") == 1


async def test_a_process_keeps_a_bounded_number_ready(
    load: Load, cache: Path, compilations: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(modules, "KEPT", 1)
    one, two = await load(ONE), await load(TWO)
    assert list(modules._ready) == [assembled(TWO)]
    assert (await one.call("f"), await two.call("f")) == (1, 2)
