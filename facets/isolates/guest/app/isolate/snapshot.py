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
from itertools import repeat

MARK = b"facets-immortal:"
LARGEST = 1 << 19
MOST_OBJECTS, MOST_FILLERS = 160_000, 40_000
MEMORY = 32 << 20
"""Bytes in which the objects of an image without packages are."""
MOST_PAGES = 250
GRAIN = 8
PROBE = 1 << 16
_SKIPPED = (types.FrameType, types.GeneratorType, types.CoroutineType)
_immortal = []
_fillers = []
_marks = []


def settle(scale=1):
    """Called last at build: list the objects, fill the holes, hide both from the collector.

    `scale` is how much larger this image may be than one without packages.
    """
    gc.collect()
    # Room first: what is kept must not end up behind what the search leaves free.
    _immortal.extend(repeat(None, scale * MOST_OBJECTS))
    _fillers.extend(repeat(None, scale * MOST_FILLERS))
    _list_objects(scale)
    # Where the build finds the list, and with it its items: the address of the list object.
    _marks.append(MARK + b"%08x" % id(_immortal))
    _fill()
    _check(scale * MOST_PAGES)
    gc.freeze()


def _list_objects(scale):
    """Every object that can be found, once. With little memory: an isolate's begins as large."""
    seen = bytearray(scale * MEMORY >> 7)  # a bit for each 16 bytes; objects are no closer
    todo = gc.get_objects()
    place = iter(range(len(_immortal)))
    while todo:
        one = todo.pop()
        if not _first(seen, id(one) >> 4) or isinstance(one, _SKIPPED):
            continue
        if one is not todo and one is not _immortal and one is not _fillers:
            _immortal[next(place)] = one
            todo += gc.get_referents(one)
            todo += _hidden(one)


def _first(seen, number):
    bit = 1 << (number & 7)
    if seen[number >> 3] & bit:
        return False
    seen[number >> 3] |= bit
    return True


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
    gc.collect()
    # Many, as the first ones may fit into holes. All are free again at once.
    end = max([id(block) for block in [bytes(PROBE) for _ in range(16)]])
    free = iter(range(len(_fillers)))
    for size in range(LARGEST, GRAIN, -GRAIN):
        while id(block := bytes(size)) < end:
            _fillers[next(free)] = block
        block = None
    while id(block := object()) < end:
        _fillers[next(free)] = block


def _check(most):
    """Fail the build if small objects still go to many places."""
    made = [bytes(size) for size in [*range(2, 500), *range(2, 100)] for _ in range(5)]
    pages = {id(one) >> 12 for one in made}
    if len(pages) > most:
        raise RuntimeError(f"3,000 small objects are on {len(pages)} pages: the heap has holes")
