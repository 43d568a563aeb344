"""Images: packages are imported before an isolate begins, and an isolate begins as before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from facets import Actor, Limits, LocalRuntime, errors, images, packages
from facets.images import building, names
from facets.images.names import Built
from facets.isolates import image as native
from facets.isolates import workers
from facets.isolates.folder import cache_folder
from facets.isolates.guest import build as guest_build
from facets.isolates.pool import PAUSE
from facets.packages import Lock
from tests.packages.conftest import forget
from tests.packages.conftest import machine as machine
from tests.packages.conftest import server as server
from tests.packages.kit import Server

pytestmark = [pytest.mark.timeout(900), pytest.mark.usefixtures("machine", "own_cache")]
FILES = {
    "pack/__init__.py": "from pack import inner\nimport random\ndrawn = random.random()\n",
    "pack/inner.py": "def twice(x):\n    return 2 * x\n\ndef fail():\n    raise ValueError('x')\n",
    "pack/later.py": "import pack.inner\nanswer = pack.inner.twice(21)\n",
    "pack/words.txt": "héllo",
    "broken.py": "def (",
    "warns.py": "x = 1 is 1\n",
    "raises.py": "print('said')\nraise RuntimeError('not here')\n",
}


class Lead(Actor):
    async def run(self, source: str, *args: Any, **options: Any) -> Any:
        return await self.isolates.run(source, *args, **options)

    async def start(self, **options: Any) -> Any:
        source = "from facets import Actor\nclass Tool(Actor):\n    async def run(self): return 1"
        tool = self.isolates.load(source, **options).actor("Tool")
        return await self.facets.get("tool", tool).run()

    async def memory(self, **options: Any) -> int:
        return self.isolates.load("", **options).limits.memory


@pytest.fixture
async def lead(tmp_path: Path) -> AsyncIterator[Any]:
    async with LocalRuntime(tmp_path / "state") as runtime:
        yield runtime.get(Lead, "a")


@pytest.fixture
async def image(server: Server) -> Built:
    """An image with a package in it. It is built once for this package and this guest; what it
    takes then, some 40 seconds, is not in the time of the other tests."""
    server.add("pack", files=FILES)
    return await images.build(
        "test-pack", packages=["pack"], modules=["pack.inner", "html.entities"]
    )


async def test_an_isolate_of_an_image_has_its_packages_imported(image: Built, lead: Any) -> None:
    source = """
import sys
loaded = "pack" in sys.modules, "html.entities" in sys.modules, "pack.later" in sys.modules
import pack, pack.later
async def main():
    return loaded, pack.later.answer, pack.__file__
"""
    found = await lead.run(source, image="test-pack")
    assert found == ((True, True, False), 42, "<packages>/pack/__init__.py")


async def test_what_an_image_has_is_read_and_described_without_the_host(
    image: Built, lead: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from facets.isolates.files import Files

    monkeypatch.setattr(Files, "serve", None)
    source = """
import importlib.metadata, importlib.resources, inspect, pkgutil
import pack
async def main():
    return (
        importlib.metadata.version("pack"),
        importlib.resources.files("pack").joinpath("words.txt").read_text(),
        pkgutil.get_data("pack", "words.txt").decode(),
        [one.name for one in pkgutil.iter_modules(pack.__path__)],
        inspect.getsource(pack.inner.twice),
    )
