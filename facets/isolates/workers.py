"""The few threads on which fibers go on that did not end in their first slice."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

ROUND = 0.01
"""Seconds a fiber runs before the next one in the queue has its turn."""


@cache
def pool() -> ThreadPoolExecutor:
    """The threads; one processor is left to the loop. They end with the process."""
    count = max(1, min(4, (os.cpu_count() or 2) - 1))
    return ThreadPoolExecutor(count, thread_name_prefix="facets-isolate")


@cache
def reader() -> ThreadPoolExecutor:
    """The thread that reads long messages, one after the other: two would only share the
    interpreter's lock, and guests that compute must not wait for them."""
    return ThreadPoolExecutor(1, thread_name_prefix="facets-isolate-read")


@cache
def _idle() -> ThreadPoolExecutor:
    # Not of lower priority: whenever it held the interpreter's lock, the loop would wait for it.
    return ThreadPoolExecutor(1, thread_name_prefix="facets-isolate-ahead")


def submit(job: Callable[[], object]) -> bool:
    """Queue a job that nobody waits for; False if the process is about to end.

    It has a thread of its own: on those above, a load that somebody waits for would queue behind.
    """
    try:
        _idle().submit(job)
    except RuntimeError:
        return False
    return True
