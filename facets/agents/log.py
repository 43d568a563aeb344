"""The events of turns, kept: who comes late, or comes back, reads what it missed and goes on live.

An event is numbered when it happens. Text of a response, and whatever else is not worth a commit,
waits in memory and is written with the step that keeps the response, or the result of a tool: one
row for each such step, and no sync of its own. So a crash loses numbers that somebody may have
seen. They are never used again: when a turn goes on in another incarnation, its numbers go on at
the next multiple of ATTEMPT, and the first is that of a `Restarted`, which is kept at once and says
from where on what was seen is void.

Followers are told that there is something, and read it: from memory, or from the rows if they are
behind. A slow one costs no memory.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from facets.agents.events import KINDS, Event, Missed, Restarted, TextDelta

if TYPE_CHECKING:
    from facets.agents.agent import Agent
    from facets.agents.turns import Turn

ATTEMPT = 10**9
"""Numbers that one incarnation has for one turn."""
PAGE = 32
"""Rows that a follower reads at a time."""


class Feed:
    """What one incarnation knows of the events of a turn that it drives."""

    __slots__ = ("kept", "pending", "size")

    def __init__(self, kept: int, size: int = 0) -> None:
        self.kept = kept
        """The number of the last event that is in a row."""
        self.pending: list[Event] = []
        """Those behind it, without a gap."""
        self.size = size
        """Bytes of the rows."""

    def add(self, event: Event) -> None:
        """It happened."""
        self.pending.append(replace(event, seq=self.kept + len(self.pending) + 1))

    @property
    def speaking(self) -> bool:
        """Whether text is pending that is not void."""
        for event in reversed(self.pending):
            if isinstance(event, TextDelta | Restarted):
                return isinstance(event, TextDelta)
        return False


class Log:
    """The events of one agent's turns. It lives as long as an incarnation."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._feeds: dict[str, Feed] = {}
        """Of turns that are driven here."""
        self._followers: Counter[str] = Counter()
        self._changes: dict[str, asyncio.Future[None]] = {}
        """What the followers of a turn wait for."""

    # -- writing ----------------------------------------------------------------------------

    def begin(self, turn: Turn) -> None:
        """The turn is driven from now on; `turn` as it was before that."""
        if turn.id in self._feeds:
            return
        if turn.begun is None:
            self._feeds[turn.id] = Feed(0)
            return
        last, size = self._sql(
            "select coalesce(max(last), 0), coalesce(sum(length(body)), 0) from agent_events "
            "where turn = ?",
            turn.id,
        ).one()
        self._feeds[turn.id] = Feed((last // ATTEMPT + 1) * ATTEMPT - 1, size)
        self.keep(turn.id, Restarted(turn.id, last))

    def tell(self, turn: str, event: Event) -> None:
        """Something happened. It is kept with the next thing that is; nobody hears of it if the
        turn is not driven."""
        feed = self._feeds.get(turn)
        if feed is not None:
            feed.add(event)
            self._changed(turn)

    def keep(self, turn: str, *events: Event) -> None:
        """These happened, and all events until now are kept, with the open step: that ends here.

        What ends the step with an error takes back `events`, and they are told to nobody.
        """
        feed = self._feeds.get(turn)
        if feed is None:
            return
        before = len(feed.pending)
        for event in events:
            feed.add(event)
        try:
            size = self._write(turn, feed)
            self._agent._active().end_step()
        except BaseException:
            del feed.pending[before:]
            raise
        feed.kept, feed.pending, feed.size = feed.kept + len(feed.pending), [], size
        self._changed(turn)

    def responded(self, turn: str, text: str | None) -> None:
        """A response is complete; who has heard no part of its text hears it now."""
        feed = self._feeds.get(turn)
        if feed is not None and text and not feed.speaking:
            self.tell(turn, TextDelta(turn, text))

    def restart(self, turn: str) -> None:
        """What was told of a response is void: it is asked for again."""
        feed = self._feeds.get(turn)
        if feed is not None and feed.pending:
            feed.add(Restarted(turn, feed.kept))
            self._changed(turn)

    def end(self, turn: str) -> None:
        """The turn is over, as of the open step: what is pending is kept with it. Events of the
        oldest turns are dropped."""
        feed = self._feeds.pop(turn, None)
        if feed is not None:
            self._write(turn, feed)
        self._drop(turn)
        self._changed(turn)

    def forget(self, turn: str) -> None:
        """Drop all events of a turn, in the open step."""
        self._feeds.pop(turn, None)
        self._sql("delete from agent_events where turn = ?", turn)
        self._sql("delete from agent_told where turn = ?", turn)

    def fail(self, error: BaseException) -> None:
        """Nobody drives any turn: what keeps them fails."""
        self._feeds.clear()
        changes, self._changes = self._changes, {}
        for change in changes.values():
            change.set_exception(error)
            change.exception()  # heard here: those who waited may have gone

    def _write(self, turn: str, feed: Feed) -> int:
        """Write what is pending, in the open step; the bytes of the turn's rows then."""
        if not feed.pending:
            return feed.size
        body, ends = _packed(feed.pending), (feed.pending[0].seq, feed.pending[-1].seq)
        self._sql("insert into agent_events values (?, ?, ?, ?)", turn, *ends, body)
        size = feed.size + len(body)
        if size > self._agent.event_limits.bytes:
            size = self._shorten(turn, size)
        return size

    def _shorten(self, turn: str, size: int) -> int:
        """Drop the oldest rows of a turn that has too many, but the newest; its bytes then."""
        rows = self._sql(
            "select first, length(body) as size from agent_events where turn = ? order by first",
            turn,
        ).all()
        for row in rows[:-1]:
            if size <= self._agent.event_limits.bytes:
                break
            self._sql("delete from agent_events where turn = ? and first = ?", turn, row.first)
            size -= row.size
        return size

    def _drop(self, turn: str) -> None:
        """A turn has ended: those that ended long before it have no events any more."""
        newest = self._sql("insert into agent_told(turn) values (?) returning seq", turn).value()
        last = newest - self._agent.event_limits.turns
        for row in self._sql("delete from agent_told where seq <= ? returning turn", last):
            self._sql("delete from agent_events where turn = ?", row.turn)

    # -- reading ----------------------------------------------------------------------------

    def followed(self, turn: str) -> bool:
        """Whether anybody wants to hear of the turn while it runs."""
        return turn in self._followers

    async def follow(self, turn: str, after: int) -> AsyncGenerator[Event, None]:
        """The events behind number `after`, until the turn is over and all were read."""
        self._followers[turn] += 1
        try:
            while True:
                found = self._behind(turn, after)
                for event in found:
                    if _gap(event, after):
                        yield Missed(turn, seq=event.seq - 1)
                    yield event
                    after = event.seq
                if not found and self._over(turn):
                    break
                if not found:
                    await self._change(turn)
            if self._dropped(turn):
                yield Missed(turn, seq=after)
        finally:
            self._followers[turn] -= 1
            if not self._followers[turn]:
                del self._followers[turn]

    def _behind(self, turn: str, after: int) -> Sequence[Event]:
        """Some that come next; none if there are no more yet."""
        feed = self._feeds.get(turn)
        if feed is not None and after >= feed.kept:
            return feed.pending[after - feed.kept :]
        rows = self._sql(
            "select body from agent_events where turn = ? and last > ? order by first limit ?",
            turn,
            after,
            PAGE,
        )
        found = [one for row in rows for one in _unpacked(row.body) if one.seq > after]
        return found or (() if feed is None else feed.pending)

    def _over(self, turn: str) -> bool:
        return turn not in self._feeds and self._agent._turns.get(turn).over

    def _dropped(self, turn: str) -> bool:
        """Whether its events are not kept any more."""
        known = self._sql("select 1 from agent_told where turn = ?", turn).first()
        return known is None and self._agent._turns.get(turn).begun is not None

    def _change(self, turn: str) -> asyncio.Future[None]:
        found = self._changes.get(turn)
        if found is None:
            found = self._changes[turn] = asyncio.get_running_loop().create_future()
        return asyncio.shield(found)

    def _changed(self, turn: str) -> None:
        change = self._changes.pop(turn, None)
        if change is not None:
            change.set_result(None)

    def _sql(self, query: str, *args: Any) -> Any:
        return self._agent.sql.unsafe(query, *args)


def _gap(event: Event, after: int) -> bool:
    """Whether something is missing between number `after` and this one, which comes next."""
    if isinstance(event, Restarted):
        return event.kept > after
    return event.seq != after + 1


def _packed(events: Sequence[Event]) -> bytes:
    return msgspec.json.encode([(type(one).__name__, one) for one in events])


def _unpacked(body: bytes) -> list[Event]:
    return [KINDS[kind](**fields) for kind, fields in msgspec.json.decode(body)]
