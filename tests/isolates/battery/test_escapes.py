"""Python that looks for a way out: through the interpreter, the system, the runtime around it."""

from __future__ import annotations

from typing import Any

import pytest

from facets.isolates.errors import (
    CpuLimit,
    GuestAborted,
    GuestError,
    IsolateDead,
    NotTransferable,
    ProtocolViolation,
    StackLimit,
)
from tests.isolates.battery.conftest import Attack, Ring

HOST = "from wit_world.imports import host\n"
MODULES = [
    "_ctypes", "_posixsubprocess", "multiprocessing", "ctypes.util", "cffi", "resource", "fcntl",
    "mmap", "pty", "ssl", "_testcapi", "_xxsubinterpreters", "venv", "pip", "dbm", "pdb",
    "smtplib", "ftplib", "xmlrpc", "webbrowser", "readline", "curses", "tkinter",
]  # fmt: skip
SYSTEM = [
    "fork", "system", "execv", "kill", "spawnv", "posix_spawn", "chroot", "pipe", "getuid",
    "setuid", "ptrace", "memfd_create", "sendfile", "mkfifo", "umount",
]  # fmt: skip
FILES: dict[str, Attack] = {
    "the memory of the machine": ("open('/dev/mem', 'rb')", FileNotFoundError, ""),
    "the map of the process": ("open('/proc/self/maps')", FileNotFoundError, ""),
    "passwords": ("os.open('/etc/shadow', os.O_RDONLY)", FileNotFoundError, ""),
    "the root": ("os.stat('/')", FileNotFoundError, ""),
    "a symbolic link": ("os.symlink('/etc/passwd', 'x')", FileNotFoundError, ""),
    "a hard link": ("os.link('/etc/passwd', 'x')", FileNotFoundError, ""),
    "a new folder": ("os.mkdir('/tmp/x')", FileNotFoundError, ""),
    "a rename": ("os.rename('/etc/passwd', '/x')", FileNotFoundError, ""),
    "another folder": ("os.chdir('/')", FileNotFoundError, ""),
    "a tree": ("import shutil\nshutil.rmtree('/')", FileNotFoundError, ""),
    "a temporary file": ("import tempfile\ntempfile.mkstemp()", FileNotFoundError, ""),
    "a path": ("import pathlib\nlist(pathlib.Path('/').iterdir())", FileNotFoundError, ""),
    "a descriptor of the host's": ("os.read(3, 10)", OSError, "Bad file descriptor"),
    "a descriptor as a file": ("os.fdopen(3).read()", OSError, "Bad file descriptor"),
    "a copy of a descriptor": ("os.dup(1)", OSError, "Not supported"),
    "a machine library": (
        "import importlib.machinery as m\nm.ExtensionFileLoader('x', '/x.so').load_module()",
        ImportError,
        "library not found",
    ),
    "a machine library by its spec": (
        "import importlib.util as u\n"
        "u.module_from_spec(u.spec_from_file_location('x', '/lib/x.so'))",
        (ImportError),
        "",
    ),
    "a zip file of code": ("import zipimport\nzipimport.zipimporter('/x.zip')", ImportError, ""),
}
NETWORK: dict[str, Attack] = {
    "a raw socket": ("import _socket\n_socket.socket()", PermissionError, "no network"),
    "a name": ("import socket\nsocket.getaddrinfo('localhost', 80)", PermissionError, ""),
    "a name of old": ("import socket\nsocket.gethostbyname('localhost')", GuestAborted, "sockets"),
    "a stream": ("await asyncio.open_connection('127.0.0.1', 80)", PermissionError, ""),
    "a process": ("await asyncio.create_subprocess_exec('id')", NotImplementedError, ""),
    "a shell": ("await asyncio.create_subprocess_shell('id')", NotImplementedError, ""),
    "a server": (
        "import http.server as h\nh.HTTPServer(('', 0), h.BaseHTTPRequestHandler)",
        PermissionError,
        "",
    ),
    "a system log": ("import logging.handlers as h\nh.SysLogHandler()", PermissionError, ""),
    "a bare thread": ("import _thread\n_thread.start_new_thread(print, ())", RuntimeError, ""),
    "a pool of processes": (
        "import concurrent.futures as c\nc.ProcessPoolExecutor()",
        ModuleNotFoundError,
        "",
    ),
}
INTERPRETER: dict[str, Attack] = {
    "bytecode of nonsense": (
        "exec((lambda: 0).__code__.replace(co_code=bytes(range(200)), co_consts=(), co_names=()))",
        GuestAborted,
        "",
    ),
    "bytecode that reads past its constants": (
        "exec(compile('1', 'x', 'eval').replace(co_code=b'\\x64\\xff' * 8, co_stacksize=0))",
        GuestAborted,
        "",
    ),
    "a fault on purpose": ("import faulthandler\nfaulthandler._sigsegv()", GuestAborted, ""),
    "a signal": ("import signal\nsignal.raise_signal(6)", GuestAborted, ""),
    "marshalled nonsense": ("import marshal\nmarshal.loads(b'c' + b'\\xff' * 200)", ValueError, ""),
    "a marshalled bomb": (
        "import marshal\nmarshal.loads(b'[' + b'\\xff\\xff\\xff\\x7f')",
        MemoryError,
        "",
    ),
    "a pickle that calls the system": (
        "import pickle\npickle.loads(b\"cos\\nsystem\\n(S'id'\\ntR.\")",
        AttributeError,
        "system",
    ),
    "no recursion limit": (
        "sys.setrecursionlimit(2**31 - 1)\ndef f(n): return f(n + 1)\nf(0)",
        RecursionError,
        "",
    ),
    "a world without modules": ("sys.modules.clear()\nimport json", (Exception), ""),
    "stdin": ("input()", RuntimeError, "stdin"),
    "a debugger": ("import code\ncode.interact()", RuntimeError, "stdin"),
    "a document of many documents": (
        "import xml.dom.minidom as m\ne = '<!ENTITY a \"' + 'x' * 1000 + '\">'\n"
        'for i in range(20): e += f\'<!ENTITY a{i} "\' + f\'&{"a" + str(i - 1) if i else "a"};\' '
        "* 20 + '\">'\n"
        "m.parseString(f'<!DOCTYPE x [{e}]><x>&a19;</x>')",
        Exception,
        "",
    ),
}
BOUNDARY: dict[str, Attack] = {
    "an operation that is no text": (HOST + "host.call(5)", GuestAborted, ""),
    "a stream of no number": (HOST + "host.log(1 << 40, 'x')", GuestAborted, ""),
    "an empty operation": (HOST + "host.call('')", ProtocolViolation, "malformed"),
    "an operation too many": (HOST + "host.call('[1,1,\"sql\",[]],[]')", ProtocolViolation, ""),
    "a step that is no number": (HOST + 'host.call(\'["1",1,"sql",[]]\')', ProtocolViolation, ""),
    "a file question of nonsense": (
        HOST + 'host.call(\'[1,1,"file",["exec","x"]]\')',
        ProtocolViolation,
        "",
    ),
    "a negative part of a file": (
        HOST + 'host.call(\'[1,1,"file",["read","main.py",-1]]\')',
        ProtocolViolation,
        "",
    ),
    "an operation with a reference": (
        HOST + 'host.call(\'[1,1,"kv",["set","k",{"$":["r",1]}]]\')',
        ProtocolViolation,
        "only data",
    ),
    "an operation of bytes that are not there": (
        HOST + 'host.call(\'[1,1,"kv",["set","k",{"$":["b",0,1000000]}]]\')',
        ProtocolViolation,
        "attachment",
    ),
}


