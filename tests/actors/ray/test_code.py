"""Which code actors on a cluster run: deployed by first use or by name, and never by accident."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from types import ModuleType
from typing import Any

import pytest
from ray.exceptions import RayError

from actors.errors import KindConflict
from actors.ray.digest import digest_of
from actors.ray.errors import ClassBroken, ClassDiffers, HostLost
from actors.ray.runtime import RayRuntime
from actors.ray.shipping import ClassStore, Shipment, pack, unpack
from actors.ray.turnstile import Turnstile
from facets import Actor
from storage.objects import FolderStore

SOURCE = """
import asyncio
import re
from dataclasses import dataclass, field
from enum import Enum
from facets import Actor, exclusive

LIMIT = 5
SEEN = []

class Color(Enum):
    RED = 1
    BLUE = 2

@dataclass
class Order:
    lines: list[str] = field(default_factory=list)
    color: Color = Color.RED

def ping(n):
    return pong(n - 1) if n else LIMIT

def pong(n):
    return ping(n - 1) if n else -LIMIT

class Base(Actor):
    weights = {"b": 1, "a": {3, 1, 2}}

    async def echo(self, order: Order) -> Order:
        return order or Order()

class Shop(Base, kind="CodeShop"):
    migrations = ["create table if not exists t(x)"]

    async def version(self, *, extra=frozenset({"x", "y", "z"})):
        SEEN.append(re.compile("a"))
        return [one for one in range(3) if one in {1, 2, 3}], ping(3), super().echo

    @exclusive
    async def alone(self):
        return [self.copy(), lambda: Shop]

    def copy(self):
        return asyncio
