"""`self.sql`, `self.kv` and `self.transaction()`: each operation is one crossing to the host."""

from collections.abc import MutableMapping

from facets.rows import Rows
from isolate.storage import operate, transaction

__all__ = ["Kv", "Sql", "transaction"]

_REQUIRED = object()


class Sql:
    """`sql(query, *args, **named)` runs one statement to its end and returns its `Rows`."""

    __slots__ = ()

    def __call__(self, query, *args, **named):
        return _rows(operate("sql", [query, list(args), named]))

    def unsafe(self, query, *args, **named):
        """The same for a query that was built at run time."""
        return _rows(operate("unsafe", [query, list(args), named]))

    def many(self, query, rows):
        """Run a statement once for each of `rows`; the number of changes."""
        return operate("many", [query, list(rows)])["changes"]


def _rows(answer):
    columns = tuple(answer["columns"])
    return Rows(columns, list(map(tuple, answer["rows"])), answer["changes"])


class Kv(MutableMapping):
    """An ordered mapping of text keys to values, in the same database as `sql`."""

    __slots__ = ()

    def __getitem__(self, key):
        return operate("kv", ["get", key])

    def __setitem__(self, key, value):
        operate("kv", ["set", key, value])

    def __delitem__(self, key):
        operate("kv", ["delete", key])

    def __contains__(self, key):
        return operate("kv", ["contains", key])

    def __len__(self):
        return operate("kv", ["len"])

    def __iter__(self):
        return iter([key for key, _ in self.list()])

    def list(self, prefix="", *, start=None, end=None, limit=None, reverse=False):
        """The entries whose keys begin with `prefix`, in order of their keys."""
        entries = operate("kv", ["list", prefix, start, end, limit, reverse])
        return [(key, value) for key, value in entries]

    def get_many(self, keys):
        """The entries that exist among `keys`."""
        return operate("kv", ["get_many", list(keys)])

    def update(self, other=(), /, **more):
        """Set many entries with one crossing."""
        operate("kv", ["update", dict(other, **more)])

    def delete_many(self, keys):
        """Delete those of `keys` that exist; how many did."""
        return operate("kv", ["delete_many", list(keys)])

    def clear(self):
        """Delete every entry."""
        operate("kv", ["clear"])

    def __repr__(self):
        return f"<Kv of {len(self)} entries>"
