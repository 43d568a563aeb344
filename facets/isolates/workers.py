"""The few threads on which fibers go on that did not end in their first slice."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache

ROUND = 0.01
"""Seconds a fiber runs before the next one in the queue has its turn."""


@cache
def pool() -> ThreadPoolExecutor:
    """The threads; one processor is left to the loop. They end with the process."""
    count = max(1, min(4, (os.cpu_count() or 2) - 1))
    return ThreadPoolExecutor(count, thread_name_prefix="facets-isolate")
