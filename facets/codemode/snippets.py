"""Code that was saved: by name, in versions, with the examples that it must pass."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from typing import Any

from facets.codemode.errors import NoSuchExecution
from facets.codemode.ledger import Ledger, pack, unpack
from facets.codemode.stubs import Language


@dataclass(frozen=True, slots=True)
class Answer:
    """What a tool gives in an example, in the place of the tool itself."""

    path: str
    """Of the tool, `connector.name`."""
    result: Any = None
    arguments: dict[str, Any] | None = None
    """The call that it is the answer to, by the names of its arguments; None is any call."""
    error: tuple[str, str] | None = None
    """The builtin that the call raises instead, and its message."""


@dataclass(frozen=True, slots=True)
class Example:
    """A test of a snippet: with this input and these answers, it returns this result."""

    input: Any
    result: Any
    answers: tuple[Answer, ...] = ()
    """The first that fits a call is what it gets; a call that none fits fails the example."""


@dataclass(frozen=True, slots=True)
class Snippet:
    """Code that was saved. `input` is its argument."""

    name: str
    version: int
    code: str
    description: str
    language: Language = "python"
    connectors: tuple[str, ...] | None = None
    """Those whose tools it may use, whoever runs it; None is all."""
    examples: tuple[Example, ...] = ()
    """What it passed before it was saved."""


class Snippets:
    """The rows of one actor."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def get(self, name: str, version: int | None = None) -> Snippet:
        """One version, or the newest. NoSuchExecution."""
        found = self.find(name, version)
        if found is None:
            raise NoSuchExecution(f"there is no snippet {name!r}", id=name)
        return found

    def find(self, name: str, version: int | None = None) -> Snippet | None:
        """The same; None if there is none."""
        query = """select * from codemode_snippets
            where name = ?1 and (?2 is null or version = ?2) order by version desc limit 1"""
        row = self._ledger.sql(query, name, version).first()
        return None if row is None else _snippet(row)

    def add(self, made: Snippet) -> Snippet:
        """A version behind the newest, whatever its number says; the newest if that is the same."""
        newest = self.find(made.name)
        if newest and _same(newest, made):
            return newest
        made = replace(made, version=newest.version + 1 if newest else 1)
        values = asdict(made)
        query = """insert into codemode_snippets(name, version, code, description, language,
            connectors, examples, time) values (?, ?, ?, ?, ?, ?, ?, ?)"""
        self._ledger.sql(
            query, made.name, made.version, made.code, made.description, made.language,
            pack(values["connectors"], made.name), pack(values["examples"], made.name),
            time.time(),
        )  # fmt: skip
        return made

    def all(self) -> list[Snippet]:
        """The newest version of each, by name."""
        query = """select * from codemode_snippets s where version =
            (select max(version) from codemode_snippets where name = s.name) order by name"""
        return [_snippet(row) for row in self._ledger.sql(query)]

    def delete(self, name: str) -> bool:
        """Delete all versions; whether there were any."""
        query = "delete from codemode_snippets where name = ? returning 1"
        return bool(self._ledger.sql(query, name).all())


def _same(one: Snippet, other: Snippet) -> bool:
    def content(snippet: Snippet) -> bytes:
        return pack(asdict(snippet) | {"version": 0}, snippet.name)

    return content(one) == content(other)


def _snippet(row: Any) -> Snippet:
    connectors = unpack(row.connectors)
    return Snippet(
        row.name, row.version, row.code, row.description, row.language,
        None if connectors is None else tuple(connectors),
        tuple(_example(one) for one in unpack(row.examples)),
    )  # fmt: skip


def _example(value: dict[str, Any]) -> Example:
    answers = (
        Answer(one["path"], one["result"], one["arguments"], one["error"] and tuple(one["error"]))
        for one in value["answers"]
    )
    return Example(value["input"], value["result"], tuple(answers))
