"""Compiled code: the same results and the same errors, and no way into another's isolate."""

from __future__ import annotations

import pytest

from facets.isolates import Code, codecache, image, loading, workers
from facets.isolates.codecache import CodeCache
from facets.isolates.errors import GuestError, LoadError, ProtocolViolation
from facets.isolates.instance import Instance
from tests.isolates.conftest import Open
from tests.isolates.fake import Owner

SOURCE = """
import helper
async def run(n):
    return helper.double(n)
async def bad():
    raise ValueError("no")
"""
MODULES = {"main": SOURCE, "helper": "def double(n):\n    return 2 * n\n", "broken": "def ("}


@pytest.fixture
def cache(guest: image.Image, monkeypatch: pytest.MonkeyPatch) -> CodeCache:
    """A cache that compiles at once, where it is called, for the sessions of this test."""
    monkeypatch.setattr(workers, "submit", lambda job: job() is None)
    monkeypatch.setattr(guest, "code", made := CodeCache(guest))
    return made


async def test_a_source_is_compiled_when_it_has_loaded_twice(cache: CodeCache, start: Open) -> None:
    code = Code.of(MODULES)
    kept = []
    for _ in range(3):
        session = await start(MODULES, "", actor=False)
        assert await session.call("run", (4,)) == 8
        kept.append(sorted(cache.get(code) or ()))
    assert kept == [[], ["helper", "main"], ["helper", "main"]]


async def test_code_from_the_cache_is_what_runs(
    cache: CodeCache, guest: image.Image, start: Open
) -> None:
    other = Code.of({**MODULES, "helper": "def double(n):\n    return 'from the cache'\n"})
    cache.loaded(other)
    cache.loaded(other)
    compiled = cache.get(other)
    assert compiled is not None
    cache.put(Code.of(MODULES), compiled)
    session = await start(MODULES, "", actor=False)
    assert await session.call("run", (4,)) == "from the cache"


async def test_errors_show_the_same_lines_from_the_cache(cache: CodeCache, start: Open) -> None:
    seen = set()
    for _ in range(3):
        session = await start(MODULES, "", actor=False)
        with pytest.raises(GuestError) as caught:
            await session.call("bad")
        seen.add(caught.value.traceback)
    assert len(seen) == 1
    assert 'raise ValueError("no")' in seen.pop()


async def test_what_does_not_compile_is_not_cached_and_fails_alike(
    cache: CodeCache, start: Open
) -> None:
    said = set()
    for _ in range(3):
        with pytest.raises(LoadError) as caught:
            await start("def f(:\n  pass", "f", actor=False)
        said.add(str(caught.value))
    assert len(said) == 1
    assert cache.size == 0


async def test_what_warns_is_not_cached_and_warns_each_time(
    cache: CodeCache, start: Open, owner: Owner
) -> None:
    for times in (1, 2, 3):
        await start(r"PATH = '\d'" + "\nasync def f(): pass", "f", actor=False)
        assert owner.text.count("SyntaxWarning") == times
    assert cache.size == 0


async def test_text_that_is_not_latin_survives(cache: CodeCache, start: Open) -> None:
    source = "async def f(): return 'Grüße, 世界 🦑'"
    for _ in range(3):
        assert await (await start(source, "f", actor=False)).call("") == "Grüße, 世界 🦑"
    assert cache.size


async def test_the_least_recently_used_goes_when_it_is_too_much(guest: image.Image) -> None:
    cache = CodeCache(guest, most=100)
    first, second, third = (Code.of(f"x = {n}") for n in range(3))
    for code in (first, second):
        cache.put(code, {"main": "x" * 40})
    cache.get(first)
    cache.put(third, {"main": "x" * 40})
    assert [cache.get(code) is not None for code in (first, second, third)] == [True, False, True]
    assert cache.size == 80
    cache.put(first, {"main": "x" * 1000})
    assert cache.size == 0


async def test_every_source_is_compiled_in_an_isolate_of_its_own(
    cache: CodeCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    class Counted(Instance):
        def begin(self, export: int, message: bytes) -> None:
            made.append(self._number)
            super().begin(export, message)

    monkeypatch.setattr(codecache, "Instance", Counted)
    for n in range(3):
        for _ in range(2):
            cache.loaded(Code.of(f"x = {n}"))
    assert len(made) == len(set(made)) == 3


async def test_a_compilation_that_takes_too_long_is_given_up(
    cache: CodeCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codecache, "PATIENCE", 0.0)
    monkeypatch.setattr(workers, "ROUND", 0.0)
    code = Code.of("\n".join(f"x{n} = [{n}, {n} + 1]" for n in range(2000)))
    for _ in range(4):
        cache.loaded(code)
    assert cache.get(code) is None


@pytest.mark.parametrize(
    "answer",
    [b"", b"[]", b"7", b'["code",7]', b'["err",{}]', b'["code",{"main":"text"}]',
     b'["code",{"main":{"$":["b",0,99]}}]\nxx', b'["code",{"main":{"$":["z",0,1]}}]\nxx'],
)  # fmt: skip
def test_an_answer_that_is_not_compiled_code_is_a_violation(answer: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        loading.compiled(answer)
