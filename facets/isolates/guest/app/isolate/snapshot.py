"""Makes the snapshot so that running in it copies few of its pages.

A page that is written costs an isolate 4 KiB and some microseconds. Two habits of the interpreter
would write all over the heap:

- It counts references in the objects themselves. `settle` lists every object there is; the build
  marks them immortal (`build.py`), and the interpreter does not count those.
- It puts a new object into any hole of its size. `settle` fills the holes with blocks that
  nobody frees, so that what a tool allocates lies together behind them.
"""

import gc
import types
from collections import deque

MARK = b"facets-immortal:"
LARGEST = 1 << 20
GRAIN = 8
_SKIPPED = (types.FrameType, types.GeneratorType, types.CoroutineType)
_immortal = []
_fillers = deque()
_marks = []


def settle():
    """Called last at build: list the objects, fill the holes, hide both from the collector."""
    gc.collect()
    _immortal.extend(_objects())
    # Where the build finds the list, and with it its items: the address of the list object.
    _marks.append(MARK + b"%08x" % id(_immortal))
    gc.collect()
    _fill()
    gc.freeze()


def _objects():
    """Every object that can be found, once."""
    found = {}
    todo = gc.get_objects()
    while todo:
        fresh = [x for x in todo if id(x) not in found and not isinstance(x, _SKIPPED)]
        found.update((id(x), x) for x in fresh)
        todo = gc.get_referents(*fresh)
        for one in fresh:
            todo.extend(_hidden(one))
    mine = {id(found), id(todo)}
    return [x for x in found.values() if id(x) not in mine]


def _hidden(one):
    """What `gc.get_referents` does not say."""
    if isinstance(one, types.CodeType):
        return [
            one.co_consts, one.co_names, one.co_name, one.co_qualname, one.co_filename,
            one.co_linetable, one.co_exceptiontable,
        ]  # fmt: skip
    if isinstance(one, type):
        return gc.get_referents(one.__dict__)
    return ()


def _fill():
    """Take every free block below the end of the heap."""
    end = id(bytes(LARGEST))  # so large that it lies behind everything
    for size in range(LARGEST, GRAIN, -GRAIN):
        while id(block := bytes(size)) < end:
            _fillers.append(block)
        block = None
    while id(block := object()) < end:
        _fillers.append(block)
