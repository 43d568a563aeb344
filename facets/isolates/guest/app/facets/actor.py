"""The base class of actors, inside an isolate."""

from facets.children import Facets
from facets.exclusive import Exclusive
from facets.files import Files
from facets.meters import Meters
from facets.storage import Kv, Sql, transaction
from facets.timers import Timers

RESERVED = frozenset({
    "id", "name", "parent", "props", "env", "sql", "kv", "fs", "storage", "timers", "facets",
    "isolates", "meters", "exclusive", "transaction", "durability",
})  # fmt: skip


class Actor:
    """A durable actor: public `async def` methods are called from outside; see the guide."""

    migrations = ()

    id = name = parent = None
    props = env = None
    sql = Sql()
    kv = Kv()
    fs = Files()
    meters = Meters()
    facets = Facets()

    def __init_subclass__(cls, *, kind=None, **kwargs):
        super().__init_subclass__(**kwargs)
        if not RESERVED.isdisjoint(cls.__dict__):
            taken = sorted(RESERVED & cls.__dict__.keys())
            raise TypeError(f"{cls.__name__} defines {', '.join(taken)}, reserved by Actor")

    @property
    def timers(self):
        """Methods to be called later: after, at, every, cron."""
        return Timers(self)

    def transaction(self):
        """A savepoint: undone if the block raises. It may not span an await."""
        return transaction()

    def exclusive(self):
        """A section that calls enter one at a time: `async with self.exclusive():`."""
        try:
            return self.__dict__["_exclusive"]
        except KeyError:
            return self.__dict__.setdefault("_exclusive", Exclusive())
