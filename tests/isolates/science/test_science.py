"""The science interpreter behind the surface of every other isolate."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from facets.isolates import Code
from facets.isolates.errors import (
    CpuLimit,
    GuestAborted,
    GuestError,
    GuestMissing,
    IsolateDead,
    LoadError,
    LogLimit,
    NotTransferable,
    OutputLimit,
    ProtocolViolation,
)
from facets.isolates.own import Own
from facets.isolates.science import image, wasi
from tests.isolates.fake import Owner
from tests.isolates.science.conftest import Open

pytestmark = pytest.mark.timeout(900)  # the first run on a machine compiles

TOOL = """
import asyncio, os, sys, time
from facets import Actor

class Tool(Actor):
    migrations = ["create table if not exists t(n)"]
    async def ok(self): return "ok"
    async def add(self, a, b):
        print("adding")
        self.sql("insert into t values (?)", a + b)
        return a + b
    async def fail(self):
        self.sql("insert into t values (99)")
        raise LookupError("no such thing")
    async def count(self, n):
        for i in range(n):
            await asyncio.sleep(0.001)
            yield i
    async def nap(self):
        time.sleep(0.001)
        return await asyncio.gather(asyncio.sleep(0.001, 1), asyncio.sleep(0.001, 2))
    async def run(self, source):
        scope = {"self": self}
        exec(source, scope)
        return scope.get("result")
"""


async def test_it_is_an_actor_like_any_other(start: Open, owner: Owner) -> None:
    session = await start(TOOL)
    assert await session.call("add", (1, 2)) == 3
    with pytest.raises(LookupError, match="no such thing") as caught:
        await session.call("fail")
    assert isinstance(caught.value, GuestError)
    assert 'File "main.py"' in "".join(caught.value.__notes__)
    assert owner.values("select n from t") == [3]
    assert owner.text == "adding\n"
    assert [item async for item in session.stream("count", (3,))] == [0, 1, 2]
    assert await session.call("nap") == [1, 2]


async def test_code_that_does_not_load_says_where(start: Open) -> None:
    with pytest.raises(LoadError, match=r"main\.py"):
        await start("import facets\n1/0")
    with pytest.raises(LoadError, match="SyntaxError"):
        await start("def f(:")


async def test_arrays_frames_and_figures_cross(start: Open) -> None:
    session = await start("""
        import io
        from facets import Actor

        class Tool(Actor):
            async def mean(self, array):
                return array.mean(axis=0), array.mean()

            async def frame(self, frame):
                frame["c"] = frame["a"] * 2
                return frame

            async def plot(self):
                import matplotlib.pyplot as plt
                figure = plt.figure(figsize=(1, 1))
                figure.gca().plot([1, 2, 3])
                return figure
    """)
    means, mean = await session.call("mean", (np.arange(6.0).reshape(2, 3),))
    assert means.tolist() == [1.5, 2.5, 3.5]
    assert mean == 2.5
    pd = pytest.importorskip("pandas")
    back = await session.call("frame", (pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}),))
    assert back.to_dict("list") == {"a": [1, 2], "b": ["x", "y"], "c": [2, 4]}
    picture = await session.call("plot")
    assert picture.startswith(b"\\x89PNG".decode("unicode_escape").encode("latin-1"))


REACH = """
import os, socket, subprocess, threading, ctypes
found = []
for attempt in (
    lambda: open("/etc/passwd").read(),
    lambda: open("../../../../etc/passwd").read(),
    lambda: os.listdir("/proc"),
    lambda: open("/usr/local/lib/python315.zip", "r+b"),
    lambda: os.remove("/usr/local/lib/python315.zip"),
    lambda: os.symlink("/etc", "/tmp/e"),
    lambda: os.link("/usr/local/lib/python315.zip", "/tmp/z"),
    lambda: socket.socket(),
    lambda: socket.create_connection(("127.0.0.1", 80)),
    lambda: subprocess.run("ls"),
    lambda: threading.Thread(target=print).start(),
    lambda: os.fork(),
    lambda: os.read(1001, 10),
    lambda: os.write(1001, b"x"),
    lambda: ctypes.CDLL("libc.so.6"),
):
    try:
        found.append(repr(attempt()))
    except BaseException as error:
        pass
