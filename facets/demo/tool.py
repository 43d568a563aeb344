"""A tool as a model writes them: read web server logs, remember what was seen.

It runs unchanged as trusted code and inside an isolate.
"""

import asyncio
import random
import re
import statistics
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from facets import Actor

LINE = re.compile(
    r"(?P<ip>\S+) - - \[(?P<at>[^\]]+)\] "
    r'"(?P<verb>\S+) (?P<path>\S+) \S+" (?P<status>\d+) (?P<ms>\d+)'
)


class Tool(Actor):
    """Parses access logs and keeps running totals in its own database."""

    migrations = [
        "create table hits(path text not null, status integer not null, ms integer not null)",
        "create index hits_by_path on hits(path)",
    ]

    async def run(self, lines: int) -> dict[str, object]:
        """Read `lines` new log lines; the totals over everything ever read."""
        batch = self.kv.get("batches", 0) + 1
        log = list(sample_log(lines, seed=batch))
        half = len(log) // 2
        parsed = await asyncio.gather(self._parse(log[:half]), self._parse(log[half:]))
        with self.transaction():
            self.sql.many(
                "insert into hits values (?, ?, ?)", [hit for part in parsed for hit in part]
            )
            self.kv["batches"] = batch
        return self._summary(batch)

    async def _parse(self, lines: list[str]) -> list[tuple[str, int, int]]:
        await asyncio.sleep(0)
        found = filter(None, map(LINE.match, lines))
        return [(m["path"], int(m["status"]), int(m["ms"])) for m in found]

    def _summary(self, batch: int) -> dict[str, object]:
        times = [row.ms for row in self.sql("select ms from hits")]
        top = Counter(
            {row.path: row.n for row in self.sql("select path, count(*) n from hits group by path")}
        )
        return {
            "batches": batch,
            "hits": len(times),
            "errors": self.sql("select count(*) from hits where status >= 500").value(),
            "median_ms": statistics.median(times) if times else None,
            "top": top.most_common(2),
        }


def sample_log(lines: int, seed: int) -> Iterator[str]:
    """Lines of an access log, the same for the same seed."""
    pick = random.Random(seed)
    at = datetime(2026, 1, 1, tzinfo=UTC)
    for _ in range(lines):
        at += timedelta(milliseconds=pick.randrange(5000))
        path = pick.choice(["/", "/search", "/cart", "/login", "/api/items"])
        status = pick.choices([200, 304, 404, 500], [80, 10, 7, 3])[0]
        stamp, ms = f"{at:%d/%b/%Y:%H:%M:%S %z}", pick.randrange(3, 900)
        yield f'10.0.0.{pick.randrange(9)} - - [{stamp}] "GET {path} HTTP/1.1" {status} {ms}'