@pytest.mark.parametrize("name", MODULES)
async def test_a_module_that_leads_outside_is_not_there(ring: Ring, name: str) -> None:
    await ring.attack(f"import {name}", ModuleNotFoundError)


@pytest.mark.parametrize("name", SYSTEM)
async def test_a_system_call_that_leads_outside_is_not_there(ring: Ring, name: str) -> None:
    await ring.attack(f"os.{name}", AttributeError, name)


@pytest.mark.parametrize("what", FILES)
async def test_there_is_no_file_system(ring: Ring, what: str) -> None:
    await ring.attack(*FILES[what])


@pytest.mark.parametrize("what", NETWORK)
async def test_there_is_nobody_else(ring: Ring, what: str) -> None:
    await ring.attack(*NETWORK[what])


@pytest.mark.parametrize("what", INTERPRETER)
async def test_an_interpreter_that_is_broken_breaks_nothing_else(ring: Ring, what: str) -> None:
    session = await ring.open(INTERPRETER[what][0], cpu=2.0)

    with pytest.raises(INTERPRETER[what][1], match=INTERPRETER[what][2] or None) as caught:
        await session.call("run")

    assert isinstance(caught.value, GuestError | IsolateDead)
    assert session.alive is not isinstance(caught.value, IsolateDead)


@pytest.mark.parametrize("what", BOUNDARY)
async def test_the_boundary_takes_only_what_it_says(ring: Ring, what: str) -> None:
    await ring.attack(*BOUNDARY[what])


LOOKS: dict[str, tuple[str, Any]] = {
    "the environment": ("return dict(os.environ)", {}),
    "the frames below": (
        "f, n = sys._getframe(), 0\nwhile f: f, n = f.f_back, n + 1\nreturn n < 20", True,
    ),
    "every object": (
        "import gc\nreturn any('wasmtime' in type(o).__module__ for o in gc.get_objects())", False,
    ),
    "every module": (
        "return [m for m in sys.modules if m.startswith(('wasmtime', 'apsw', 'storage'))]", [],
    ),
    "the files of the runtime": ("import glob\nreturn glob.glob('/*')", []),
    "the machine": ("import platform, socket\nreturn [platform.node(), socket.gethostname()]",
                    ["(none)", "(none)"]),
    "an entity of a document": (
        "import xml.dom.minidom as m\n"
        "return 'root:' in m.parseString('<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>'"
        "'<a>&x;</a>').toxml()", False,
    ),
    "a wait that is no number": (HOST + "host.wait(float('nan'))\nreturn 5", 5),
    "a wait into the past": (HOST + "host.wait(-1e300)\nreturn 6", 6),
}  # fmt: skip


