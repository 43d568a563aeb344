"""`self.storage`: the durable state of an actor as a whole, and its past."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING

from actors.call import CURRENT
from actors.tasks import spawn
from actors.transaction import refuse
from actors.trees import bookmark_at, compact, restore_tree

if TYPE_CHECKING:
    from actors.activation import Activation


class Storage:
    """What `sql`, `kv` and `fs` of one actor are kept in.

    Bookmarks are texts in the order of time; one names a moment of the whole host, so that it
    fits every actor there. They are kept for a week and a gigabyte for each tree (see
    `HistoryLimits`); a busy host may join moments that are close together.
    """

    __slots__ = ("_activation",)

    def __init__(self, activation: Activation) -> None:
        self._activation = activation

    @property
    def size(self) -> int:
        """Bytes of the database."""
        return self._activation.database.size()

    def bookmark(self) -> str:
        """The moment before the current step."""
        return str(self._activation.node.host.store.bookmark())

    async def bookmark_at(self, when: datetime | float) -> str:
        """The newest bookmark at or before a time, in seconds since 1970 or as a datetime.

        `BookmarkGone` if the history of this tree begins later.
        """
        at = when.timestamp() if isinstance(when, datetime) else when
        return await bookmark_at(self._activation.node, at)

    async def restore(self, bookmark: str) -> None:
        """Put this actor and all its facets back to what they were at `bookmark`.

        It does not return: this incarnation ends with `ActorRestored` in every call in progress,
        this one included. Its field `undo` is the bookmark that leads back. The next call
        starts the actor on the restored state.
        """
        call = CURRENT.get()
        if call is not None:
            refuse(call, f"restoring {self._activation.id}")
        self._activation.leave()
        # Not as code of this actor, which will be over before it is done.
        await asyncio.shield(spawn(restore_tree(self._activation.node, bookmark)))

    async def compact(self) -> int:
        """Give back the space that deleted rows and files left; how many bytes it is less."""
        before = self.size
        self._activation.leave()
        await compact(self._activation.node)
        return before - self.size
