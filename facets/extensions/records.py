"""The rows of extensions, in the database of the actor that has them.

Each change of state is one row written in one step. Source and manifest of a version are kept with
their hash, which is compared before they run.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from facets.extensions.errors import ExtensionAltered, NoSuchExtension
from facets.extensions.proposal import Proposal

if TYPE_CHECKING:
    from facets.actor import Actor
    from storage.database import Database

EVENTS = 1000
UNUSED = 100
_SCHEMA = (
    """create table if not exists extension_versions(
        id integer primary key, name text not null, version text not null, source text not null,
        proposal blob not null, state text not null, activated integer not null default 0,
        bookmark text, unique(name, version))""",
    # Found by it, or each look at what is active would read the sources of all versions.
    "create index if not exists extension_versions_state on extension_versions(state, name, id)",
    """create table if not exists extension_standing(
        name text primary key, strikes integer not null default 0, disabled text not null
        default '') without rowid""",
    """create table if not exists extension_events(
        id integer primary key, at real not null, name text not null, version text not null,
        what text not null, detail text not null)""",
    """create table if not exists extension_calls(
        id integer primary key, name text not null, tool text not null, arguments blob not null)""",
)
_EVENTS = "select at, name, version, what, detail from extension_events where name = ? order by id"


class Event(msgspec.Struct, frozen=True):
    """Something that happened to an extension. `at` is in seconds since 1970."""

    at: float
    name: str
    version: str
    what: str
    detail: str


class Records:
    """Reads and writes the rows; part of the current step."""

    def __init__(self, actor: Actor) -> None:
        self._sql = actor.sql
        self._clock = actor._active().node.host.clock
        for statement in _SCHEMA:
            self._sql.unsafe(statement)

    def save(self, proposal: Proposal, what: str, detail: str = "", source: str = "") -> Proposal:
        """Keep a proposal as it is now, and that this happened."""
        self._sql(
            "insert into extension_versions(name, version, source, proposal, state)"
            " values (?, ?, ?, ?, ?) on conflict(name, version) do update"
            " set proposal = excluded.proposal, state = excluded.state",
            proposal.name, proposal.version, source, msgspec.json.encode(proposal), proposal.state,
        )  # fmt: skip
        self.happened(proposal.name, proposal.version, what, detail)
        return proposal

    def happened(self, name: str, version: str, what: str, detail: str = "") -> None:
        """Add an event; the newest 1,000 are kept."""
        self._sql(
            "insert into extension_events(at, name, version, what, detail) values (?, ?, ?, ?, ?)",
            self._clock.time(), name, version, what, detail[:2000],
        )  # fmt: skip
        self._sql(
            "delete from extension_events where id <= (select max(id) from extension_events) - ?",
            EVENTS,
        )

    def events(self, name: str) -> list[Event]:
        """Oldest first."""
        return [Event(*row) for row in self._sql(_EVENTS, name)]

    def proposals(self, name: str = "", state: str = "") -> list[Proposal]:
        """All, of one extension, in one state; in the order in which they were proposed."""
        asked = {of: one for of, one in (("state", state), ("name", name)) if one}
        like = " and ".join(f"{one} = ?" for one in asked) or "true"
        rows = self._sql(
            f"select proposal from extension_versions where {like} order by id",  # noqa: S608 - ours
            *asked.values(),
        )
        return [_proposal(row[0]) for row in rows]

    def find(self, name: str, version: str) -> Proposal | None:
        """That version, if it is there."""
        row = self._sql(
            "select proposal from extension_versions where name = ? and version = ?", name, version
        ).first()
        return None if row is None else _proposal(row[0])

    def active(self, name: str) -> Proposal | None:
        """What runs."""
        return next(iter(self.proposals(name, "active")), None)

    def source(self, proposal: Proposal) -> str:
        """Its source; `ExtensionAltered` if that is not what it was."""
        row = self._sql(
            "select source from extension_versions where name = ? and version = ?",
            proposal.name, proposal.version,
        ).first()  # fmt: skip
        if row is None:
            raise NoSuchExtension(f"there is no {proposal.name} {proposal.version}")
        source = str(row[0])
        if proposal.manifest.hash(source) != proposal.hash:
            raise ExtensionAltered(
                f"{proposal.name} {proposal.version} is not what was proposed",
                name=proposal.name,
                version=proposal.version,
            )
        return source

    def forget_unused(self) -> None:
        """Of versions that never ran, and wait for nothing, the newest 100 are kept."""
        self._sql(
            "delete from extension_versions where id in (select id from extension_versions where"
            " state in ('refused', 'rejected', 'failed') and activated = 0 order by id desc"
            " limit -1 offset ?)",
            UNUSED - 1,
        )

    def activating(self, proposal: Proposal, bookmark: str | None) -> None:
        """It is about to take over; `bookmark` is the moment before, None if nothing was there."""
        self._sql("update extension_versions set bookmark = ? where name = ? and version = ?",
                  bookmark, proposal.name, proposal.version)  # fmt: skip

    def activated(self, proposal: Proposal) -> None:
        """It is the newest to run."""
        self._sql("update extension_versions set activated = (select max(activated) + 1 from"
                  " extension_versions) where name = ? and version = ?",
                  proposal.name, proposal.version)  # fmt: skip

    def bookmark(self, proposal: Proposal) -> str | None:
        """The moment before it became active; None if it was the first."""
        row = self._sql("select bookmark from extension_versions where name = ? and version = ?",
                        proposal.name, proposal.version).one()  # fmt: skip
        return None if row[0] is None else str(row[0])

    def forget_activation(self, proposal: Proposal) -> None:
        """It is nothing to roll back to any more."""
        self._sql("update extension_versions set activated = 0 where name = ? and version = ?",
                  proposal.name, proposal.version)  # fmt: skip

    def removed(self, name: str) -> None:
        """Nothing of it is to be rolled back to, or made again."""
        self._sql("update extension_versions set activated = 0 where name = ?", name)
        self._sql("delete from extension_standing where name = ?", name)
        self._sql("delete from extension_calls where name = ?", name)

    def before(self, name: str) -> Proposal | None:
        """What ran before what runs."""
        row = self._sql(
            "select proposal from extension_versions where name = ? and state = 'retired'"
            " and activated > 0 order by activated desc limit 1", name,
        ).first()  # fmt: skip
        return None if row is None else _proposal(row[0])

    def strike(self, name: str) -> int:
        """One more failure in a row; how many there are."""
        self._sql("insert into extension_standing(name, strikes) values (?, 1)"
                  " on conflict do update set strikes = strikes + 1", name)  # fmt: skip
        return int(self._sql("select strikes from extension_standing where name = ?", name).value())

    def well(self, name: str) -> None:
        """No failures in a row any more; nothing is written if there were none."""
        if self._sql("select 1 from extension_standing where name = ? and strikes > 0",
                     name).first():  # fmt: skip
            self._sql("update extension_standing set strikes = 0 where name = ?", name)

    def disable(self, name: str, reason: str) -> None:
        """Switch off with a reason, or on with ""."""
        self._sql("insert into extension_standing(name, disabled) values (?, ?) on conflict do"
                  " update set disabled = excluded.disabled, strikes = 0",
                  name, reason)  # fmt: skip

    def disabled(self, name: str) -> str:
        """Why it is off; "" if it is on."""
        row = self._sql("select disabled from extension_standing where name = ?", name).first()
        return "" if row is None else str(row[0])

    def called(self, name: str, tool: str, arguments: dict[str, Any], most: int) -> None:
        """Remember a call for rehearsals; the newest `most` that JSON can hold."""
        try:
            text = msgspec.json.encode(arguments)
        except (TypeError, ValueError, RecursionError):
            return  # a call that cannot be kept is none to rehearse; it was made all the same
        if len(text) > 1 << 16:
            return
        self._sql("insert into extension_calls(name, tool, arguments) values (?, ?, ?)",
                  name, tool, text)  # fmt: skip
        self._sql("delete from extension_calls where name = ?1 and id not in (select id from"
                  " extension_calls where name = ?1 order by id desc limit ?2)",
                  name, most)  # fmt: skip

    def calls(self, name: str) -> list[tuple[str, dict[str, Any]]]:
        """The newest calls, oldest first."""
        rows = self._sql("select tool, arguments from extension_calls where name = ? order by id",
                         name)  # fmt: skip
        return [(row[0], msgspec.json.decode(row[1])) for row in rows]


@lru_cache(maxsize=256)
def _proposal(raw: bytes) -> Proposal:
    # What is active is asked for many times in each step of a turn.
    return msgspec.json.decode(raw, type=Proposal)


def proposals_of(database: Database) -> list[Proposal]:
    """All versions in an actor's database, read without its code."""
    if not database.peek("select 1 from sqlite_schema where name = 'extension_versions'"):
        return []
    rows = database.peek("select proposal from extension_versions order by name, id")
    return [_proposal(row[0]) for row in rows]


def events_of(database: Database, name: str) -> list[Event]:
    """What happened to one, oldest first, in the same way."""
    return [Event(*row) for row in database.peek(_EVENTS, (name,))]