result = found, dict(os.environ), sorted(os.listdir("/"))
"""


async def test_it_reaches_nothing_outside(start: Open) -> None:
    session = await start(TOOL)
    found, environment, root = await session.call("run", (REACH,))
    assert found == []
    assert environment == dict(one.decode().split("=", 1) for one in wasi.ENVIRONMENT)
    assert root == ["tmp", "usr"]


async def test_what_one_writes_another_does_not_see(start: Open) -> None:
    one, two = await start(TOOL), await start(TOOL)
    await one.call("run", ("open('/tmp/x', 'w').write('secret')",))
    assert await one.call("run", ("result = open('/tmp/x').read()",)) == "secret"
    with pytest.raises(FileNotFoundError):
        await two.call("run", ("open('/tmp/x')",))


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("while True: pass", CpuLimit),
        ("while True: time.time()", CpuLimit),
        ("import os\nos._exit(0)", GuestAborted),
        ("import os\nos.abort()", GuestAborted),
        ("while True: print('x' * 1000)", LogLimit),
        ("import os\nwhile True: os.write(1, b'x' * 1000)", LogLimit),
        ("import os\nos.write(1000, b'c[1,2,\"sql\"]')", ProtocolViolation),
        ("import os\nos.write(1000, b'cnonsense')", ProtocolViolation),
        ("import os\nos.write(1000, b'?')", GuestAborted),
        ("import os\nos.write(1000, b'wx')", GuestAborted),
        ("import os\nos.write(1000, b'o' + bytes(1 << 25))", OutputLimit),
        ("import science_host\nscience_host.answer = lambda text: None", ProtocolViolation),
        (
            "import science_host\nanswer = science_host.answer\n"
            "science_host.answer = lambda text: answer('[[\"ok\",77,1]]')",
            ProtocolViolation,
        ),
        ("result = b'x' * (1 << 25)", OutputLimit),
    ],
)
async def test_what_means_harm_dies_with_its_own_error(
    start: Open, owner: Owner, source: str, error: type[IsolateDead]
) -> None:
    session = await start(TOOL, limits={"cpu": 0.5})
    with pytest.raises(error):
        await session.call("run", (f"import time\n{source}",))
    assert not session.alive
    assert [type(one) for one in owner.deaths] == [error]


async def test_memory_and_recursion_fail_inside(start: Open) -> None:
    session = await start(TOOL, limits={"memory": 64 << 20})
    with pytest.raises(MemoryError):
        await session.call("run", ("x = bytearray(1 << 30)",))
    with pytest.raises(RecursionError):
        await session.call("run", ("def f(): return f()\nf()",))
    with pytest.raises(OSError, match="space"):
        await session.call(
            "run", ("f = open('/tmp/x', 'wb')\nfor _ in range(99): f.write(bytes(1 << 20))",)
        )
    assert await session.call("ok") == "ok"


async def test_the_loop_goes_on_while_it_imports(start: Open) -> None:
    session = await start(TOOL)
    importing = asyncio.ensure_future(session.call("run", ("import numpy; result = 1",)))
    turns = 0
    while not importing.done():
        await asyncio.sleep(0)
        turns += 1
    assert await importing == 1
    assert turns > 100


async def test_the_boot_of_an_interpreter_is_not_held_against_the_tool(
    science: image.ScienceImage, start: Open
) -> None:
    science.pool.drain()
    session = await start(TOOL, limits={"wall": 0.2})  # less than a boot takes
    assert await session.call("ok") == "ok"


async def test_the_next_ones_are_booted_ahead(science: image.ScienceImage, start: Open) -> None:
    science.pool.drain()
    await start(TOOL)
    async with asyncio.timeout(60):
        while not science.pool.ready:
            await asyncio.sleep(0.01)
    ready = science.pool.ready
    await start(TOOL)
    assert science.pool.ready == ready - 1


def test_every_import_has_a_fate(science: image.ScienceImage) -> None:
    imports = {(one.module, one.name) for one in science._module.imports}
    answered = {(wasi.MODULE, name) for name in [*wasi.FUNCTIONS, "fd_write"]}
    refused = imports - answered
    assert answered <= imports
    assert refused == {
        ("host", "call"),
        *(
            (wasi.MODULE, name)
            for name in (
                "path_link", "path_symlink", "poll_oneoff", "proc_exit", "sock_accept",
                "sock_recv", "sock_send", "sock_shutdown",
            )
        ),
    }  # fmt: skip


def test_without_the_package_it_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "PACKAGE", "no-such-package")
    with pytest.raises(GuestMissing, match="pip install"):
        image.find()


def test_a_file_that_is_another_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    (tmp_path / "x").write_bytes(b"other")
    with pytest.raises(GuestMissing, match="not the file"):
        image._checked({image.WASM: tmp_path / "x"}, image.WASM)


def test_an_image_is_part_of_the_identity_and_must_be_known() -> None:
    assert Code.of("x = 1", image="science") != Code.of("x = 1")
    with pytest.raises(ValueError, match="there is science"):
        Code.of("x = 1", image="other")
    with pytest.raises(ValueError, match="runs Python"):
        Code.of(b"\0asm\1\0\0\0", image="science")


async def test_other_isolates_refuse_arrays(start: Open) -> None:
    session = await start(TOOL)
    with pytest.raises(NotTransferable, match="class"):
        await session.call("add", (int, 1))


FETCH = """
import urllib.request
from facets import Actor, fetch

class Tool(Actor):
    async def both(self):
        with urllib.request.urlopen("https://any.test/1") as response:
            first = response.read()
        return first, (await fetch("https://any.test/2")).bytes()
"""


async def test_requests_leave_through_its_egress(start: Open, owner: Owner) -> None:
    async def web(method: str, url: str, *rest: Any) -> Any:
        return {"status": 200, "url": url, "headers": [], "body": url[-1].encode()}

    owner.own = Own()
    owner.own.offer("fetch", web, waits=True)
    session = await start(FETCH)
    assert await session.call("both") == (b"1", b"2")