"""
    assert await lead.run(source, image="test-pack") == (
        "1.0", "héllo", "héllo", ["inner", "later"], "def twice(x):\n    return 2 * x\n",
    )  # fmt: skip


async def test_a_traceback_shows_the_lines_of_a_package_in_an_image(
    image: Built, lead: Any
) -> None:
    source = "import pack\nasync def main(): pack.inner.fail()"
    with pytest.raises(ValueError, match="x") as caught:
        await lead.run(source, image="test-pack")

    shown = "File \"<packages>/pack/inner.py\", line 5, in fail\n    raise ValueError('x')"
    assert shown in caught.value.traceback  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "error"), [("broken", SyntaxError), ("raises", RuntimeError), ("nope", ImportError)]
)
async def test_what_could_not_be_imported_fails_where_a_tool_imports_it(
    image: Built, lead: Any, name: str, error: type[Exception]
) -> None:
    source = f"async def main():\n    import {name}\n"
    with pytest.raises(error):
        await lead.run(source, image="test-pack")
    assert await lead.run("import warns\nasync def main(): return warns.x", image="test-pack")


async def test_what_was_drawn_while_it_was_built_is_the_same_in_every_isolate(
    image: Built, lead: Any
) -> None:
    source = "import pack, random\nasync def main(): return pack.drawn, random.random()"
    one, other = [await lead.run(source, image="test-pack") for _ in range(2)]

    assert one[0] == other[0]
    assert one[1] != other[1]


async def test_the_pool_makes_instances_of_an_image_too(image: Built, lead: Any) -> None:
    made = native.load(image.path)
    made.pool.drain()
    await lead.run("async def main(): pass", image="test-pack")
    async with asyncio.timeout(60):
        while not made.pool.ready:
            await asyncio.sleep(PAUSE)
            await asyncio.wrap_future(workers._idle().submit(int))
    source = "import pack\nasync def main(): return pack.inner.twice(1)"
    assert await lead.run(source, image="test-pack") == 2
    made.pool.drain()


async def test_an_image_that_is_there_is_not_built_again(
    image: Built, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "_baked", None)
    modules = ["html.entities", "pack.inner", "pack.inner"]
    again = await images.build("test-other", packages=image.lock, modules=modules)

    assert again.key == image.key
    assert images.find("test-other").lock == image.lock
    assert images.find("test-other").path == image.path


async def test_packages_that_an_image_has_are_not_fetched_and_others_are_refused(
    image: Built, server: Server, lead: Any
) -> None:
    server.asked.clear()
    forget()
    source = "# /// script\n# dependencies = ['pack>=1']\n# ///\nasync def main(): return 1"

    assert await lead.run(source, image="test-pack", packages=["pack"]) == 1
    assert await lead.run(source, image="test-pack", packages=image.lock) == 1
    with pytest.raises(errors.BadLock, match="the image has no such package"):
        await lead.run(source, image="test-pack", packages=["more"])
    other = Lock((packages.Pin("b", "1", "https://x/b.whl", "b" * 64, "b-1-py3-none-any.whl"),))
    with pytest.raises(errors.BadLock, match="does not have b 1"):
        await lead.run(source, image="test-pack", packages=other)
    assert server.asked == []


async def test_memory_has_room_for_what_an_image_takes(image: Built, lead: Any) -> None:
    assert await lead.memory(image="test-pack") >= image.memory + (32 << 20)
    small = Limits(memory=32 << 20)
    with pytest.raises(errors.IsolateError, match="leaves nothing"):
        await lead.run("async def main(): pass", image="test-pack", limits=small)


async def test_code_in_an_image_is_other_code(image: Built, lead: Any) -> None:
    assert await lead.start() == 1
    with pytest.raises(errors.FacetRunsOtherCode):
        await lead.start(image="test-pack")


SAID = """componentize-py failed:
Traceback (most recent call last):
  File "<string>", line 1, in <module>
AssertionError: Traceback (most recent call last):
  File "/0/isolate/baked.py", line 105, in bake
    importlib.import_module(name)
ModuleNotFoundError: No module named 'absent'


Caused by:
    ModuleNotFoundError: No module named 'absent'

Stack backtrace:
   0: <anyhow::Error>::msg::<alloc::string::String>
"""


async def test_a_module_that_does_not_import_fails_the_build(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bake(made: Path, folder: Path, seconds: float) -> None:
        assert (folder / "files/pack/__init__.py").read_text() == FILES["pack/__init__.py"]
        assert '"must": ["absent"]' in (folder / "modules.json").read_text()
        raise RuntimeError(SAID)  # as the builder said it; to hear it takes 10 s

    monkeypatch.setattr(guest_build, "bake", bake)
    server.add("pack", files=FILES)
    with pytest.raises(errors.BuildFailed, match="No module named 'absent'") as caught:
        await images.build("test-failing", packages=["pack"], modules=["absent"])

    assert "importlib.import_module(name)" in caught.value.output
    assert "backtrace" not in caught.value.output
    with pytest.raises(errors.ImageMissing, match="no image 'test-failing' was built"):
        images.find("test-failing")


@pytest.mark.parametrize("name", ["../x", "", "UPPER", "a" * 65, "science", "python"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(errors.ImageMissing, match="is not a name for an image"):
        images.find(name)


def test_an_image_of_another_version_has_to_be_built_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FACETS_CACHE_DIR", str(tmp_path))
    built = Built("mine", "0" * 32, Lock(), (), 1)
    built.path.write_bytes(b"")
    names.keep(built)
    assert images.find("mine") == built
    monkeypatch.setattr(names, "guest_hash", lambda: "other")
    names._found.clear()
    with pytest.raises(errors.ImageMissing, match="another version"):
        images.find("mine")
    for text in ("", "[]", '{"key": "../../x"}'):
        (tmp_path / "images/mine.json").write_text(text)
        names._found.clear()
        with pytest.raises(errors.ImageMissing, match="makes no sense"):
            images.find("mine")
    assert cache_folder("images") == tmp_path / "images"


@pytest.mark.parametrize("builder", ["componentize-nothing==1", "packaging==0.0.1"])
async def test_without_the_builder_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, builder: str
) -> None:
    monkeypatch.setenv("FACETS_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(guest_build, "BUILDER", builder)
    with pytest.raises(errors.BuilderUnavailable, match=f"images need {builder}") as caught:
        await images.build("test-none")
    assert "facets-runtime[images]" in str(caught.value)
