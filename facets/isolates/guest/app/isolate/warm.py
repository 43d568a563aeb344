"""Run once at build, so that the snapshot holds what every tool needs already initialised.

Modules imported here cost an isolate nothing until it touches them; a module imported at run
time costs 3 to 13 ms and private memory.
"""

import gc
import importlib
import linecache
import sys

from isolate import boot as booting
from isolate import capabilities, modules, output
from isolate.calls import Calls
from isolate.values import encode

COMMON = """abc argparse array ast asyncio base64 binascii bisect calendar cmath collections.abc
    colorsys configparser contextlib contextvars copy csv dataclasses datetime decimal difflib
    email.message email.utils encodings.ascii encodings.idna encodings.latin_1
    encodings.utf_8_sig enum fnmatch fractions functools glob graphlib hashlib heapq hmac html
    html.parser http.client httpx importlib.metadata importlib.resources inspect io ipaddress
    itertools json keyword linecache logging math numbers operator os pathlib pprint queue random
    re reprlib secrets shlex string string.templatelib struct statistics tempfile textwrap
    threading time tokenize tomllib traceback types typing unicodedata urllib.parse urllib.request
    uuid warnings weakref xml.etree.ElementTree zlib zoneinfo _strptime
    _pylong""".split()  # noqa: SIM905 - a list would be a line for each

ROUNDS = 60
"""Until the interpreter has specialised the code on the way: code that is not yet writes counters
into itself, which copies a page of the snapshot for each isolate."""

SOURCE = """
import asyncio, dataclasses, datetime, enum, json, re, typing
import facets
from facets import Actor

@dataclasses.dataclass
class Point:
    x: int
    y: float = 0.0
    z: list = dataclasses.field(default_factory=list)

@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    name: str
    n: int | None = None

class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"

class Pair(typing.NamedTuple):
    a: int
    b: str = ""

class Known(typing.TypedDict):
    a: int

class Port(typing.Protocol):
    def run(self, n: int) -> str: ...

AMOUNT = re.compile(r"(?P<sign>-?)(?P<whole>\\d+)(?:[.,](?P<cents>\\d{2}))?|[a-z_]+\\s*$", re.I)
DAY = datetime.date.fromisoformat("2026-01-31")

class Tool(Actor):
    migrations = ["create table t(x)"]
    def __init__(self):
        self.n: int = 0
    async def add(self, a: int, b: int = 1) -> int:
        return a + b
    async def kinds(self):
        json.loads(json.dumps({"a": [1, 2.5, None]}, indent=1, sort_keys=True))
        AMOUNT.sub("", "12.50"), Color("red"), Pair(1), Frozen(name="x"), DAY.isoformat()
        return [(1,), {1: "a"}, {"s"}, b"x", "t" * 5000, Point(1), 1.5, 2**70, None]
    async def numbers(self, n):
        for i in range(n):
            yield i
    async def fan(self, n):
        return await asyncio.gather(*[asyncio.sleep(0) for _ in range(n)])
    async def group(self):
        async with asyncio.timeout(1), asyncio.TaskGroup() as tasks:
            tasks.create_task(self.add(1, 2))
        try:
            return {"a": 1}["b"]
        except KeyError as error:
            return repr(error)
    async def bad(self):
        raise ValueError("x")
    async def nap(self):
        await asyncio.sleep(100)
    async def lend(self, cap):
        await cap(1, a="x")
        async for item in cap.items():
            pass
        return await asyncio.gather(cap(1), cap.get((2,)), cap.get({"a": cap}))
    @facets.exclusive
    async def alone(self):
        async with asyncio.Lock():
            pass
        return f"{self.n:>3} {self.name!r}"
"""
REHEARSAL = """
import dataclasses, json, re
from facets import Actor

WORD = re.compile(r"(?P<a>[a-z]+)|\\d{2}")

@dataclasses.dataclass
class Item:
    name: str
    size: int = 0

class Tool(Actor):
    migrations = ["create table t(x)"]

    def __init__(self):
        self.n: int = 0

    def _plain(self, text: str) -> int:
        if not text.strip():
            raise ValueError(f"{text!r} is empty")
        return len(text) + self.n

    async def run(self, n: int = 1) -> dict[str, int]:
        found = {name: self._plain(name) for name in ("a", "b", "c")}
        for i in range(n):
            found[str(i)] = i
        return found

    async def stream(self, n: int):
        for i in range(n):
            yield json.dumps({"i": i, "n": self.n})
"""
_ERROR = {"type": "ValueError", "kinds": ["ValueError"], "message": "x", "hint": "", "fields": {}}
CALLS = {
    "add": [1],
    "kinds": [],
    "numbers": [3],
    "fan": [3],
    "group": [],
    "bad": [],
    "nap": [],
    "alone": [],
}


def warm():
    """Import the common modules, run a tool once, and forget it."""
    for name in COMMON:
        importlib.import_module(name)
    with output.silent():
        for _ in range(ROUNDS):
            _run("main")
            gc.collect()  # the snapshot is as large as the heap ever was
    linecache.cache.clear()
    sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__name__ != "Finder"]


def rehearse():
    """Touch what a load and a call touch, in an isolate that nothing was loaded into yet."""
    _load("rehearsal", REHEARSAL).pump(encode([0.0, ["call", 1, "run", [1], {}]]))
    del sys.modules["rehearsal"]
    linecache.cache.clear()
    capabilities.forget()
    gc.collect()


def _run(name):
    calls = _load(name, SOURCE)
    _call_all(calls)
    del sys.modules[name]
    code = modules.compiled({name: SOURCE}, {})[name].decode("latin-1")
    _load(name, SOURCE, code)
    del sys.modules[name]


def _load(name, source, code=None):
    order = {
        "proto": [1, 1], "main": name, "target": "Tool", "actor": True, "output": 1 << 24,
        "modules": {name: {"$": ["s", 0, len(source)]}},
        "code": {name: {"$": ["b", len(source), len(code)]}} if code else {},
        "identity": {"name": "x"}, "props": {}, "env": {}, "paths": {}, "tops": [],
    }  # fmt: skip
    calls = Calls()
    answer = booting.boot(calls, encode(order) + "\n" + source + (code or ""))
    answer = booting.boot(calls, encode(order))
    if calls.target is None:
        raise RuntimeError(answer)
    return calls


def _call_all(calls):
    for call, (method, args) in enumerate(CALLS.items()):
        calls.pump(encode([0.0, ["call", call, method, args, {}]]))
    calls.pump(encode([5.0, ["cancel", 6, "x"], ["more", 2, 3], ["tick"]]))
    about = {"kind": "object", "name": "x", "methods": {"": "call", "get": "call"}}
    calls.pump(encode([6.0, ["call", 9, "lend", [{"$": ["r", 1, about]}], {}]]))
    calls.pump(encode([6.0, ["ans", 1, {"$": ["t", [1, 2]]}]]))
    calls.pump(encode([6.0, ["item", 2, 1], ["item", 2, "x"], ["end", 2]]))
    answers = [["ans", 3, 1], ["ans", 4, {"a": 1}], ["err", 5, _ERROR]]
    calls.pump(encode([6.0, *answers]))
