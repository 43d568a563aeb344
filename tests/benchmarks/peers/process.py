"""Runs a tool as a program of its own: what a process for each tool costs.

    python process.py TOOL.py STATE.db METHOD ARGUMENTS-AS-JSON

`facets` is a stand-in here: an Actor over a SQLite file that syncs each commit.
"""

import asyncio
import json
import sqlite3
import sys
import types
from pathlib import Path
from typing import Any


class Rows(list[Any]):
    def value(self) -> Any:
        return self[0][0]


class Actor:
    migrations: list[str] = []
    db: sqlite3.Connection

    def sql(self, query: str, *args: Any) -> Rows:
        return Rows(self.db.execute(query, args).fetchall())


def load(tool: str) -> Any:
    facets: Any = types.ModuleType("facets")
    facets.Actor = Actor
    sys.modules["facets"] = facets
    module = sys.modules["tool"] = types.ModuleType("tool")
    exec(compile(Path(tool).read_text(), tool, "exec"), vars(module))
    return vars(module)["Tool"]()


def main(tool: str, state: str, method: str, args: str) -> None:
    made = load(tool)
    made.db = sqlite3.connect(state, isolation_level=None)
    for pragma in ("journal_mode = wal", "synchronous = full"):
        made.db.execute(f"pragma {pragma}").fetchall()
    made.db.execute("begin")
    for migration in made.migrations:
        made.db.execute(migration)
    result = asyncio.run(getattr(made, method)(*json.loads(args)))
    made.db.execute("commit")
    print(json.dumps(result))


main(*sys.argv[1:])
