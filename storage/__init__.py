"""One actor's durable state: a private database, and the journal that makes it survive.

store        a state directory: everything below, wired
database     the logical database of one actor: steps, savepoints, opening and closing
sql, kv      what actors see of it             rows        results
files        a file system in the database     objects     stores for what is large
connection   one open SQLite connection        authorizer  what actors may do in SQL
refusals     what SQLite refuses, as errors    errors      the tree of them
frames       pages of a commit, from the -wal  migrations  schema changes, once
record       one commit as bytes               segment     a file of records
journal      the queue and the sync            recovery    after a crash
catalogue    which actors there are            template    what new files begin with
lock         one owner                         limits      what a database may hold
pages        what the bytes of a page mean     history     what databases were
"""

from storage.database import Database as Database
from storage.files import Files as Files
from storage.kv import Kv as Kv
from storage.limits import FileLimits as FileLimits
from storage.limits import StorageLimits as StorageLimits
from storage.rows import Row as Row
from storage.rows import Rows as Rows
from storage.sql import Sql as Sql
from storage.store import Store as Store
