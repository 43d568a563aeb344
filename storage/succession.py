"""What the history hears of a record that puts actors in the place of others.

All of it waits in the store's endings until the record is durable. Nothing here fails: the record
cannot be taken back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
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


def homes_of(store: Store, rows: Sequence[Row]) -> dict[int, int]:
    """By uid, whose history each actor of a subtree is in; parents come before children."""
    said, found = store.catalogue.homes, dict[int, int]()
    for row in rows:
        above = found.get(row.parent) or (store.databases.at(row).tree if row.parent else row.uid)
        found[row.uid] = said.get(row.uid) or above
    return found


def over(store: Store, homes: Iterable[int]) -> list[int]:
    """Histories that nobody needs any more, now that a whole tree with part in these is gone; part
    of the catalogue's open step, which forgets what they led to."""
    waiting, found = sorted(set(homes)), list[int]()
    while waiting:
        home = waiting.pop()
        if home not in found and store.catalogue.is_over(home):
            found.append(home)
            waiting += store.catalogue.unlink(home)  # nobody else may have led to those
    return found


def replaced(
    store: Store,
    sequence: int,
    old: Sequence[tuple[Row, Story | None]],
    new: Sequence[Row],
    homes: Mapping[int, int],
    forgotten: Collection[int] = (),
) -> None:
    """Record `sequence` put `new` in the place of `old`; `homes` says whose histories they are in.
    Files that nobody has any more are removed when the record is durable and history has what they
    held. Histories that are `forgotten` go as well."""
    parts = (homes[row.uid] for row in (*(row for row, _ in old), *new))
    for home in dict.fromkeys((*parts, *forgotten)):
        ends = [one for one in old if homes[one[0].uid] == home]
        begins = [row for row in new if homes[row.uid] == home]
        mark = bookmark(store.epoch, sequence, now())
        told = store.chronicler.ended(home, mark, ends, begins)
        forget = partial(store.chronicler.archive.forget, home)
        tell = forget if home in forgotten else told
        needed, remains = _remains(store, sequence, ends, begins)
        store.chronicler.endings.add(Ending(home, sequence, needed, tell, remains))


def _remains(
    store: Store, sequence: int, old: Sequence[tuple[Row, Story | None]], new: Sequence[Row]
) -> tuple[int, list[Remains]]:
    """The oldest record that is needed until these are told of, and the files that end."""
    kept = {(row.uid, row.generation) for row in new if row.file}
    files = [row for row, _ in old if row.file and (row.uid, row.generation) not in kept]
    firsts = [first for row in files if (first := store.gone(row)) is not None]
    remains = [
        Remains(store.layout.path(row.uid, row.generation), store.databases.live.get(row.uid))
        for row in files
    ]
    return min(firsts, default=sequence), remains
