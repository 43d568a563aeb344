"""Everything the guest may import, and what becomes of it."""

from __future__ import annotations

import pytest

from facets.isolates import engine, image, wasi
from tests.isolates.conftest import Open
from tests.isolates.fake import Owner

OURS = {"facets:guest/host"}
TRAPS = {
    "wasi:cli/exit", "wasi:cli/stderr", "wasi:cli/stdin", "wasi:cli/stdout",
    "wasi:cli/terminal-input", "wasi:cli/terminal-output", "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin", "wasi:cli/terminal-stdout", "wasi:filesystem/types",
    "wasi:io/error", "wasi:io/poll", "wasi:io/streams", "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup", "wasi:sockets/network", "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket", "wasi:sockets/udp", "wasi:sockets/udp-create-socket",
}  # fmt: skip
STDLIB = """abc argparse array ast asyncio base64 bisect bz2? calendar collections configparser
    contextlib csv dataclasses datetime decimal difflib dis email enum fnmatch fractions
    functools getpass gettext glob graphlib gzip hashlib heapq hmac html html.parser http
    http.client importlib.resources inspect io ipaddress itertools json keyword linecache locale
    logging math mimetypes numbers operator os pathlib pickle pickletools pkgutil platform
    plistlib pprint queue quopri random re reprlib sched secrets selectors shelve shlex shutil
    signal socket stat statistics string string.templatelib struct symtable sysconfig tarfile
    tempfile textwrap threading time timeit token tokenize tomllib traceback types typing
    unicodedata urllib.parse urllib.request uuid warnings wave weakref xml.dom.minidom
    xml.etree.ElementTree zipfile zipimport zlib zoneinfo _pydatetime annotationlib sqlite3?
    ssl? ctypes? multiprocessing? subprocess? lzma? mmap? unittest? doctest?""".split()  # noqa: SIM905 - a list would be a line for each


def test_every_import_is_ours_or_a_trap(guest: image.Image) -> None:
    imports = {name.partition("@")[0] for name in engine.imports_of(guest.engine, guest.component)}

    assert imports == OURS | set(wasi.FUNCTIONS) | TRAPS
    assert sum(map(len, wasi.FUNCTIONS.values())) == 10


async def test_the_standard_library_is_there(start: Open) -> None:
    session = await start(
        """
        import importlib
        def main(names):
            found = {}
            for name in names:
                try:
                    importlib.import_module(name)
                    found[name] = None
                except BaseException as error:
                    found[name] = type(error).__name__ + ": " + str(error)
            return found
        """,
        "main",
        actor=False,
        limits={"memory": 128 << 20},
    )

    found = await session.call("", ([name.rstrip("?") for name in STDLIB],))

    assert {name for name, error in found.items() if error is not None} == {
        name[:-1] for name in STDLIB if name.endswith("?")
    }
    assert all(error.startswith("ModuleNotFoundError") for error in found.values() if error)


async def test_the_standard_library_works(start: Open) -> None:
    session = await start(
        """
        import csv, dataclasses, datetime, io, json, pathlib, re, statistics, urllib.parse
        def main():
            rows = list(csv.DictReader(io.StringIO("a,b\\n1,2\\n")))
            return [
                rows, str(pathlib.PurePath("a") / "b.txt"), urllib.parse.quote("a b"),
                urllib.parse.urlsplit("https://x.example/y?z").query, re.findall(r"\\d+", "a1b22"),
                statistics.median([3, 1, 2]), datetime.datetime.strptime("2024-02-29", "%Y-%m-%d"),
                len(str(7**5000)), "ä.example".encode("idna"), json.dumps({"a": [1, None]}),
                datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC).isoformat(),
            ]
        """,
        "main",
        actor=False,
    )

    import datetime as dt

    assert await session.call("") == [
        [{"a": "1", "b": "2"}], "a/b.txt", "a%20b", "z", ["1", "22"], 2, dt.datetime(2024, 2, 29),
        4226, b"xn--4ca.example", '{"a": [1, null]}', "2024-01-01T00:00:00+00:00",
    ]  # fmt: skip


async def test_nothing_of_the_host_can_be_seen(start: Open) -> None:
    session = await start(
        """
        import os, sys, time, random, uuid
        def main():
            clocks = [time.time() * 1000 % 1, time.monotonic() * 1000 % 1]
            seen = dict(os.environ), sys.argv[1:], os.urandom(8)
            return *seen, random.random(), str(uuid.uuid4()), clocks
        """,
        "main",
        actor=False,
    )
    other = await start("import os\ndef main(): return os.urandom(8)", "main", actor=False)

    environ, argv, entropy, number, unique, clocks = await session.call("")

    assert (environ, argv) == ({}, [])
    assert await other.call("") != entropy
    assert all(min(rest, 1 - rest) < 0.01 for rest in clocks)
    assert 0 <= number < 1
    assert len(unique) == 36


@pytest.mark.parametrize("names", [("facets",), ("isolate.values",), ("app",)])
async def test_a_tool_cannot_take_the_runtimes_names(start: Open, names: tuple[str, ...]) -> None:
    from facets.isolates.errors import LoadError

    with pytest.raises(LoadError, match="belongs to the runtime"):
        await start({"main": "def main(): pass"} | dict.fromkeys(names, ""), "main", actor=False)


async def test_what_facets_lacks_inside_is_said(start: Open, owner: Owner) -> None:
    from facets.isolates.errors import LoadError

    with pytest.raises(LoadError, match="LocalRuntime"):
        await start("from facets import LocalRuntime")