"""


def made(source: str, name: str = "__main__", file: str = "<made>") -> ModuleType:
    module = ModuleType(name)
    sys.modules.setdefault(name, module)
    exec(compile(dedent(source), file, "exec"), module.__dict__)
    return module


def shop(source: str = SOURCE, **options: str) -> str:
    return digest_of(made(source, "made_shop", **options).Shop)


# -- digests ---------------------------------------------------------------------------------------


def test_a_class_has_one_digest_in_every_process(tmp_path: Path) -> None:
    program = "from actors.ray.digest import digest_of\n" + SOURCE + "\nprint(digest_of(Shop))\n"
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(said) == 1


def test_a_class_that_was_sent_has_the_digest_that_it_had() -> None:
    sent = pack(made(SOURCE, "made_shop").Shop)
    program = (
        "import pickle, sys; from actors.ray.digest import digest_of;"
        "print(digest_of(pickle.load(sys.stdin.buffer)))"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], input=sent.payload, capture_output=True, check=True
    )
    assert said.stdout.decode().strip() == sent.digest


def test_where_the_source_stands_and_what_it_says_in_comments_makes_no_difference() -> None:
    assert shop() == shop()
    assert shop("\n\n# Ours.\n" + SOURCE, file="/elsewhere/file.py") == shop()


def test_data_of_the_module_make_no_difference_and_neither_does_having_run() -> None:
    module = made(SOURCE, "made_shop")
    before = digest_of(module.Shop)
    module.SEEN.append(1)
    module.Shop._contract = object()
    assert digest_of(module.Shop) == before == shop()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("LIMIT = 5", "LIMIT = 6"),
        ("n - 1) if n else LIMIT", "n - 2) if n else LIMIT"),
        ("BLUE = 2", "BLUE = 3"),
        ("color: Color = Color.RED", "color: Color = Color.BLUE"),
        ("in {1, 2, 3}]", "in {1, 2, 4}]"),
        ('"a": {3, 1, 2}', '"a": {3, 1}'),
        ('"x", "y", "z"', '"x", "y"'),
        ("t(x)", "t(y)"),
        ("return order or", "return None or"),
        ("    @exclusive\n", ""),
        ("lambda: Shop", "lambda: Base"),
        ("import asyncio", "import re as asyncio"),
    ],
)
def test_what_the_code_does_makes_a_difference(old: str, new: str) -> None:
    assert old in SOURCE
    assert shop(SOURCE.replace(old, new)) != shop()


def test_functions_that_all_name_each_other_are_hashed_in_no_time() -> None:
    names = [f"f{i}" for i in range(60)]
    bodies = [f"def {name}():\n    return {', '.join(names)}" for name in names]
    source = "\n".join(["from facets import Actor", *bodies, "class Shop(Actor):", "    x = f0"])
    assert shop(source) == shop(source)


# -- the store -------------------------------------------------------------------------------------


def shipment(digest: str, kind: str = "K") -> Shipment:
    return Shipment(kind, "m.K", digest, digest.encode())


def test_of_two_that_are_first_one_is_and_the_other_sees_it(tmp_path: Path) -> None:
    class Racing(FolderStore):
        """Somebody else is always faster once."""

        def create(self, key: str, data: bytes) -> bool:
            if key.startswith("deployed/") and not self.list("deployed/"):
                ClassStore(FolderStore(tmp_path)).settle(shipment("theirs"))
            return super().create(key, data)

    assert ClassStore(Racing(tmp_path)).settle(shipment("mine")).digest == "theirs"
    assert ClassStore(FolderStore(tmp_path)).deploy(shipment("mine")).version == 2
    assert ClassStore(FolderStore(tmp_path)).deploy(shipment("mine")).version == 2
    assert ClassStore(FolderStore(tmp_path)).deploy(shipment("theirs")).version == 3


def test_a_class_that_got_lost_is_broken_until_a_program_that_has_it_calls(tmp_path: Path) -> None:
    store = ClassStore(FolderStore(tmp_path))
    mine = pack(one(1))
    found = store.settle(mine)
    for key in FolderStore(tmp_path).list("classes/"):
        FolderStore(tmp_path).delete(key)
    with pytest.raises(ClassBroken, match="not kept"):
        store.load(found, "host-0")
    assert store.settle(mine) == found
    assert store.load(found, "host-0").kind == "CodeOne"


def test_a_class_that_is_installed_in_another_version_is_broken(tmp_path: Path) -> None:
    from facets.testing.conformance.kit import Cell

    other = replace(pack(Cell), digest="of version 2")
    with pytest.raises(ClassBroken, match="another version"):
        unpack(other.kind, other.digest, other.payload, "host-0")
    assert unpack(Cell.kind, pack(Cell).digest, pack(Cell).payload, "host-0") is Cell


# -- in order --------------------------------------------------------------------------------------


async def test_who_waits_goes_on_in_order_and_nobody_goes_past() -> None:
    found = asyncio.Event()
    turnstile, gone = Turnstile(found.wait), []  # type: ignore[arg-type]

    async def go(number: int) -> None:
        await turnstile.passed()
        gone.append(number)

    tasks = []
    for number in range(300):
        tasks.append(asyncio.ensure_future(go(number)))
        if number == 100:
            found.set()
        if number % 7 == 0:
            await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert gone == list(range(300))
    assert turnstile.clear


async def test_an_error_is_that_of_all_who_wait_and_the_next_one_tries_again() -> None:
    attempts = []

    async def work() -> None:
        attempts.append(1)
        await asyncio.sleep(0)
        if len(attempts) == 1:
            raise KeyError(1)

    turnstile = Turnstile(work)
    waiting = [turnstile.passed() for _ in range(3)]
    errors = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(one) for one in errors] == [KeyError] * 3
    await turnstile.passed()
    assert len(attempts) == 2


# -- on a cluster ----------------------------------------------------------------------------------


def one(number: int, module: str = "made_notebook") -> type[Any]:
    """The class of a notebook cell, as it was when the cell ran for that time."""
    source = f"""
    from facets import Actor, Backoff

    class One(Actor, kind="CodeOne"):
        async def number(self):
            self.kv["calls"] = self.kv.get("calls", 0) + 1
            return {number}, self.kv["calls"]

        async def remind(self, path):
            self.timers.after(0, self.ring, path, retry=Backoff(0.05, most=0.05, attempts=100_000))

        async def ring(self, path):
            with open(path, "r+") as file:
                file.write("{number}")
    """
    return made(source, module).One  # type: ignore[no-any-return]


async def test_the_first_class_is_deployed_by_its_use_and_the_same_source_is_the_same(
    runtime: RayRuntime,
) -> None:
    assert await runtime.get(one(1), "a").number() == (1, 1)
    assert await runtime.get(one(1), "a").number() == (1, 2)
    stats = runtime.stats().classes["CodeOne"]
    assert (stats.version, stats.deployed, stats.broken) == (1, digest_of(one(1)), {})


async def test_another_class_runs_nothing_until_it_is_deployed(runtime: RayRuntime) -> None:
    first, second = one(1), one(2)
    await runtime.get(first, "a").number()
    for _ in range(2):
        with pytest.raises(ClassDiffers, match=r"runtime\.deploy\(One\)") as caught:
            await runtime.get(second, "a").number()
    assert caught.value.deployed == digest_of(first)
    assert caught.value.here == digest_of(second)
    await runtime.deploy(second)
    assert await runtime.get(second, "b").number() == (2, 1)
    # The actor that runs keeps what it runs, and its state.
    assert await runtime.get(second, "a").number() == (1, 2)
    stats = runtime.stats().classes["CodeOne"]
    assert stats.version == 2
    assert stats.running == {digest_of(first): 1, digest_of(second): 1}
    assert runtime.stats().outdated == 1
    await runtime.down()
    await runtime.open()
    assert await runtime.get(second, "a").number() == (2, 3)


async def test_a_program_that_comes_later_with_an_older_class_is_told(
    runtime: RayRuntime,
) -> None:
    await runtime.get(one(1), "a").number()
    await runtime.deploy(one(2, "made_elsewhere"))
    late = RayRuntime(runtime.root, hosts=2)
    async with late:
        with pytest.raises(ClassDiffers):
            await late.get(one(1), "a").number()
    await runtime.close()
    await runtime.open()
    assert await runtime.get(one(2, "made_elsewhere"), "b").number() == (2, 1)


async def test_two_classes_of_one_kind_from_different_places_are_an_error(
    runtime: RayRuntime,
) -> None:
    runtime.get(one(1), "a")
    with pytest.raises(KindConflict):
        runtime.get(one(1, "made_elsewhere"), "a")


async def test_a_timer_runs_the_class_that_is_deployed_when_its_time_comes(
    runtime: RayRuntime, tmp_path: Path
) -> None:
    rung = tmp_path / "rung"
    await runtime.get(one(1), "a").remind(str(rung))
    await runtime.deploy(one(2))
    await runtime.down()
    rung.touch()  # until now it failed
    await runtime.open()
    while not rung.read_text():
        await asyncio.sleep(0.02)
    assert rung.read_text() == "2"


class Well(Actor, kind="CodeWell"):
    async def pid(self) -> int:
        return os.getpid()


async def test_a_class_that_cannot_be_loaded_fails_its_own_calls_and_nothing_else(
    runtime: RayRuntime, tmp_path: Path
) -> None:
    # It needs a package that only the program has.
    (tmp_path / "only_here").mkdir()
    (tmp_path / "only_here" / "__init__.py").write_text("class Part: ...\n")
    source = "import only_here\nfrom facets import Actor\nclass Ill(Actor, kind='CodeIll'):\n"
    source += "    part = only_here.Part\n    async def go(self): return 1\n"
    sys.path.insert(0, str(tmp_path))
    try:
        ill = made(source, "made_ill").Ill
        with pytest.raises(ClassBroken, match="only_here"):
            await runtime.deploy(ill)
        assert "CodeIll" not in runtime.stats().classes
        with pytest.raises(ClassBroken, match="only_here") as caught:
            await runtime.get(ill, "a").go()
        assert caught.value.kind == "CodeIll"
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("only_here")
    pid = await runtime.get(Well, "a").pid()
    os.kill(pid, signal.SIGKILL)
    while True:
        with contextlib.suppress(HostLost, RayError):
            assert await runtime.get(Well, "a").pid() != pid
            break
    assert "only_here" in str(runtime.stats().classes["CodeIll"].broken)


def test_a_class_of_an_installed_package_goes_by_reference_with_its_version() -> None:
    from facets.testing.conformance.kit import Cell

    assert len(pack(Cell).payload) < 200
    assert digest_of(Cell) == pack(Cell).digest
