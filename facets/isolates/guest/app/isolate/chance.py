"""`random` in an isolate starts from 32 bytes of the host's.

The builder's runtime seeds it before the first call, as two isolates of one snapshot must not draw
the same numbers. Left to itself the generator asks for its whole state then, 2,496 bytes in ten
calls of the host, where 32 are as good a start.
"""

import os
import random

ENOUGH = 32
_seed = random.Random.seed


def seed(self, a=None, version=2):
    """Start from `a`, or from the host's random bytes."""
    _seed(self, int.from_bytes(os.urandom(ENOUGH)) if a is None else a, version)


def install():
    """Before anybody else takes hold of `random.seed`."""
    seed.__doc__ = _seed.__doc__
    random.Random.seed = seed
    random.seed = random._inst.seed
