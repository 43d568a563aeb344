"""One source, run trusted and as an isolate by test_parity.py."""

import asyncio
import csv
import errno
import json
import re
from collections import Counter
from dataclasses import dataclass

from facets import Actor, exclusive


@dataclass
class Point:
    x: int
    y: int


class Subject(Actor):
    migrations = ["create table log(what text unique not null, n integer)"]

    async def on_start(self):
        self.kv["starts"] = self.kv.get("starts", 0) + 1
        self.memory = []

    async def who(self):
        return self.id, self.name, self.props, dict(self.env)

    async def remember(self, value):
        self.memory.append(value)
        return len(self.memory), self.kv["starts"]

    async def echo(self, value=None, **named):
        return (value, named) if named else value

    async def record(self, x):
        point = Point(x, x + 1)
        return point.x + point.y

    # -- files

    async def file_shapes(self):
        fs = self.fs
        fs.mkdir("/a/b", parents=True)
        size = fs.write_text("/a/b/one.txt", "eins\nzwei\n")
        fs.write("/a/two.bin", bytes(range(256)))
        fs.append("/a/b/one.txt", b"drei\n")
        fs.symlink("/a/b/one.txt", "/link")
        with fs.open("/a/table.csv", "w", newline="") as file:
            csv.writer(file).writerows([["x", "y"], [1, 2]])
        fs.copy("/a/two.bin", "/a/three.bin")
        fs.rename("/a/three.bin", "/a/b/three.bin")
        found = fs.stat("/link")
        return {
            "size": size,
            "text": fs.read_text("/link"),
            "part": fs.read("/a/two.bin", 10, 5),
            "glob": fs.glob("/a/**/*.*"),
            "names": fs.listdir("/a"),
            "entries": [(one.name, one.stat.kind) for one in fs.scandir("/")],
            "stat": (found.kind, found.size),
            "csv": list(csv.reader(fs.open("/a/table.csv", newline=""))),
            "diff": fs.diff_text("/link", "eins\n"),
        }

    async def file_error(self, method, *args):
        try:
            getattr(self.fs, method)(*args)
        except OSError as error:
            return type(error).__name__, errno.errorcode[error.errno], str(error.filename)

    async def file_raises(self):
        self.fs.read("/nothing")

    async def file_undone(self):
        self.fs.write_text("/kept", "kept")
        await asyncio.sleep(0)
        try:
            with self.transaction():
                self.fs.write_text("/kept", "lost")
                raise KeyError
        except KeyError:
            return self.fs.read_text("/kept")

    # -- sql

    async def note(self, *what):
        for one in what:
            self.sql("insert into log(what, n) values (?, ?)", one, len(one))
        return await self.log()

    async def log(self):
        return [row.what for row in self.sql("select what from log order by rowid")]

    async def shapes(self):
        await self.note("a", "bb")
        rows = self.sql("select what, n from log where n > :least order by n", least=0)
        first = rows.first()
        return {
            "columns": list(rows.columns),
            "length": len(rows),
            "by name": [row["what"] for row in rows],
            "by attribute": first.n,
            "by index": first[1],
            "unpacked": [(what, n) for what, n in rows],
            "asdict": first.asdict(),
            "value": self.sql("select count(*) from log").value(),
            "default": self.sql("select 1 where 0").value(default="none"),
            "one": tuple(self.sql("select max(n) from log").one()),
            "none": self.sql("select 1 where 0").first(),
            "all": [tuple(row) for row in rows.all()],
            "changes": self.sql("update log set n = n + 1").changes,
            "many": self.sql.many("insert into log(what) values (?)", [("c",), ("d",)]),
            "unsafe": self.sql.unsafe("select count(*) from " + "log").value(),
            "types": tuple(self.sql("select 1, 2.5, 'x', x'00ff', null").one()),
        }

    async def no_row(self):
        self.sql("select 1 where 0").one()

    async def too_many_rows(self):
        self.sql("select 1 union all select 2").one()

    async def breaks_constraint(self):
        self.sql("insert into log(what) values (null)")

    async def bad_sql(self):
        self.sql("selec 1")

    async def denied(self, statement):
        self.sql.unsafe(statement)

    async def survives_errors(self):
        self.sql("insert into log(what) values ('before')")
        for statement in ("selec", "insert into log(what) values ('before')", "attach 'x' as y"):
            try:
                self.sql.unsafe(statement)
            except Exception as error:
                self.sql("insert into log(what) values (?)", type(error).__name__)
        return await self.log()

    # -- kv

    async def kv_story(self):
        kv = self.kv
        kv["b"] = {"x": [1, 2.5, None, True, "y"]}
        kv["a"] = b"\x00\xff"
        kv.update({"list/2": 2, "list/1": 1, "list/3": 3})
        missing = []
        try:
            kv["nothing"]
        except KeyError as error:
            missing.append(error.args[0])
        del kv["b"]
        return {
            "keys": list(kv),
            "len": len(kv),
            "in": ("a" in kv, "b" in kv),
            "bytes": kv["a"],
            "prefix": kv.list("list/"),
            "limit": kv.list("list/", limit=2),
            "reverse": kv.list("list/", reverse=True),
            "get": kv.get("nothing", 7),
            "get_many": kv.get_many(["a", "list/1", "nothing"]),
            "pop": kv.pop("list/3"),
            "deleted": kv.delete_many(["list/1", "list/2", "nothing"]),
            "missing": missing,
            "left": sorted(kv),
        }

    async def kv_bad_value(self):
        self.kv["x"] = object()

    # -- steps

    async def fail_after_two_steps(self):
        self.sql("insert into log(what) values ('first')")
        await asyncio.sleep(0)
        self.sql("insert into log(what) values ('second')")
        raise ValueError("after two steps")

    async def undo_part(self):
        self.sql("insert into log(what) values ('kept')")
        try:
            with self.transaction():
                self.sql("insert into log(what) values ('undone')")
                with self.transaction():
                    self.sql("insert into log(what) values ('undone too')")
                raise LookupError
        except LookupError:
            self.sql("insert into log(what) values ('after')")
        return await self.log()

    async def await_inside(self):
        with self.transaction():
            self.sql("insert into log(what) values ('undone')")
            await asyncio.sleep(0)

    async def write_and_hang(self, what):
        self.sql("insert into log(what) values (?)", what)
        await asyncio.Event().wait()

    # -- asyncio

    async def gather(self):
        async def one(i):
            await asyncio.sleep(0)
            return i * i

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(i)) for i in range(3)]
        return [task.result() for task in tasks] + await asyncio.gather(one(4), one(5))

    async def timeout(self):
        try:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(60)
        except TimeoutError:
            return "timed out"

    async def stream(self, n):
        for i in range(n):
            self.sql("insert into log(what) values (?)", f"item {i}")
            yield {"i": i}
            await asyncio.sleep(0)

    async def add(self, n):
        async with self.exclusive():
            before = self.kv.get("sum", 0)
            await asyncio.sleep(0)
            self.kv["sum"] = before + n
        return self.kv["sum"]

    @exclusive
    async def add_too(self, n):
        before = self.kv.get("sum", 0)
        await asyncio.sleep(0)
        self.kv["sum"] = before + n

    @exclusive
    async def reenter(self):
        await self.add(1)

    # -- the rest

    async def standard_library(self):
        words = Counter(re.findall(r"\w+", "to be or not to be"))
        return json.loads(json.dumps(words.most_common(1)))

    async def raises(self, kind):
        raise {"value": ValueError, "key": KeyError, "zero": ZeroDivisionError}[kind](
            "for the test"
        )

    async def recurse(self):
        def deeper(n):
            return deeper(n + 1) + 1

        return deeper(0)

    async def imports(self):
        import a_module_that_is_not_there  # noqa: F401

    def plain(self):
        return 1

    async def _private(self):
        return 1