@pytest.mark.parametrize("what", LOOKS)
async def test_looking_around_shows_nothing_of_the_host(ring: Ring, what: str) -> None:
    body, shown = LOOKS[what]
    assert await ring.run(body) == shown


NOT_FOUND = [
    '[1,1,"file",["read","../../etc/passwd",0]]',
    '[1,1,"file",["load","/etc/passwd"]]',
    '[1,1,"file",["list","/"]]',
    '[1,1,"file",["read","main.py/../../x",0]]',
    '[1,1,"kv",["__class__"]]',
    '[1,1,"kv",["_kv_get","x"]]',
    '[1,1,"own",["__class__",[],{}]]',
]


@pytest.mark.parametrize("operation", NOT_FOUND)
async def test_a_name_from_inside_is_only_looked_up(ring: Ring, operation: str) -> None:
    assert '[false,{"type":' in await ring.run(HOST + "return host.call(args[0])", operation)


SABOTAGE = [
    "import builtins; builtins.mark = 1; builtins.len = builtins.isinstance = None",
    "from isolate import calls; calls.Calls.pump = None",
    "from isolate import loop; loop.Loop.spin = None",
    "import json; json.loads = json.dumps = None; os.environ['mark'] = '1'",
    "import app; app.pump = app.boot = None",
    "import facets; facets.Actor.sql = facets.Actor.kv = None",
    "import gc; gc.collect = None; gc.disable(); self.kv['mark'] = 1",
]


@pytest.mark.parametrize("body", SABOTAGE)
async def test_who_breaks_his_runtime_breaks_only_his_own(ring: Ring, body: str) -> None:
    session = await ring.open(body)
    try:
        await session.call("run")
        await session.call("ok")
    except (GuestError, IsolateDead) as error:
        assert session.alive is not isinstance(error, IsolateDead)
    other = await ring.open(
        "import json\nreturn json.dumps([len('ab')])", services=type(ring.owner)()
    )
    assert await other.call("run") == "[2]"


BOMBS: dict[str, Attack] = {
    "a power": ("10 ** 10 ** 7", CpuLimit, ""),
    "a number to be printed": ("str(10 ** 5000)", ValueError, "4300 digits"),
    "a text without end": ("'x' * 10**10", OverflowError, ""),
    "a text of all memory": ("'x' * 10**9", MemoryError, ""),
    "a list without end": ("[0] * (1 << 40)", OverflowError, ""),
    "a width": ("'%0*d' % (1 << 31, 1)", OverflowError, ""),
    "a format": ("f'{1:>{1 << 31}}'", ValueError, "digits"),
    "a compressed bomb": (
        "import zlib\nd = zlib.decompressobj()\nb = zlib.compress(bytes(1 << 20))\n"
        "x = []\nwhile True: x.append(zlib.decompress(b))",
        MemoryError,
        "",
    ),
    "brackets in code": ("import ast\nast.parse('(' * 1000 + ')' * 1000)", MemoryError, "complex"),
    "minus in code": ("import ast\nast.literal_eval('-' * 10**5 + '1')", MemoryError, "complex"),
    "objects in json": ("import json\njson.loads('{\"a\":' * 10**5)", StackLimit, ""),
    "a copy that is deep": (
        "import copy\nx = []\nfor _ in range(10**4): x = [x]\ncopy.deepcopy(x)",
        RecursionError,
        "",
    ),
    "one hash for all": (
        "class A:\n    def __hash__(s): return 1\n    def __eq__(s, o): return False\n"
        "{A() for _ in range(10**5)}",
        CpuLimit,
        "",
    ),
    "numbers of one hash": (
        "return {i * (2**61 - 1) for i in range(1000)}",
        ProtocolViolation,
        "same hash",
    ),
    "keys of one hash in storage": (
        "self.kv['x'] = {i * (2**61 - 1): 0 for i in range(1000)}",
        ProtocolViolation,
        "same hash",
    ),
    "a dictionary in itself": ("x = {}\nx['x'] = x\nreturn x", NotTransferable, "deeper"),
    "what is larger than it was": (
        "class L(list):\n    def __len__(s): return 10**9\nreturn L([1])",
        MemoryError,
        "",
    ),
    "an iterator without end": (
        "import itertools\nreturn list(itertools.repeat(0))",
        MemoryError,
        "",
    ),
}


@pytest.mark.parametrize("what", BOMBS)
async def test_a_bomb_goes_off_inside(ring: Ring, what: str) -> None:
    await ring.attack(*BOMBS[what])
