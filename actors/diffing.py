"""What differs between two subtrees, told while they run."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from actors.call import CURRENT
from actors.trees import ready

if TYPE_CHECKING:
    from actors.node import Node
    from storage.diff import Diff, Difference


async def diff_trees(
    old: Node, new: Node, at: str | None, to: str | None
) -> AsyncGenerator[Difference, None]:
    """From `old` to `new`, each as of now or of a bookmark; see `storage.diff`.

    Both are held while this goes on: close it (`aclose`) if you stop before the end.
    """
    from storage.diff import Diff
    from storage.history import Bookmark

    host = old.host
    ready(old, f"comparing {old.id}")
    one, two = (None if mark is None else Bookmark.parse(mark) for mark in (at, to))
    with host.job():
        job = Diff(host.store, (old.database, one), (new.database, two))
        try:
            await _depend(old)
            await host.aside(job.work)
            while found := await _more(old, job):
                for difference in found:
                    yield difference
        finally:
            job.close()


async def _depend(node: Node) -> None:
    """What is told may be ahead of the disk."""
    call, host = CURRENT.get(), node.host
    sequence = host.store.committed
    if call is not None:
        call.activation.learn(sequence, host.remote(sequence))
    else:
        await host.gate.passed(sequence, host.remote(sequence))


async def _more(node: Node, job: Diff) -> list[Difference]:
    found: list[Difference] = []
    await node.host.elsewhere(lambda: found.extend(job.next()))
    return found
