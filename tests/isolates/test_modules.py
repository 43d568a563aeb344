"""Modules and files: what their names say, how they are imported and read."""

from __future__ import annotations

import hashlib
import pickle
from textwrap import dedent
from typing import Any

import pytest

from facets.errors import BadModules, GuestError, ModulesTooLarge, ProtocolViolation
from facets.isolates import Code, modules
from facets.isolates.files import PIECE
from tests.isolates.conftest import Open

SHOP: dict[str, Any] = {
    "main": """
        import importlib.resources
        import logo, prompt
        from shop import cart, prices
        from shop.deep import thing

        async def imported():
            return cart.total(), prices.value, thing.place(), logo.value, prompt.value

        async def listed():
            root = importlib.resources.files("shop")
            found = sorted(one.name for one in root.iterdir())
            return found, (root / "deep").is_dir(), (root / "no").is_file()

        async def read():
            root = importlib.resources.files("shop")
            with (root / "prices.json").open() as file:
                first = file.read()
            here = importlib.resources.files()
            return first, importlib.resources.read_text("shop", "prices.json"), (
                here.joinpath("logo.png").read_bytes(), here.joinpath("prompt.txt").read_text(),
            )

        async def big():
            return hash(importlib.resources.files("shop").joinpath("big.bin").read_bytes())

        async def fail():
            cart.fail()

        async def missing(name):
            __import__(name)

        async def gone():
            importlib.resources.files("shop").joinpath("..", "main.py").read_text()
    """,
    "shop": "ready = True\n",
    "shop.cart": """
from . import prices, ready
from .deep.thing import place

def total():
    return sum(prices.value) if ready else None

def fail():
    raise ValueError("no cart")
""",
    "shop/deep/thing.py": "from ..cart import *\ndef place(): return __package__, __file__\n",
    "shop/prices.json": "[1, 2, 3]",
    "shop/both.csv": "a,b",
    "shop/both.txt": "a b",
    "shop/big.bin": bytes(range(256)) * (2 * PIECE // 256 + 1),
    "logo.png": b"\x00\xff",
    "prompt.txt": "hé",
}


def shop() -> dict[str, Any]:
    return {k: dedent(v) if isinstance(v, str) else v for k, v in SHOP.items()}


async def test_modules_import_each_other_and_files_by_name(start: Open) -> None:
    session = await start(shop(), "", actor=False)

    assert await session.call("imported") == (
        6, [1, 2, 3], ("shop.deep", "shop/deep/thing.py"), b"\x00\xff", "hé",
    )  # fmt: skip


async def test_files_are_read_by_importlib_resources(start: Open) -> None:
    session = await start(shop(), "", actor=False)

    names = ["__init__.py", "big.bin", "both.csv", "both.txt", "cart.py", "deep", "prices.json"]
    assert await session.call("listed") == (names, True, False)
    assert await session.call("read") == ("[1, 2, 3]", "[1, 2, 3]", (b"\x00\xff", "hé"))


async def test_a_file_longer_than_a_message_arrives_whole(start: Open) -> None:
    source = """
        import hashlib, importlib.resources
        async def run():
            content = importlib.resources.files().joinpath("big.bin").read_bytes()
            return len(content), hashlib.sha256(content).hexdigest()
    """
    big = SHOP["shop/big.bin"]
    session = await start({"main": dedent(source), "big.bin": big}, "run", actor=False)

    assert await session.call("") == (len(big), hashlib.sha256(big).hexdigest())


async def test_a_traceback_shows_the_lines_of_every_module(start: Open) -> None:
    session = await start(shop(), "", actor=False)
    with pytest.raises(ValueError, match="no cart") as caught:
        await session.call("fail")

    assert isinstance(caught.value, GuestError)
    trace = caught.value.traceback
    assert 'File "shop/cart.py", line 9, in fail\n    raise ValueError("no cart")' in trace
    assert "isolate" not in trace
    assert "importlib" not in trace


async def test_a_package_is_shown_by_its_init(start: Open) -> None:
    session = await start(
        {"main": "import pack\nasync def run():\n    pack.fail()\n", "pack/__init__.py": FAIL},
        "run",
        actor=False,
    )
    with pytest.raises(ZeroDivisionError) as caught:
        await session.call("")

    assert 'File "pack/__init__.py", line 2, in fail' in caught.value.traceback  # type: ignore[attr-defined]


FAIL = "def fail():\n    1 / 0\n"


@pytest.mark.parametrize("name", ["shop.both", "shop.none", "nothing", "logo.png"])
async def test_what_is_not_there_or_not_one_is_not_imported(start: Open, name: str) -> None:
    session = await start(shop(), "", actor=False)
    with pytest.raises(ModuleNotFoundError):
        await session.call("missing", (name,))


async def test_no_path_leads_out_of_the_files(start: Open) -> None:
    session = await start(shop(), "", actor=False)
    with pytest.raises(FileNotFoundError):
        await session.call("gone")


async def test_files_can_be_read_without_storage_and_leave_a_step_alone(
    start: Open, owner: Any
) -> None:
    source = """
from facets import Actor
import importlib.resources
class Tool(Actor):
    async def run(self):
        self.sql("create table t(x)")
        text = importlib.resources.files().joinpath("a.txt").read_text()
        self.sql("insert into t values (?)", text)
"""
    session = await start({"main": source, "a.txt": "here"})
    await session.call("run")

    assert owner.values("select x from t") == ["here"]
    assert owner.events.count("commit") == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"main": "", "a-b": ""}, "'a-b' is not the name of a module"),
        ({"main": "", "../x.json": ""}, "is not a path below"),
        ({"main": "", "/x.json": ""}, "is not a path below"),
        ({"main": "", "a//x.json": ""}, "is not a path below"),
        ({"main": "", "a\\x.json": ""}, "is not a path below"),
        ({"main": "", "a/\0.json": ""}, "is not a path below"),
        ({"main": "", "x" * 2000: ""}, "is not the name of a module"),
        ({"main": "", "": ""}, "is not the name of a module"),
        ({"main": "", "tool": b"x = 1"}, "its source is bytes"),
        ({"main": "", "a.tool": "", "a/tool.py": ""}, "'a.tool' is given twice"),
        ({"main": "", "x.json": "", "./x.json": ""}, "'x.json' is given twice"),
        ({"main": "", "x/y.json": "", "x/y.json/z.json": ""}, "and a folder of other files"),
        ({"main": "", "x.json": "\ud800"}, "that UTF-8 cannot hold"),
    ],
)
def test_a_name_that_makes_no_sense_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(BadModules, match=said.replace("\\", "\\\\")) as caught:
        Code.of(given)

    assert isinstance(caught.value, ValueError)


