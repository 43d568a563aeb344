"""The snapshot: running in it copies little of it, and what was done for that cannot be noticed."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import pytest

from facets.isolates import Code, Limits, image, loading, workers
from facets.isolates.guest import immortal
from facets.isolates.instance import BOOT, Instance
from tests.isolates.conftest import Open

PAGE = 4096
TOOL = """
from facets import Actor

class Tool(Actor):
    async def run(self, n=0):
        return n
"""


def mappings() -> dict[int, int]:
    """Where instances of the image are in memory: start and end."""
    found = {}
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith(".native") and " rw" in line:
            start, end = (int(part, 16) for part in line.split()[0].split("-"))
            found[start] = end
    return found


def copied(start: int, end: int) -> int:
    """Pages of this mapping that the process has its own copy of."""
    with Path("/proc/self/pagemap").open("rb") as file:
        file.seek(start // PAGE * 8)
        entries = file.read((end - start) // PAGE * 8)
    return sum(1 for (entry,) in struct.iter_unpack("<Q", entries) if entry >> 63 & ~entry >> 61)


@pytest.mark.skipif(sys.platform != "linux", reason="counts pages in /proc")
def test_loading_a_tool_copies_less_than_half_a_megabyte(guest: image.Image) -> None:
    order = loading.order(Code.of(TOOL), "Tool", True, {}, None, {}, 1 << 20)
    guest.pool.drain()
    workers._idle().submit(int).result()  # what the pool had in the making is done
    known = mappings()
    instance = Instance(guest, Limits().memory, 1 << 20)
    try:
        instance.begin(BOOT, order)
        while not instance.poll():
            pass
        assert instance.take().startswith(b'["ready"')
        mine = mappings().items() - known.items()
        assert 0 < sum(copied(*one) for one in mine) < (512 << 10) // PAGE
    finally:
        instance.close()


async def test_what_the_snapshot_holds_is_immortal_and_what_a_tool_makes_is_not(
    start: Open,
) -> None:
    source = """
        import facets, json, sys
        class Mine: pass
        async def look():
            old = [facets.Actor, json.dumps, json.dumps.__code__, json, json.__dict__, int]
            new = [Mine, Mine(), Mine.__dict__, [1], "x" * 9]
            return [[sys._is_immortal(one) for one in some] for some in (old, new)]
    """
    session = await start(source, "look", actor=False)
    assert await session.call("") == [[True] * 6, [False] * 5]


async def test_garbage_is_still_collected(start: Open) -> None:
    source = """
        import gc, weakref
        from facets import Actor
        class Node(Actor): pass
        async def look():
            gone = []
            for _ in range(3):
                class Local(Node): pass
                one = Local()
                one.me = one
                gone.append(weakref.ref(one))
                gone.append(weakref.ref(Local))
            del one, Local
            gc.collect()
            return [ref() is None for ref in gone]
    """
    assert await (await start(source, "look", actor=False)).call("") == [True] * 6


DATACLASSES = """
import builtins, dataclasses, inspect
from dataclasses import InitVar, dataclass, field
from typing import ClassVar

def make():
    @dataclass
    class Plain:
        day: int
        category: str = "food"
        tags: list = field(default_factory=list)
    @dataclass(frozen=True)
    class Frozen:
        a: int
        b: int = 2
    @dataclass(order=True)
    class Ordered:
        n: int
    @dataclass(slots=True, kw_only=True)
    class Slots:
        x: int
        y: int = 0
    @dataclass
    class Odd:
        self: int
        other: int
        type: str
        print: int = 4
        _private: int = 5
        größe: int = 6
        kind: ClassVar[int] = 3
        extra: InitVar[int] = 7
        hidden: int = field(default=1, repr=False, compare=False)
        late: int = field(init=False, default=9)
        zF0z: int = 8
    @dataclass
    class Child(Plain):
        percent: str = "100%s"
        more: dict = field(default_factory=dict, kw_only=True)
    @dataclass
    class Names:
        zF1z: int
        other: int
        type: str
        print: int = 4
        größe: int = 6
        zF0z: str = "100%s"
    @dataclass
    class Empty: pass
    small = [Plain(1), Frozen(1), Ordered(1), Slots(x=1), Child(1), Empty()]
    return [*small, Names(1, 2, "t"), Odd(1, 2, "t")]

def describe(one):
    cls = type(one)
    said = [repr(one), cls.__doc__, str(inspect.signature(cls)), one == make()[0]]
    said += [str(cls.__init__.__annotations__), cls.__match_args__]
    for name in ("__init__", "__repr__", "__eq__", "__hash__", "__setattr__", "__lt__"):
        function = vars(cls).get(name)
        function = getattr(function, "__wrapped__", function)
        if inspect.isfunction(function):
            code = function.__code__
            said += [code.co_varnames, code.co_names, code.co_freevars, function.__qualname__]
            said += [repr([c for c in code.co_consts if not inspect.iscode(c)])]
    try:
        one.a = 5
    except Exception as error:
        said.append(repr(error))
    try:
        cls(nothing=1)
    except TypeError as error:
        said.append(str(error))
    return [str(part) for part in said]

async def both():
    shaped = [describe(one) for one in make()]
    dataclasses.exec = builtins.exec
    return shaped, [describe(one) for one in make()]

async def hits():
    from isolate import shapes
    texts, known = [], dataclasses.exec
    dataclasses.exec = lambda text, space, names: texts.append(text) or known(text, space, names)
    made = make()
    found = 0
    for text in texts:
        fields, key = shapes._read(text)
        places = {shapes._PLACE % i: name for i, name in enumerate(fields)}
        found += any(template % places == text for template, _ in shapes._shapes.get(key, ()))
    return found
"""


async def test_dataclasses_are_what_they_are_without_shapes(start: Open) -> None:
    session = await start(DATACLASSES, "", actor=False)
    assert await session.call("hits") == 3, "nothing was compared"
    shaped, compiled = await session.call("both")
    assert shaped == compiled


def wasm(memory: bytes, address: int) -> bytes:
    """A component with one core module that has this data at this address."""

    def number(value: int, more: int = 0) -> bytes:
        return bytes([value & 0x7F | 0x80, value >> 7 & 0x7F | 0x80, value >> 14 | more])

    data = b"\x01\x00\x41" + number(address) + b"\x0b" + number(len(memory)) + memory
    module = b"\0asm\1\0\0\0" + b"\x0b" + number(len(data)) + data
    return b"\0asm\x0d\0\1\0" + b"\x01" + number(len(module)) + module


def test_listed_objects_become_immortal_and_nothing_else_changes(tmp_path: Path) -> None:
    base = 0x2000
    words = [0] * 64
    words[0:2] = [7, 99]  # an object
    words[2:4] = [7, 99]  # another that is not listed
    words[4:6] = [7 << 28, 99]  # immortal already
    words[8:12] = [1, 98, 2, base + 4 * 16]  # the list: count, type, size, items
    words[16:18] = [base, base + 4 * 4]
    memory = struct.pack("<64I", *words) + b"facets-immortal:%08x" % (base + 4 * 8)
    path = tmp_path / "guest.wasm"
    path.write_bytes(wasm(memory, base))

    assert immortal.make_immortal(path) == 1
    words[0] = immortal.IMMORTAL
    assert path.read_bytes() == wasm(struct.pack("<64I", *words) + memory[256:], base)


def test_a_snapshot_without_its_mark_fails_the_build(tmp_path: Path) -> None:
    path = tmp_path / "guest.wasm"
    path.write_bytes(wasm(bytes(64), 0x2000))
    with pytest.raises(ValueError, match="0 marks"):
        immortal.make_immortal(path)
