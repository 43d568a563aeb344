"""Operations on a whole subtree: an actor and all its facets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from actors.call import CURRENT
from actors.errors import ActorBroken
from actors.transaction import refuse
from storage.archive import Export, import_
from storage.clone import clone
from storage.graft import Graft

if TYPE_CHECKING:
    from actors.node import Node


async def clone_tree(source: Node, target: Node) -> None:
    """Copy `source` as of now over `target`; durable on return to the outside.

    The source goes on meanwhile. The target ends, and what it held is gone, in the record that
    brings the copy: a crash leaves the one or the other, whole.
    """
    if source is target:
        return
    _ready(source, f"cloning {source.id}")
    await _put(target, clone(target.host.store, source.database, target.database))


async def import_tree(target: Node, path: Path) -> None:
    """Put the subtree of an archive in the place of `target`, with the same promise."""
    _ready(target, f"importing {target.id}")
    await _put(target, import_(target.host.store, path, target.database))


async def export_tree(source: Node, path: Path) -> None:
    """Write `source` as of now into one file, which appears when it is complete and everything
    in it is durable."""
    _ready(source, f"exporting {source.id}")
    host = source.host
    job = Export(host.store, source.database, path)
    try:
        await host.gate.passed(job.sequence)
        await host.aside(job.work)
    finally:
        job.close()


def _ready(node: Node, what: str) -> None:
    """The caller's step ends here; nothing of it may be part of a transaction."""
    call = CURRENT.get()
    if call is not None:
        refuse(call, what)
        call.activation.leave()
    else:
        node.host.check_open()


async def _put(target: Node, graft: Graft) -> None:
    host = target.host
    try:
        await host.aside(graft.work)
    except BaseException:
        graft.cancel()
        raise
    target.abort(ActorBroken(f"{target.id} was replaced"))
    sequence = graft.finish()
    call = CURRENT.get()
    if call is not None:
        call.activation.learn(sequence)
    else:
        await host.gate.passed(sequence)
