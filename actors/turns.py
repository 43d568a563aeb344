"""Who is next: trees take turns, and none has more than its share under way."""

from __future__ import annotations

from collections import OrderedDict, deque


class Turns:
    """A queue of actors, by tree. Fair between trees, in order within one."""

    def __init__(self, share: int) -> None:
        self._share = share
        """How many of one tree may be under way."""
        self._waiting: OrderedDict[int, deque[int]] = OrderedDict()
        """Trees whose turn may come."""
        self._held: dict[int, deque[int]] = {}
        """Trees that have their share under way."""
        self._running: dict[int, int] = {}
        self._queued: set[int] = set()

    def __len__(self) -> int:
        return len(self._queued)

    def __contains__(self, uid: int) -> bool:
        return uid in self._queued

    def add(self, tree: int, uid: int) -> None:
        """Queue an actor of a tree; nothing happens if it is queued."""
        if uid in self._queued:
            return
        self._queued.add(uid)
        full = self._running.get(tree, 0) >= self._share
        queues = self._held if full else self._waiting
        queues.setdefault(tree, deque()).append(uid)

    def take(self) -> tuple[int, int] | None:
        """The tree whose turn it is, and its next actor, which is under way from now on."""
        if not self._waiting:
            return None
        tree, queue = self._waiting.popitem(last=False)
        uid = queue.popleft()
        self._queued.discard(uid)
        running = self._running[tree] = self._running.get(tree, 0) + 1
        if queue:
            queues = self._held if running >= self._share else self._waiting
            queues[tree] = queue
        return tree, uid

    def over(self, tree: int) -> None:
        """One of a tree that was taken is not under way any more."""
        running = self._running[tree] - 1
        if running:
            self._running[tree] = running
        else:
            del self._running[tree]
        queue = self._held.pop(tree, None)
        if queue is not None:
            self._waiting[tree] = queue

    def clear(self) -> None:
        """Forget who is queued, not who is under way."""
        self._waiting.clear()
        self._held.clear()
        self._queued.clear()
