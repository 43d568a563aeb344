"""The source that the benchmarks of isolates load."""

from __future__ import annotations

LEDGER = '''"""Keeps a ledger of expenses and answers questions about it."""

import json
import re
from dataclasses import dataclass
from datetime import date

from facets import Actor

AMOUNT = re.compile(r"(?P<sign>-?)(?P<whole>\\d+)(?:[.,](?P<cents>\\d{2}))?")
CATEGORIES = ("food", "travel", "rent", "other")


@dataclass
class Entry:
    day: date
    category: str
    cents: int
    note: str = ""


def parse_amount(text: str) -> int:
    """Cents in a text such as "12.50"."""
    found = AMOUNT.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is not an amount")
    cents = int(found["whole"]) * 100 + int(found["cents"] or 0)
    return -cents if found["sign"] else cents


class Tool(Actor):
    """An actor with a table of entries."""

    migrations = [
        "create table if not exists entries(id integer primary key, day text not null,"
        " category text not null, cents integer not null, note text not null)",
    ]

    async def add(self, day: str, category: str, amount: str, note: str = "") -> int:
        if category not in CATEGORIES:
            raise ValueError(f"{category!r} is none of {', '.join(CATEGORIES)}")
        entry = Entry(date.fromisoformat(day), category, parse_amount(amount), note)
        return self.sql(
            "insert into entries(day, category, cents, note) values (?, ?, ?, ?) returning id",
            entry.day.isoformat(), entry.category, entry.cents, entry.note,
        ).value()

    async def total(self, category: str | None = None) -> float:
        where, args = ("where category = ?", [category]) if category else ("", [])
        query = f"select coalesce(sum(cents), 0) from entries {where}"
        return self.sql.unsafe(query, *args).value() / 100

    async def report(self) -> str:
        rows = self.sql("select category, sum(cents) as cents from entries group by category")
        return json.dumps({row.category: row.cents / 100 for row in rows}, sort_keys=True)

    async def nop(self, n: int = 0) -> int:
        return n
'''
"""The named tool: 60 lines with what models write, a dataclass, a regular expression, SQL."""

PAYLOAD = """
from facets import Actor

class Tool(Actor):
    async def take(self, text):
        return len(text)

    async def give(self, n):
        return "x" * n

    async def echo(self, text):
        return text
"""
JAVASCRIPT = """
import { Actor } from "facets";

export class Tool extends Actor {
  static migrations = ["create table if not exists rows(n integer)"];

  async nop(n = 0) {
    return n;
  }

  async insert(n) {
    this.sql("insert into rows values (?)", n);
    return n;
  }
}
"""
