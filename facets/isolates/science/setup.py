"""What each science interpreter runs first: its own modules, and the way to the host.

The modules are those of the Python guest, `guest/app`, which speak to the host through
`wit_world.imports.host`; here that module writes to a descriptor. They are files of the library,
so they are imported like any other module.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from facets.isolates.science.wasi import CHANNEL

APP = Path(__file__).parents[1] / "guest" / "app"
FOLDER = "/usr/local/lib/guest"
_UNUSED = frozenset({"app.py", "isolate/library.py", "isolate/warm.py", "isolate/snapshot.py"})

SOURCE = f"""
import os, sys, time
sys.path.insert(0, {FOLDER!r})
import science_host
science_host.install({CHANNEL})
from science_main import turn as _turn
""".encode()

_HOST = '''
"""The host, through one descriptor."""

import os
import sys
import types

_channel = []


def _exchange(kind, text):
    data = kind + text.encode("utf-8", "surrogatepass")
    if os.write(_channel[0], data) != len(data):
        raise OSError("a short write to the host")


def receive():
    size = int.from_bytes(os.read(_channel[0], 8), "little")
    return os.read(_channel[0], size).decode("utf-8", "surrogatepass") if size else ""


def call(message):
    _exchange(b"c", message)
    return receive()


def wait(seconds):
    _exchange(b"w", repr(float(seconds)))


def log(stream, text):
    _exchange(b"l%d" % stream, text)


def answer(text):
    _exchange(b"o", text)


def install(channel):
    _channel.append(channel)
    world = sys.modules["wit_world"] = types.ModuleType("wit_world")
    world.imports = sys.modules["wit_world.imports"] = types.ModuleType("wit_world.imports")
    world.imports.host = sys.modules["wit_world.imports.host"] = sys.modules[__name__]
'''

_MAIN = '''
"""boot and pump, as `app.py` has them for the other guest."""

import gc
import time

import science_host
from isolate import boot, network, output, shapes

network.install()
from isolate import connection

connection.install()
from isolate import arrays, values
from isolate.calls import Calls
from isolate.failures import describe
from isolate.values import encode

_calls = Calls()
_other = values._other


def _scientific(v, blob, depth):
    parts = arrays.take_apart(v)
    if parts is None:
        raise values.Refused(f"{type(v).__name__} cannot cross the isolate's boundary")
    if parts[0] == "=":
        return values._lower(parts[1], blob, depth)
    return {"$": [parts[0], *(values._lower(part, blob, depth) for part in parts[1:])]}


def _lift_scientific(x, blob):
    return arrays.put_together(x[0], [values.lift(part, blob) for part in x[1:]], values.Record)


values._other = lambda v: _scientific if arrays.is_ours(v) else _other(v)
values._LIFT.update(dict.fromkeys(arrays.TAGS, _lift_scientific))


def turn(which):
    message = science_host.receive()
    try:
        if which == "boot":
            said = boot.boot(_calls, message) if message else ""
        else:
            said = _calls.pump(message)
    except BaseException as error:
        if which == "boot":
            said = encode(["err", describe(error)])
        else:
            said = encode([["panic", type(error).__name__, str(error)[:1000]]])
    science_host.answer(said)


def _sleep(seconds):
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    science_host.wait(seconds)


output.install()
time.sleep = _sleep
gc.freeze()
'''


def library() -> Iterator[tuple[str, bytes]]:
    """The modules, as files."""
    yield f"{FOLDER}/science_host.py", _HOST.encode()
    yield f"{FOLDER}/science_main.py", _MAIN.encode()
    yield f"{FOLDER}/isolate/arrays.py", Path(__file__).with_name("arrays.py").read_bytes()
    for path in sorted(APP.rglob("*.py")):
        name = path.relative_to(APP).as_posix()
        if name not in _UNUSED:
            yield f"{FOLDER}/{name}", path.read_bytes()
