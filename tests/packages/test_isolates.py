"""Packages inside isolates: imported, read and described as if they were installed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from facets import Actor, LocalRuntime, packages
from facets.errors import (
    FacetRunsOtherCode,
    GuestError,
    IndexFailed,
    LoadError,
    NoSuchPackage,
    NotPure,
)
from facets.isolates import image
from facets.packages import Lock
from tests.isolates.conftest import guest as guest
from tests.packages.conftest import forget
from tests.packages.kit import Server

pytestmark = pytest.mark.usefixtures("machine", "guest")
PACK = {
    "pack/__init__.py": "from pack.inner import twice\n__version__ = '1.0'\n",
    "pack/inner.py": "def twice(x):\n    return 2 * x\n\ndef fail():\n    raise ValueError('x')\n",
    "pack/data/words.txt": "héllo",
    "pack/data/_fast.pyi": "",
    "pack/unused.py": "raise RuntimeError('never imported')\n",
    "space/part/mod.py": "name = __name__\n",
}


class Lead(Actor):
    async def run(self, source: str, *args: Any, **options: Any) -> Any:
        return await self.isolates.run(source, *args, **options)

    async def start(self, name: str, source: str, given: Any, new: bool = False) -> Any:
        make = self.isolates.load if new else self.isolates.get
        return await self.facets.get(name, make(source, packages=given).actor("Tool")).run()

    async def same(self, source: str, *given: Any) -> bool:
        one, *others = [self.isolates.get(source, packages=each) for each in given]
        return all(one is other for other in others)

    async def by_key(self, sources: list[str], given: Any) -> Any:
        isolate = self.isolates.get("key", sources.pop, packages=given)
        return await isolate.entrypoint("main")()


@pytest.fixture
async def lead(tmp_path: Path) -> AsyncIterator[Any]:
    async with LocalRuntime(tmp_path / "state") as runtime:
        yield runtime.get(Lead, "a")


async def test_a_package_is_imported_with_its_modules(server: Server, lead: Any) -> None:
    server.add("pack", files=PACK)
    source = """
import pack, pack.inner
from space.part import mod
async def main(x):
    return pack.twice(x), pack.inner.__file__, mod.name, pack.__path__[0]
"""
    inner = "<packages>/pack/inner.py"
    assert await lead.run(source, 4, packages=["pack"]) == (8, inner, "space.part.mod", inner[:-9])


async def test_what_is_not_used_never_enters_the_isolate(
    server: Server, lead: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from facets.isolates.files import Files

    asked: list[Any] = []
    serve = Files.serve
    monkeypatch.setattr(Files, "serve", lambda self, args: asked.append(args) or serve(self, args))
    server.add("pack", files=PACK)
    source = "import json, csv\nasync def main(): pass"
    await lead.run(source, packages=["pack"])
    assert asked == []
    await lead.run("import pack.inner\nasync def main(): pass", packages=["pack"])

    loaded = [path for what, path in asked if what == "load"]
    assert loaded == ["pack/__init__.py", "pack/inner.py"]


async def test_files_of_a_package_are_read_by_the_standard_library(
    server: Server, lead: Any
) -> None:
    server.add("pack", files=PACK)
    source = """
import importlib.resources, pkgutil, inspect
import pack
async def main():
    root = importlib.resources.files(pack)
    return (
        root.joinpath("data", "words.txt").read_text("utf-8"),
        pkgutil.get_data("pack", "data/words.txt").decode(),
        sorted(one.name for one in root.iterdir()),
        [one.name for one in pkgutil.iter_modules(pack.__path__)],
        inspect.getsource(pack.inner.twice),
    )
"""
    assert await lead.run(source, packages=["pack"]) == (
        "héllo",
        "héllo",
        ["__init__.py", "data", "inner.py", "unused.py"],
        ["data", "inner", "unused"],
        "def twice(x):\n    return 2 * x\n",
    )


async def test_a_file_beside_a_module_is_not_a_module(server: Server, lead: Any) -> None:
    server.add("pack", files=PACK)
    source = "async def main(): import pack.data._fast"
    with pytest.raises(ModuleNotFoundError):
        await lead.run(source, packages=["pack"])


async def test_what_is_installed_can_be_asked(server: Server, lead: Any) -> None:
    server.add("top_level", "2.5", requires=["pack>=1"])
    server.add("pack", files=PACK)
    source = """
