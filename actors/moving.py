"""Moves of an actor and all below it: rename, move, promote and demote are all this."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.call import CURRENT
from actors.errors import DepthExceeded, OtherRuntime
from actors.names import MAX_DEPTH, check_name, facet_id, root_id
from actors.node import Node, moved
from actors.quotas.allowance import check_arrival
from actors.stub import Stub
from actors.transaction import refuse
from storage.errors import NameTaken

if TYPE_CHECKING:
    from actors.host import Host


def move_node(node: Node, above: Node | None, kind: str, name: str) -> int:
    """Put a node below `above`, or among the roots; the sequence of the record.

    Nothing happens unless it can. The calls to it and to all below it end with `ActorMoved`, and so
    do stubs; what is got at the new place starts over the same data. The caller's step has ended.
    """
    from storage.move import check_move, move

    host, place = node.host, None if above is None else above.database
    there = _who_is_there(host, above, kind, check_name(name))
    _check_depth(node, above)
    check_move(host.store, node.database, place, kind, name)
    if there is not None and _is_awake(there):
        raise NameTaken(f"{there.id} is running", name=name)
    if above is not None:
        check_arrival(node, above)
    to = root_id(kind, name) if above is None else facet_id(above.id, name)
    node.leave(moved(node.id, to))
    host.moves += 1
    sequence = move(host.store, node.database, place, kind, name)
    if there is not None:
        there.take(node.database)
    return sequence


def _who_is_there(host: Host, above: Node | None, kind: str, name: str) -> Node | None:
    """Who was got in the place and may be running, though it has no state."""
    if above is not None:
        return above.children.get(name)
    if host.owns is not None and not host.owns(kind, name):
        raise OtherRuntime(
            f"an actor {name!r} of kind {kind!r} would belong to another host",
            hint="choose another name, or export it and import it there",
        )
    return host.roots.get((kind, name))


async def move_tree(node: Node, above: Node | None, kind: str, name: str) -> None:
    """`move_node` for a runtime: durable when it returns."""
    host, call = node.host, CURRENT.get()
    if call is not None:
        refuse(call, f"moving {node.id}")
        call.activation.leave()
    sequence = move_node(node, above, kind, name)
    if call is not None:
        call.activation.wrote(sequence)
    else:
        await host.gate.passed(sequence, host.remote(sequence))


def parent_of(stub: object, host: Host) -> Node:
    """The node that a stub of the new parent means; its reason if it has ended."""
    if not isinstance(stub, Stub):
        raise TypeError(f"the new parent is given as a stub, not as {type(stub).__name__}")
    node = stub._node
    if node.host is not host:
        raise OtherRuntime(f"{node.id} belongs to another runtime")
    if node.ended is not None and not node.stands:
        raise node.ended
    return node


def _is_awake(node: Node) -> bool:
    return node.activation is not None or node.starting is not None or node.stopping is not None


def _check_depth(node: Node, above: Node | None) -> None:
    depth = 0 if above is None else above.depth + 1
    if depth <= node.depth:
        return
    node.database.look()
    height = node.host.store.catalogue.height(node.database.uid or 0)
    if depth + height > MAX_DEPTH:
        raise DepthExceeded(
            f"{node.id} and what is below it would be {depth + height} levels deep; "
            f"{MAX_DEPTH} is the most"
        )
