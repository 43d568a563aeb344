"""Caches on disk: over its size, what was not used for longest goes, whoever else is at it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from facets.images import building
from facets.images.names import Built
from facets.isolates import native, sweeping
from facets.isolates.folder import replace
from facets.isolates.sweeping import sweep, use
from facets.packages.pins import Lock
from facets.packages.store import Store

FAR = 1_000_000_000


def put(folder: Path, name: str, size: int = 10, age: int = 0) -> Path:
    path = folder / (name if "." in name else f"{name}.x")
    path.write_bytes(bytes(size))
    os.utime(path, (FAR - age, FAR - age))
    return path


def left(folder: Path) -> list[str]:
    return sorted(path.name.removesuffix(".x") for path in folder.iterdir())


def test_what_was_not_used_for_longest_goes_until_the_rest_fits(tmp_path: Path) -> None:
    made = [put(tmp_path, name, age=age) for name, age in (("a", 3), ("b", 1), ("c", 2))]
    newest = put(tmp_path, "d")
    sweep(newest, [*made, newest], 20)
    assert left(tmp_path) == ["b", "d"]


def test_nothing_goes_while_all_of_it_fits(tmp_path: Path) -> None:
    made = [put(tmp_path, name, age=1) for name in "abc"]
    sweep(made[0], made, 30)
    assert left(tmp_path) == ["a", "b", "c"]


def test_what_was_used_goes_after_what_was_not(tmp_path: Path) -> None:
    made = [put(tmp_path, "a", age=9), put(tmp_path, "b", age=1), put(tmp_path, "c")]
    use(made[0])
    sweep(made[2], made, 20)
    assert left(tmp_path) == ["a", "c"]


def test_what_was_just_added_stays_even_if_it_is_too_much(tmp_path: Path) -> None:
    made = [put(tmp_path, "a", age=1), put(tmp_path, "b", size=100, age=5)]
    sweep(made[1], made, 20)
    assert left(tmp_path) == ["b"]


def test_what_another_process_removed_is_no_trouble(tmp_path: Path) -> None:
    gone, newest = tmp_path / "gone.x", put(tmp_path, "a")
    use(gone)
    sweep(newest, [gone, newest], 5)
    assert left(tmp_path) == ["a"]


def test_what_a_writer_left_that_died_goes_after_a_day(tmp_path: Path) -> None:
    dead = [put(tmp_path, name) for name in (".x.whl.abcd_123", ".x.whl.sha256.abcd_123")]
    others = [".x.whl.abcd_124", ".profile", ".x.whl", ".x.zip.abcd_123", ".y.whl.abcd_123"]
    for name in others[1:4]:
        put(tmp_path, name)
    os.utime(put(tmp_path, others[0]))
    (tmp_path / others[4]).mkdir()
    os.utime(tmp_path / others[4], (FAR, FAR))
    newest = put(tmp_path, "a.whl")
    sweep(newest, [newest], 100)
    assert not any(one.exists() for one in dead)
    assert left(tmp_path) == sorted([*others, "a.whl"])


WRITER = """
import sys
from facets.isolates import sweeping
from facets.packages.store import Store
import hashlib
sweeping.WHEELS = 50_000
store, me = Store(), sys.argv[1]
for n in range(60):
    content = f"{n % 20} ".encode() * 2_500
    store.put_wheel(content)
    found = store.wheel(hashlib.sha256(content).hexdigest())
    assert found is None or found == content
print("done")
"""


def test_several_processes_sweep_at_once(tmp_path: Path) -> None:
    environment = os.environ | {"FACETS_CACHE_DIR": str(tmp_path)}
    several = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(n)],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for n in range(3)
    ]  # fmt: skip
    for one in several:
        out, err = one.communicate()
        assert (out, err) == ("done\n", "")

    folder = tmp_path / "packages" / "wheels"
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 50_000 + 2 * 7_500
    assert all(path.suffix == ".whl" for path in folder.iterdir())


# -- each cache ------------------------------------------------------------------------------------


def age(folder: Path) -> None:
    """All that is there was used a while ago, in the order of its times."""
    for n, path in enumerate(sorted(folder.iterdir(), key=lambda one: one.stat().st_mtime_ns)):
        os.utime(path, (FAR + n, FAR + n))


@pytest.mark.parametrize("kind", ["wheel", "tarball"])
def test_archives_of_packages_are_swept(
    cache: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    import hashlib

    algorithm = {"wheel": "sha256", "tarball": "sha512"}[kind]
    monkeypatch.setattr(sweeping, f"{kind.upper()}S", 25)
    store = Store()
    contents = [letter * 10 for letter in (b"a", b"b", b"c")]
    hashes = [hashlib.new(algorithm, one).hexdigest() for one in contents]
    get, keep = getattr(store, kind), getattr(store, f"put_{kind}")
    keep(contents[0])
    keep(contents[1])
    age(cache / "packages" / f"{kind}s")
    assert get(hashes[0]) == contents[0]  # and so `b` is what was not used for longest
    keep(contents[2])

    assert [get(one) for one in hashes] == [contents[0], None, contents[2]]


def test_locks_are_swept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "LOCKS", len(Lock().dump()) * 2)
    store = Store()
    for key in ("a", "b"):
        store.put_lock(key, Lock())
    age(cache / "packages" / "locks")
    assert store.lock("a") == Lock()
    store.put_lock("c", Lock())
    assert [store.lock(key) for key in ("a", "b", "c")] == [Lock(), None, Lock()]


def quiet(_phase: str, _seconds: float) -> None: ...


def test_native_code_is_swept_with_its_hash_and_that_of_tools_apart(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "NATIVE", 25)
    monkeypatch.setattr(sweeping, "RAW", 15)
    for name in ("one", "two", "raw-one"):
        native.store(cache / f"{name}.native", bytes(10), quiet)
    age(cache)
    assert native.is_sound(cache / "one.native")
    native.store(cache / "raw-two.native", bytes(10), quiet)
    native.store(cache / "three.native", bytes(10), quiet)

    names = ("one", "raw-two", "three")
    assert left(cache) == sorted(f"{n}.native{end}" for n in names for end in ("", ".sha256"))
    assert all(native.is_sound(cache / f"{name}.native") for name in names)


def test_images_are_swept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "IMAGES", 25)
    monkeypatch.setattr(building, "_check_builder", lambda: None)
    monkeypatch.setattr(building, "_baked", lambda *_: bytes(10))
    monkeypatch.setattr("facets.isolates.image.load", lambda _: SimpleNamespace(smallest=1))

    def build(letter: str) -> Built:
        bundle: Any = None
        return building._build(Built(letter, letter * 32, Lock(), (), 0), bundle)

    build("a")
    build("b")
    age(cache / "images")
    build("a")  # it is there, and used
    build("c")
    wasm = [name for name in left(cache / "images") if name.endswith(".wasm")]
    assert wasm == ["a" * 32 + ".wasm", "c" * 32 + ".wasm"]


def test_a_file_that_is_swept_while_it_is_mapped_is_still_there_for_who_has_it(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeping, "NATIVE", 1)
    replace(cache / "old.native", b"old")
    with (cache / "old.native").open("rb") as file:
        native.store(cache / "new.native", b"new", quiet)
        assert not (cache / "old.native").exists()
        assert file.read() == b"old"