def test_content_is_text_or_bytes() -> None:
    with pytest.raises(TypeError, match=r"the content of 'x\.json' is dict"):
        Code.of({"main": "", "x.json": {}})  # type: ignore[dict-item]


def test_modules_over_the_limit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modules, "MOST", 100)
    Code.of({"main": "x" * 50, "a.bin": b"x" * 50})
    with pytest.raises(ModulesTooLarge, match="more than 100 bytes"):
        Code.of({"main": "x" * 50, "a.bin": b"x" * 51})


def test_code_with_files_is_equal_by_content() -> None:
    code = Code.of({"main": "", "a/b.json": "{}", "p/__init__.py": ""})

    assert code == Code.of({"main": "", "a/b.json": b"{}", "p/__init__.py": ""})
    assert code != Code.of({"main": "", "a/b.json": "[]", "p/__init__.py": ""})
    assert code != Code.of({"main": "", "a/b.json": "{}", "p": ""})
    assert pickle.loads(pickle.dumps(code)) == code


@pytest.mark.parametrize(
    "question",
    [
        '["read","main.py"]',
        '["read","main.py",-1]',
        '["read","main.py",true]',
        '["read","main.py","0"]',
        '["find"]',
        '["find",1]',
        '["find",["x"]]',
        '["load","a","b"]',
        '["exec","x"]',
        '[["find"],"x"]',
        "[]",
    ],
)
async def test_a_question_that_no_guest_asks_kills(start: Open, question: str) -> None:
    source = f"""
        from wit_world.imports import host
        async def run():
            host.call('[0,0,"file",{question}]')
    """
    session = await start(source, "run", actor=False)
    with pytest.raises(ProtocolViolation, match="a malformed request for a file"):
        await session.call("")


@pytest.mark.parametrize("path", ["/etc/passwd", "../main.py", "nothing", "shop", "", "a" * 99999])
async def test_what_is_asked_for_by_hand_is_found_only_among_the_files(
    start: Open, path: str
) -> None:
    source = """
from wit_world.imports import host
async def run(path):
    import json
    return [host.call(json.dumps([0, 0, "file", [what, path, *more]]))[:40]
            for what, more in (("load", []), ("read", [0]))]
"""
    session = await start({"main": source, "shop/x.json": ""}, "run", actor=False)
    for answer in await session.call("", (path,)):
        assert answer.startswith('[false,{"type":"FileNotFoundError"')
