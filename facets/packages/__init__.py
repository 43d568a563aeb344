"""Packages for isolates: pure Python from an index, locked by hash, never run on the host.

    locking      lock: requirements to a Lock        lock       Lock and Pin, values to be stored
    requirements what may be asked for               script     the block at the top of a script
    resolving    the search for versions             releases   which file of a release is usable
    index        what an index has                   pages      its answers, JSON or HTML
    target       the interpreter inside              fallbacks  packages with a Python twin of C
    wheel        one archive, checked                record     its own list of its files
    store        wheels and locks on this machine    bundle     the packages of one isolate
    wanted       what an isolate was given           errors     everything that goes wrong

Importing this package imports none of resolvelib, packaging and httpx; resolving does.
"""

from facets.packages.errors import PackageError as PackageError
from facets.packages.index import Index as Index
from facets.packages.lock import Lock as Lock
from facets.packages.lock import Pin as Pin
from facets.packages.locking import lock as lock
