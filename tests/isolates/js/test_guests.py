"""How the guests are made of the wheel's modules, and what they may import."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import wasmtime

from facets.isolates import engine, image
from facets.isolates.errors import GuestMissing
from facets.isolates.js import component, guests, snapshot, wheel
from facets.isolates.pool import rehearsed

IMPORTS = {
    "facets:guest/host",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:random/random",
}


def imports(source: image.Key) -> set[str]:
    found = image.load(source)
    return {name.partition("@")[0] for name in engine.imports_of(found.engine, found.component)}


def test_the_engine_imports_four_things_and_the_stripper_nothing() -> None:
    assert imports(guests.JAVASCRIPT) == IMPORTS
    assert imports(guests.STRIPPER) == set()


@pytest.mark.parametrize(
    ("file", "text", "names"),
    [
        (
            wheel.ENGINE,
            "quickjs.wat",
            "host_call host_interrupt host_module_load host_module_normalize clock_time_get"
            " environ_get environ_sizes_get fd_close fd_fdstat_get fd_seek fd_write proc_exit"
            " random_get",
        ),
        (
            wheel.STRIPPER,
            "stripper.wat",
            "environ_get environ_sizes_get fd_write proc_exit random_get",
        ),
    ],
)
def test_every_import_of_the_wheels_modules_is_met_inside(file: str, text: str, names: str) -> None:
    shim = (Path(component.__file__).parent / text).read_text().partition("(core instance $s")[0]

    assert set(functions(wheel.content(file))) == set(names.split())
    assert all(f'(export "{name}")' in shim for name in names.split())


def functions(module: bytes) -> Iterator[str]:
    """The names of the functions that a module imports; it imports nothing else."""
    [(at, _)] = [(at, end) for number, _, at, end in component.sections(module) if number == 2]
    count, at = component.unleb(module, at)
    for _ in range(count):
        size, at = component.unleb(module, at)
        size, at = component.unleb(module, at + size)
        yield module[at : at + size].decode()
        assert module[at + size] == 0
        _, at = component.unleb(module, at + size + 1)


def test_the_snapshot_is_the_same_memory_whenever_it_is_taken() -> None:
    module, words = snapshot.prepared(wheel.content(wheel.ENGINE))

    assert (module, words) == snapshot.prepared(wheel.content(wheel.ENGINE))
    assert set(words) == set(component.WORDS)
    assert all(0 < address < 1 << 22 for address in words.values())
    assert b"Uncaught " in module
    assert guests.JavaScript().identity() == guests.JAVASCRIPT.identity()


def test_memory_begins_as_it_was_given() -> None:
    plain = wasmtime.wat2wasm('(module (memory (export "m") 1) (data (i32.const 3) "old"))')
    memory = bytearray(3 << 16)
    memory[:4] = b"\x00abc"
    memory[70_000:70_010] = b"0123456789"
    memory[-1] = 7
    store = wasmtime.Store()

    made = wasmtime.Module(store.engine, snapshot.with_memory(bytes(plain), bytes(memory)))
    found = wasmtime.Instance(store, made, []).exports(store)["m"]

    assert isinstance(found, wasmtime.Memory)
    assert bytes(found.read(store)) == bytes(memory)


@pytest.mark.parametrize("number", [0, 1, 63, 64, 127, 128, 8191, 8192, 1 << 20, (1 << 31) - 1])
def test_numbers_are_written_as_they_are_read(number: int) -> None:
    assert component.unleb(component.leb(number), 0) == (number, len(component.leb(number)))
    signed = snapshot._signed(number)
    value = sum((byte & 0x7F) << 7 * at for at, byte in enumerate(signed))
    assert value == number
    assert not signed[-1] & 0x40


def test_a_wheel_of_other_bytes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "quickjs_rs").mkdir()
    (tmp_path / "quickjs_rs" / wheel.ENGINE).write_bytes(b"\0asm")

    class Found:
        def locate_file(self, name: str) -> Path:
            return tmp_path / name

    monkeypatch.setattr(wheel, "distribution", lambda _: Found())
    with pytest.raises(GuestMissing, match="is not that of quickjs-rs"):
        wheel.content(wheel.ENGINE)
    with pytest.raises(GuestMissing, match=r"facets-runtime\[js\]"):
        wheel.content(wheel.STRIPPER)


def test_the_wheel_that_pyproject_names_is_the_one_that_is_pinned() -> None:
    text = (Path(__file__).parents[3] / "pyproject.toml").read_text()

    assert text.count(f"{wheel.WHEEL}=={wheel.VERSION}") == 2


def test_nothing_of_the_wheels_package_is_imported() -> None:
    code = (
        "import sys; from facets.isolates import image; from facets.isolates.js import guests\n"
        "image.load(guests.JAVASCRIPT); image.load(guests.STRIPPER)\n"
        "sys.exit(any(name.startswith('quickjs') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_instance_made_ahead_has_loaded_nothing() -> None:
    for source in (guests.JAVASCRIPT, guests.STRIPPER):
        rehearsed(image.load(source)).close()
