"""SQL and files of a guest that mean harm, in a facet of a real runtime over a real database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from facets import Actor, Limits, LocalRuntime
from facets.errors import (
    CallLimit,
    NotStorable,
    OutputLimit,
    PathInvalid,
    ProtocolViolation,
    ResultTooLarge,
    SqlDenied,
    SqlError,
    StatementTimeout,
    StatementTooComplex,
    StatementTooLong,
    TooManyRows,
    ValueTooLarge,
)
from tests.isolates.battery.conftest import Attack, tool
from tests.isolates.intact import Host

LIMITS = Limits(memory=64 << 20, cpu=2.0, wall=10.0, calls=2_000, output=4 << 20)


class Keeper(Actor):
    """Owns the attacker, and something that it must not touch."""

    async def attack(self, body: str, name: str = "attacker") -> Any:
        isolate = self.isolates.get(tool("python", body), limits=LIMITS)
        return await self.facets.replace(name, isolate.actor("Tool")).run()

    async def count(self) -> int:
        self.sql("create table if not exists secret(text)")
        self.sql("insert into secret values ('mine')")
        return int(self.sql("select count(*) from secret").value())


@pytest.fixture
async def keeper(state: Path) -> AsyncIterator[Keeper]:
    """After the attack the owner answers with its data, here and after a restart."""
    host = Host()
    async with LocalRuntime(state) as runtime:
        keeper = runtime.get(Keeper, "k")
        assert await keeper.count() == 1
        yield keeper
        assert await keeper.attack("return 'clean'", "next") == "clean"
        assert await keeper.count() == 2
    async with LocalRuntime(state) as again:
        assert await again.get(Keeper, "k").count() == 3
    await host.check()


COUNT = "with recursive c(x) as (select 1 union all select x + 1 from c) "
BODIES: dict[str, Attack] = {
    "counting without end": (f"self.sql('{COUNT}select count(*) from c')", StatementTimeout, ""),
    "rows without end": (f"self.sql('{COUNT}select x from c')", TooManyRows, ""),
    "large rows without end": (
        f"self.sql('{COUNT}select zeroblob(100000) from c')", ResultTooLarge, "",
    ),
    "a blob": ("self.sql('select zeroblob(1 << 30)')", ValueTooLarge, ""),
    "random bytes": ("self.sql('select randomblob(1 << 30)')", ValueTooLarge, ""),
    "a padded text": ("self.sql(\"select printf('%.*c', 1 << 30, 'x')\")", ValueTooLarge, ""),
    "text in hex": ("self.sql('select hex(zeroblob(1000000))')", ValueTooLarge, ""),
    "a joined text": (
        f"self.sql(\"{COUNT}select group_concat(hex(zeroblob(50000))) from c\")",
        (StatementTimeout), "",
    ),
    "a product": (
        "self.sql('create table t(n)')\n"
        "self.sql.many('insert into t values (?)', [(i,) for i in range(1000)])\n"
        "self.sql('select count(*) from t a, t b, t c order by a.n')", StatementTimeout, "",
    ),
    "a sort": (
        f"self.sql('{COUNT}select max(x) over (order by random()) from c')", StatementTimeout, "",
    ),
    "writing without end": (
        f"self.sql('create table t(n)')\nself.sql('insert into t {COUNT}select x from c')",
        StatementTimeout, "",
    ),
    "a trigger without end": (
        "self.sql('create table t(n)')\nself.sql.unsafe('create trigger x after insert on t begin"
        " insert into t values (new.n + 1); end')\nself.sql('insert into t values (1)')\n"
        "raise KeyError('once')", KeyError, "once",
    ),
    "a long pattern": ("self.sql('select ? like ?', 'a', '%' * 5000)", StatementTooComplex, ""),
    "a deep expression": ("self.sql.unsafe('select ' + '-(' * 1500 + '1' + ')' * 1500)",
                          StatementTooComplex, ""),
    "a long statement": ("self.sql.unsafe('select 1 ' + ' ' * (2 << 20))", StatementTooLong, ""),
    "a wide union": ("self.sql.unsafe(' union all '.join(['select 1'] * 1000))",
                     StatementTooComplex, ""),
    "a long argument": ("self.sql('select ?', 'x' * (5 << 20))", OutputLimit, ""),
    "another database": ("self.sql.unsafe(\"attach '/etc/passwd' as x\")", SqlDenied, ""),
    "its owner's database": ("self.sql.unsafe('select * from secret')", SqlError, "no such table"),
    "a copy outside": ("self.sql.unsafe(\"vacuum into '/tmp/x'\")", SqlDenied, ""),
    "a pragma": ("self.sql.unsafe('pragma writable_schema = on')", SqlDenied, ""),
    "no sync": ("self.sql.unsafe('pragma journal_mode = off')", SqlDenied, ""),
    "a transaction": ("self.sql.unsafe('begin immediate')", SqlDenied, ""),
    "an end": ("self.sql.unsafe('commit')", SqlDenied, ""),
    "a library": ("self.sql.unsafe(\"select load_extension('/x.so')\")", SqlError, ""),
    "a file": ("self.sql.unsafe(\"select readfile('/etc/passwd')\")", SqlError, ""),
    "a written file": ("self.sql.unsafe(\"select writefile('/tmp/x', 'y')\")", SqlError, ""),
    "a tokenizer by its address": (
        "self.sql.unsafe(\"select fts3_tokenizer('x', x'4141414141414141')\")", SqlError, "",
    ),
    "the runtime's tables": ("self.sql.unsafe('drop table _facets_kv')", SqlError, ""),
    "the schema": ("self.sql.unsafe('delete from sqlite_schema')", SqlError, ""),
    "too many operations": ("while True: self.sql('select 1')", CallLimit, ""),
    "a value that is code": ("self.kv['x'] = lambda: 1", NotStorable, "function"),
    "a value of one hash": (
        "self.kv['x'] = {i * (2**61 - 1) for i in range(1000)}", ProtocolViolation, "hash",
    ),
    "a file above the root": ("self.fs.write_text('a\\0b', 'x')", (PathInvalid), ""),
    "a link out": (
        "self.fs.symlink('../../../../etc/passwd', '/x')\nself.fs.read_text('/x')",
        FileNotFoundError, "",
    ),
    "a link to itself": ("self.fs.symlink('/x', '/x')\nself.fs.read_text('/x')", OSError, ""),
}  # fmt: skip


@pytest.mark.parametrize("what", BODIES)
async def test_storage_gives_nothing_away_and_takes_its_time(keeper: Keeper, what: str) -> None:
    body, error, says = BODIES[what]
    with pytest.raises(error, match=says or None):
        await keeper.attack(body)


async def test_many_facets_at_once_are_bounded_like_one(keeper: Keeper) -> None:
    body = (
        "import facets\nclass Sub(facets.Actor):\n    async def run(self): return 1\n"
        "globals()['Sub'] = Sub\n"
        "for i in range(100):\n    f = self.facets.get(str(i), Tool)\n    await f.ok()"
    )
    with pytest.raises(Exception, match="64 facets running"):
        await keeper.attack(body)
