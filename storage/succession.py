"""What the history hears of a record that puts actors in the place of others.

All of it waits in the store's endings until the record is durable. Nothing here fails: the record
cannot be taken back.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from storage.catalogue import Row
from storage.endings import Ending, Remains
from storage.history.story import Story, bookmark
from storage.record import now

if TYPE_CHECKING:
    from storage.database import Database
    from storage.store import Store


def began(store: Store, databases: Sequence[Database], sequence: int) -> None:
    """These actors exist from record `sequence` on, without a file."""
    mark = bookmark(store.epoch, sequence, now())
    for one in databases:
        assert one.uid is not None  # noqa: S101 - it has a row
        row = Row(one.uid, one.above, one.kind, one.name, one.generation, 0)
        tell = store.chronicler.ended(one.tree, mark, (), [row])
        store.chronicler.endings.add(Ending(one.tree, sequence, sequence, tell))


def stories(store: Store, rows: Sequence[Row]) -> list[tuple[Row, Story | None]]:
    """These rows, and what there is to tell of their files before they end."""
    told = store.chronicler.story
    return [(row, told(store.databases.at(row)) if row.file else None) for row in rows]


def replaced(
    store: Store,
    tree: int,
    sequence: int,
    old: Sequence[tuple[Row, Story | None]],
    new: Sequence[Row],
) -> None:
    """Record `sequence` put `new` in the place of `old`, and no row is in both. The files of the
    old ones are removed when the record is durable and history has what they held."""
    files = [row for row, _ in old if row.file]
    remains = [
        Remains(store.layout.path(row.uid, row.generation), store.databases.live.get(row.uid))
        for row in files
    ]
    firsts = [store.gone(row) for row in files]
    needed = min([one for one in firsts if one is not None], default=sequence)
    mark = bookmark(store.epoch, sequence, now())
    endings = store.chronicler.endings
    first = old[0][0] if old else None
    if first is not None and not first.parent and first.uid not in {row.uid for row in new}:
        # A whole tree is gone, and its history with it.
        forget = partial(store.chronicler.archive.forget, first.uid)
        endings.add(Ending(first.uid, sequence, needed, forget, remains))
        old, remains = (), []
    if old or new:
        tell = store.chronicler.ended(tree, mark, old, new)
        endings.add(Ending(tree, sequence, needed, tell, remains))