from importlib import metadata
async def main():
    names = sorted(one.metadata["Name"] for one in metadata.distributions())
    found = [str(path) for path in metadata.files("pack")]
    missing = "no-such"
    try:
        metadata.version(missing)
    except metadata.PackageNotFoundError as error:
        missing = repr(error)
    return names, metadata.version("Top.Level"), metadata.requires("top-level"), found[0], missing
"""
    assert await lead.run(source, packages=["top-level"]) == (
        ["pack", "top_level"], "2.5", ["pack>=1"], "pack-1.0.dist-info/RECORD",
        "PackageNotFoundError('no-such')",
    )  # fmt: skip


async def test_a_traceback_shows_the_lines_of_a_package(server: Server, lead: Any) -> None:
    server.add("pack", files=PACK)
    source = "import pack.inner\nasync def main():\n    pack.inner.fail()\n"
    compiled = 0
    for _ in range(4):
        with pytest.raises(ValueError, match="x") as caught:
            await lead.run(source, packages=["pack"])
        assert isinstance(caught.value, GuestError)
        shown = "File \"<packages>/pack/inner.py\", line 5, in fail\n    raise ValueError('x')"
        assert shown in caught.value.traceback
        compiled = image.load().code.size
        await _idle()
    assert compiled > 0


async def _idle() -> None:
    """What the cache of compiled code has in the making is done."""
    from facets.isolates import workers

    await asyncio.wrap_future(workers._idle().submit(int))


async def test_a_package_is_not_found_in_the_place_of_the_standard_library(
    server: Server, lead: Any
) -> None:
    server.add("json5", files={"json/__init__.py": "evil = 1", "csv.py": "evil = 1"})
    source = """
import csv, json, wave
async def main():
    return hasattr(csv, "evil"), hasattr(json, "evil")
"""
    assert await lead.run(source, packages=["json5"]) == (False, False)


async def test_a_module_of_the_tool_goes_before_one_of_a_package(server: Server, lead: Any) -> None:
    server.add("pack", files=PACK)
    source = {
        "main": "import pack\nasync def main(): return pack.mine, hasattr(pack, 'twice')",
        "pack": "mine = True",
    }
    assert await lead.run(source, packages=["pack"]) == (True, False)


async def test_a_package_that_does_not_parse_fails_where_it_is_imported(
    server: Server, lead: Any
) -> None:
    server.add("bad", files={"bad.py": "def (", "odd.py": b"# coding: nonsense\n", "b.py": b"\xff"})
    for name in ("bad", "odd", "b"):
        with pytest.raises(LoadError, match="SyntaxError"):
            await lead.run(f"import {name}\nasync def main(): pass", packages=["bad"])


async def test_the_block_of_a_script_brings_its_packages(server: Server, lead: Any) -> None:
    server.add("pack", files=PACK)
    source = """
# /// script
# dependencies = ["pack"]
# ///
import pack
async def main():
    return pack.twice(1)
"""
    assert await lead.run(source) == 2


async def test_a_lock_decides_and_needs_no_index(server: Server, lead: Any) -> None:
    server.add("pack", files=PACK)
    lock = await packages.lock(["pack"])
    await packages.locking.load(lock)
    server.asked.clear()
    forget()
    source = "import pack\nasync def main(): return pack.twice(1)"

    assert await lead.run(source, packages=Lock.parse(lock.dump())) == 2
    assert await lead.run(source, packages=["pack"]) == 2
    assert server.asked == []


async def test_a_load_that_fails_for_want_of_a_package_is_tried_again(
    server: Server, lead: Any
) -> None:
    source = (
        "import pack\nclass Tool(__import__('facets').Actor):\n    async def run(self): return 1"
    )
    server.pages["/simple/pack/"] = (500, "text/plain", b"")
    with pytest.raises(IndexFailed):
        await lead.start("tool", source, ["pack"])
    del server.pages["/simple/pack/"]
    with pytest.raises(NoSuchPackage):
        await lead.start("tool", source, ["pack"])
    server.add("pack", files=PACK)

    assert await lead.start("tool", source, ["pack"]) == 1


async def test_what_cannot_run_inside_fails_the_call(server: Server, lead: Any) -> None:
    server.add_source("pack")
    with pytest.raises(NotPure, match="only an sdist"):
        await lead.run("async def main(): pass", packages=["pack"])


TOOL = """
import pack
from facets import Actor
class Tool(Actor):
    async def run(self): return pack.__version__
