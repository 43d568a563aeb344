"""The cache of native images: compiled once, never trusted blindly. A small component stands in."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import wasmtime

from facets.isolates import folder, image, native
from facets.isolates.errors import GuestMissing, IsolateError

WAT = """(component
  (core module $m (func (export "f")))
  (core instance $i (instantiate $m))
  (func (export "boot") (canon lift (core func $i "f")))
  (func (export "pump") (canon lift (core func $i "f"))))"""


@pytest.fixture
def wasm(tmp_path: Path, cache: Path) -> Path:
    path = tmp_path / "source" / "small.wasm"
    path.parent.mkdir()
    path.write_bytes(wasmtime.wat2wasm(WAT))
    return path


def phases(wasm: Path) -> list[str]:
    """Load it afresh; the phases it went through."""
    seen: list[str] = []
    image._images.pop(wasm, None)
    try:
        image.load(wasm, lambda phase, seconds: seen.append(phase) if phase not in seen else None)
    finally:
        image._images.pop(wasm, None)
    return seen


def test_the_second_load_does_not_compile(wasm: Path, cache: Path) -> None:
    assert phases(wasm) == ["compile", "store", "load", "ready"]
    assert phases(wasm) == ["load", "ready"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in cache.glob("*.native"))


def test_one_process_loads_once(wasm: Path) -> None:
    try:
        assert image.load(wasm) is image.load(wasm)
        assert image.loaded(wasm) is image.load(wasm)
    finally:
        image._images.pop(wasm)


def test_a_changed_byte_is_noticed(wasm: Path, cache: Path) -> None:
    phases(wasm)
    [native] = cache.glob("*.native")
    content = bytearray(native.read_bytes())
    content[len(content) // 2] ^= 1
    native.write_bytes(content)

    assert "compile" in phases(wasm)
    assert phases(wasm) == ["load", "ready"]


@pytest.mark.parametrize("suffix", [".native", ".native.sha256"])
def test_a_file_that_others_may_write_is_not_used(wasm: Path, cache: Path, suffix: str) -> None:
    phases(wasm)
    [path] = [path for path in cache.iterdir() if path.name.endswith(suffix)]
    path.chmod(0o666)

    assert "compile" in phases(wasm)


def test_an_image_without_its_hash_is_not_used(wasm: Path, cache: Path) -> None:
    phases(wasm)
    [stamp] = cache.glob("*.sha256")
    stamp.unlink()

    assert "compile" in phases(wasm)


def test_a_folder_that_others_may_write_is_refused(wasm: Path, cache: Path) -> None:
    cache.chmod(0o777)

    with pytest.raises(IsolateError, match="FACETS_CACHE_DIR"):
        phases(wasm)


def test_other_content_is_another_image(wasm: Path, cache: Path) -> None:
    phases(wasm)
    wasm.write_bytes(wasmtime.wat2wasm(WAT.replace('"f"', '"g"')))

    assert "compile" in phases(wasm)
    assert len(list(cache.glob("*.native"))) == 2


def test_who_comes_second_waits_for_the_first(wasm: Path, cache: Path) -> None:
    seen: list[str] = []
    target = cache / "x.native"
    waiting, done = threading.Event(), threading.Event()

    def second() -> None:
        with native.locked(target, lambda phase, _: (seen.append(phase), waiting.set())):  # type: ignore[arg-type, func-returns-value]
            done.set()

    with native.locked(target, lambda *_: None):
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(10)
        assert not done.is_set()
    thread.join(10)

    assert done.is_set()
    assert seen[0] == "wait"


def test_a_guest_that_was_not_built_says_how(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(GuestMissing, match=r"build\.py"):
        image.load(tmp_path / "nothing.wasm")


def test_the_cache_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FACETS_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert folder.cache_folder() == tmp_path / "x" / "facets"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert folder.cache_folder() == tmp_path / ".cache" / "facets"
