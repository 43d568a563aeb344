"""Operations on a whole subtree: an actor and all its facets.

Each imports what it needs of storage itself: most programs never use one.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from actors.call import CURRENT
from actors.errors import ActorBroken, ActorRestored
from actors.quotas.allowance import check_room
from actors.transaction import refuse
from storage.errors import StorageError

if TYPE_CHECKING:
    from actors.host import Host
    from actors.node import Node
    from storage.clone import PastClone
    from storage.compact import Compaction
    from storage.graft import Graft
    from storage.objects import ObjectStore


async def clone_tree(source: Node, target: Node, at: str | None = None) -> None:
    """Copy `source` as of now, or of a bookmark, over `target`; durable on return to the outside.

    The source goes on meanwhile. The target ends, and what it held is gone, in the record that
    brings the copy: a crash leaves the one or the other, whole.
    """
    from storage.clone import PastClone, clone
    from storage.history import Bookmark

    store, wanted = target.host.store, None if at is None else Bookmark.parse(at)
    if source is target and wanted is None:
        return
    ready(source, f"cloning {source.id}")
    job = (
        clone(store, source.database, target.database)
        if wanted is None
        else PastClone(store, source.database, target.database, wanted)
    )
    await _put(target, job)


async def import_tree(target: Node, path: Path) -> None:
    """Put the subtree of an archive in the place of `target`, with the same promise."""
    from storage.archive import import_

    ready(target, f"importing {target.id}")
    await _put(target, import_(target.host.store, path, target.database))


async def export_tree(source: Node, path: Path) -> None:
    """Write `source` as of now into one file, which appears when it is complete and everything
    in it is durable."""
    from storage.archive import Export

    ready(source, f"exporting {source.id}")
    host = source.host
    with host.job():
        job = Export(host.store, source.database, path)
        try:
            await host.gate.passed(job.sequence, host.remote(job.sequence))
            await host.aside(job.work)
        finally:
            job.close()


async def restore_tree(target: Node, bookmark: str) -> str:
    """Put a subtree back to what it was at `bookmark`; the bookmark that undoes it.

    Its actors end, and start on the restored state with the next call. Crash-atomic.
    """
    from storage.history import Bookmark
    from storage.restore import Restore

    wanted = Bookmark.parse(bookmark)
    ready(target, f"restoring {target.id}")
    host = target.host
    with host.job():
        job = Restore(host.store, target.database, wanted)
        try:
            await host.aside(job.work)
            check_room(target, *job.size)
            undo = str(host.store.bookmark())
            target.abort(ActorRestored(f"{target.id} was restored", undo=undo, bookmark=bookmark))
        except BaseException:
            job.cancel()
            raise
        sequence, made = job.finish()
    await _left(host, sequence)
    return str(made)


async def retrieve_tree(
    target: Node, when: str | int | None, replica: ObjectStore, host: str
) -> str:
    """Put a root actor back to what a replica has of it; the bookmark that undoes it.

    With the same promise. The replica is only read.
    """
    from storage.history import Bookmark
    from storage.retrieval import Retrieval

    wanted = Bookmark.parse(when) if isinstance(when, str) else when
    ready(target, f"restoring {target.id}")
    here = target.host
    with here.job():
        job = Retrieval(here.store, target.database, replica, host, wanted)
        try:
            await here.elsewhere(job.read)
            await here.aside(job.graft().work)
            undo = str(here.store.bookmark())
            error = ActorRestored(f"{target.id} was restored", undo=undo, bookmark=str(when or ""))
            target.abort(error)
        except BaseException:
            job.cancel()
            raise
        sequence, made = job.finish()
    await _left(here, sequence)
    return str(made)


ATTEMPTS = 3


async def compact(node: Node) -> None:
    """Make the database file of a node as small as its content."""
    from storage.compact import Compaction

    host = node.host
    for _ in range(ATTEMPTS):
        sequence = await _compacted(host, Compaction(host.store, node.database))
        if sequence is not None:
            await _left(host, sequence)
            return
    raise StorageError(
        f"{node.id} was written to while it was compacted, {ATTEMPTS} times",
        hint="do it inside `async with self.exclusive():` or when it is idle",
    )


async def _compacted(host: Host, job: Compaction) -> int | None:
    with host.job():
        try:
            await host.aside(job.work)
        except BaseException:
            job.cancel()
            raise
        return job.finish()


async def bookmark_at(node: Node, at: float) -> str:
    """The newest bookmark of a node's tree made at or before `at`, in seconds since 1970."""
    from storage.past import bookmark_at as find_bookmark

    found: list[str] = []
    find = find_bookmark(node.host.store, node.database, at)
    await node.host.aside(lambda: found.append(str(find())))
    return found[0]


def ready(node: Node, what: str) -> None:
    """The caller's step ends here; nothing of it may be part of a transaction."""
    call = CURRENT.get()
    if call is not None:
        refuse(call, what)
        call.activation.leave()
    else:
        node.host.check_open()


async def _put(target: Node, graft: Graft | PastClone) -> None:
    host = target.host
    with host.job():
        try:
            await host.aside(graft.work)
            check_room(target, *graft.size)
            target.abort(ActorBroken(f"{target.id} was replaced"))
        except BaseException:
            graft.cancel()
            raise
        sequence = graft.finish()
    await _left(host, sequence)


async def _left(host: Host, sequence: int) -> None:
    """The caller depends on this record from now on."""
    call = CURRENT.get()
    if call is not None:
        call.activation.wrote(sequence)
    else:
        await host.gate.passed(sequence, host.remote(sequence))