"""


async def test_packages_are_part_of_what_an_isolate_is(server: Server, lead: Any) -> None:
    server.add("pack", files=PACK)
    server.add("more")
    lock = await packages.lock(["pack"])

    assert await lead.same(TOOL, ["pack"], ("pack",))
    assert not await lead.same(TOOL, ["pack"], ["pack>=1"])
    assert not await lead.same(TOOL, ["pack"], [])
    assert await lead.same(TOOL, lock, Lock.parse(lock.dump()))
    assert await lead.start("tool", TOOL, ["pack"]) == "1.0"
    assert await lead.start("tool", TOOL, ["pack"], new=True) == "1.0"
    assert await lead.start("tool", TOOL, lock, new=True) == "1.0"
    await packages.lock(["pack>=0.1"])
    assert await lead.start("tool", TOOL, ["pack>=0.1"], new=True) == "1.0", "the same files"
    with pytest.raises(FacetRunsOtherCode):
        await lead.start("tool", TOOL, ["pack", "more"], new=True)


async def test_a_newer_lock_is_other_code(server: Server, lead: Any) -> None:
    server.add("pack", files=PACK)
    assert await lead.start("tool", TOOL, ["pack"]) == "1.0"
    server.add("pack", "2.0", files={"pack.py": "__version__ = '2.0'"})
    await packages.lock(["pack"], refresh=True)

    assert await lead.start("tool", TOOL, ["pack"]) == "1.0"
    with pytest.raises(FacetRunsOtherCode):
        await lead.start("tool", TOOL, ["pack"], new=True)
    assert await lead.start("other", TOOL, ["pack"], new=True) == "2.0"


async def test_a_key_takes_packages_too(server: Server, lead: Any) -> None:
    server.add("pack", files=PACK)
    source = "import pack\nasync def main(): return pack.twice(3)"
    assert await lead.by_key([source], ["pack"]) == 6


async def test_data_beside_a_module_is_opened_like_any_file(server: Server, lead: Any) -> None:
    server.add("pack", files=PACK)
    source = """
import glob, importlib.resources, os, pathlib
import pack
async def main():
    here = os.path.dirname(os.path.abspath(pack.__file__))
    words = pathlib.Path(pack.__file__).parent / "data" / "words.txt"
    with open(os.path.join(here, "data", "words.txt"), encoding="utf-8") as file:
        first = list(file)
    with importlib.resources.as_file(importlib.resources.files(pack) / "data/words.txt") as path:
        third = open(path, "rb").read()
    errors = []
    for name, mode in (("data/words.txt", "w"), ("nothing", "r"), ("../../etc/passwd", "r")):
        try:
            open(os.path.join(here, name), mode)
        except OSError as error:
            errors.append(type(error).__name__)
    walked = [(sorted(folders), sorted(files)) for _, folders, files in os.walk(here)]
    return (
        first, words.read_text("utf-8"), third.decode(), sorted(os.listdir(here)), errors,
        walked[0],
        (words.exists(), words.is_dir(), words.stat().st_size, os.path.isdir(here)),
        [one.name for one in words.parent.glob("*.txt")], len(glob.glob(here + "/*.py")),
    )
"""
    names = ["__init__.py", "data", "inner.py", "unused.py"]
    assert await lead.run(source, packages=["pack"]) == (
        ["héllo"], "héllo", "héllo", names, ["OSError", "FileNotFoundError", "FileNotFoundError"],
        (["data"], ["__init__.py", "inner.py", "unused.py"]), (True, False, 6, True),
        ["words.txt"], 3,
    )  # fmt: skip


async def test_a_package_takes_the_place_of_the_httpx_that_isolates_have(
    server: Server, lead: Any
) -> None:
    server.add("httpx", files={"httpx/__init__.py": "name = 'the package'\n"})
    source = "import httpx\nasync def main(): return getattr(httpx, 'name', 'ours')"
    assert await lead.run(source, packages=["httpx"]) == "the package"
    assert await lead.run("import httpx\nasync def main(): return httpx.__name__") == "httpx"
    own = {"main": source, "httpx": "name = 'mine'"}
    assert await lead.run(own, main="main") == "mine"
