"""The authorizer: what actors may not do in SQL, by whatever spelling they try it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import apsw
import pytest

from storage import Database
from storage.authorizer import MODULES, PRAGMAS, SETTABLE
from storage.errors import ConstraintError, SqlDenied, SqlError


@pytest.fixture
def kept(database: Database) -> Database:
    """A database that has reserved tables and one of the actor's own."""
    database.migrations = ["create table mine(x, y)"]
    database.kv["key"] = "secret"
    database.sql("insert into mine values (1, 2)")
    database.commit()
    return database


def state(database: Database) -> object:
    """All that the runtime keeps in a database, and its schema."""
    return (
        database.run_own("select * from _facets_kv"),
        database.run_own("select * from _facets_migrations"),
        database.run_own("select type, name, tbl_name, sql from sqlite_schema order by name"),
    )


def refused(database: Database, text: str) -> SqlError:
    """The error of SQL that must not run; it changed nothing, and the step is open."""
    before = state(database)
    with pytest.raises(SqlError) as caught:
        database.sql.unsafe(text)
    assert database.in_step
    assert state(database) == before
    return caught.value


def denied(database: Database, text: str) -> None:
    error = refused(database, text)
    assert isinstance(error, SqlDenied), error
    assert isinstance(error, PermissionError)
    assert error.hint


@pytest.mark.parametrize(
    "text",
    [
        "begin", "BEGIN IMMEDIATE", "begin exclusive transaction", "commit", "end",
        "END TRANSACTION",
        "rollback", "savepoint s", "release s", "RELEASE SAVEPOINT s1", "rollback to s1",
        "/* a */ begin", "-- a\ncommit", ";;commit", "\ufeffcommit", "\tcommit\n;",
        "explain begin", "explain query plan commit", "select 1; commit", "commit; begin",
        "insert into mine values (9, 9) returning x; rollback",
    ],
)  # fmt: skip
def test_a_step_cannot_be_ended_or_nested_by_sql(kept: Database, text: str) -> None:
    denied(kept, text.replace("insert into mine values (9, 9) returning x", "select 1"))
    assert kept.sql("select count(*) from mine").value() == 1


@pytest.mark.parametrize(
    "text",
    [
        "attach ':memory:' as other", "ATTACH DATABASE 'x' AS y", "attach ? as x",
        "explain attach 'x' as y", "detach main", "vacuum", "VACUUM main", "vacuum into 'copy.db'",
        "/**/vacuum",
    ],
)  # fmt: skip
def test_no_other_database_can_be_reached(kept: Database, text: str) -> None:
    before = state(kept)
    with pytest.raises(SqlDenied):
        kept.sql.unsafe(text, *["x"] * text.count("?"))
    assert state(kept) == before


@pytest.mark.parametrize(
    "text",
    [
        "create temp table q(x)", "create temporary table q(x)", "create table temp.q(x)",
        "create table TEMP.q as select 1", 'create table "temp".q(x)', "create table [Temp].q(x)",
        "create temp view q as select 1", "create view temp.q as select 1",
        "create temp trigger q after insert on mine begin select 1; end",
        "create trigger temp.q after insert on main.mine begin select 1; end",
        "create virtual table temp.q using fts5(x)",
        "create virtual table temp.q using rtree(i,a,b)",
        "create virtual table temp.q using dbstat", "create index temp.q on mine(x)",
    ],
)  # fmt: skip
def test_nothing_temporary_can_be_made(kept: Database, text: str) -> None:
    refused(kept, text)
    assert kept.sql("select count(*) from sqlite_temp_schema").value() == 0


NAMES = [
    "_facets_kv", "_FACETS_KV", '"_facets_kv"', "[_facets_kv]", "`_Facets_kv`", "main._facets_kv",
    'main."_facets_kv"', "_facets_migrations",
]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "select * from {}", "select count(*) from {}", "select 1 from {} limit 0",
        "select (select 1 from {})", "select * from mine where x in {}",
        "select exists(select 1 from {})",
        "with a as (select * from {}) select * from a", "explain select * from {}",
        "select m.x from mine m join {} on true", "select 1 union select 1 from {}",
        "insert into mine select 1, 1 from {}", "create table q as select * from {}",
        "delete from {}", "insert into {} values ('a', 'b')", "insert into {} default values",
        "replace into {} values ('a', 'b')", "update {} set rowid = rowid", "drop table {}",
        "drop table if exists {}", "alter table {} rename to q", "alter table {} add column q",
        "select * from mine order by (select 1 from {})",
        "delete from mine where x = (select 1 from {})",
        "update mine set x = 1 from {}",
        "insert into mine values (1, 1) returning (select 1 from {})",
    ],
)  # fmt: skip
def test_reserved_tables_are_neither_read_nor_written(kept: Database, text: str) -> None:
    for name in NAMES:
        error = refused(kept, text.format(name))
        assert isinstance(error, SqlDenied) or "rowid" in text  # they have none


@pytest.mark.parametrize(
    "text",
    [
        "create table _facets_q(x)", "create table _FACETS_q(x)", 'create table "_facets_q"(x)',
        "create table [_Facets_q](x)", "create table `_facets_q`(x)", "create table '_facets_q'(x)",
        "create table if not exists _facets_kv(x)", "create table _facets_q as select 1",
        "create view _facets_q as select 1", "create index _facets_q on mine(x)",
        "create unique index if not exists _facets_q on mine(x)",
        "create index q on _facets_kv(value)",
        "create trigger _facets_q after insert on mine begin select 1; end",
        "create trigger q after insert on _facets_kv begin select 1; end",
        "create virtual table _facets_q using fts5(x)",
        'create virtual table "_facets" using fts5(x)',
        "create virtual table _facets using fts4(x)",
        "create virtual table _facets using rtree(i, a, b)",
    ],
)  # fmt: skip
def test_nothing_with_a_reserved_name_can_be_made(kept: Database, text: str) -> None:
    denied(kept, text)


@pytest.mark.parametrize(
    "name",
    [
        "_facets_q", '"_facets_q"', "[_FACETS_q]", "`_facets_q`", "'_facets_q'", "\ufeff_facets_q",
        "/**/_facets_q", "--\n_facets_q", '"_facets"',
    ],
)  # fmt: skip
@pytest.mark.parametrize("table", ["mine", '"mine"', "main.mine", "words"])
def test_no_table_can_be_renamed_to_a_reserved_name(kept: Database, table: str, name: str) -> None:
    kept.sql("create virtual table words using fts5(text)")
    denied(kept, f"alter table {table} rename to {name}")


def test_a_reserved_table_cannot_be_posed_for_before_it_is_made(database: Database) -> None:
    """With a trigger on it, which would run inside the runtime's own statements."""
    database.sql("create table pose(key text primary key, value blob not null) without rowid")
    with pytest.raises(SqlDenied):
        database.sql("alter table pose rename to _facets_kv")
    database.kv["a"] = 1
    assert database.run_own("select count(*) from _facets_kv") == [(1,)]
    assert database.sql("select count(*) from pose").value() == 0


@pytest.mark.parametrize(
    "text",
    [
        "create view q as select * from _facets_kv",
        "create trigger q after insert on mine begin delete from _facets_kv; end",
        'create trigger q after insert on mine begin delete from "_FACETS_kv"; end',
        "create trigger q after insert on mine when (select 1 from _facets_kv) begin select 1; end",
        "create table q(k references _facets_kv(key) on delete cascade)",
        "alter table mine add column k references _facets_kv(key)",
        "create virtual table q using fts5(value, content=_facets_kv)",
        "create virtual table q using fts5(value, content='_facets_kv', content_rowid='key')",
        "create virtual table q using fts4(value, content='_facets_kv')",
        "create virtual table q using fts5vocab(_facets_kv, row)",
    ],
)
def test_nothing_that_would_reach_reserved_tables_later_can_be_made(
    kept: Database, text: str
) -> None:
    denied(kept, text)


def test_names_that_only_look_reserved_are_free(database: Database) -> None:
    database.sql("create table my_facets_list(x, all_facets_too)")
    database.sql("alter table my_facets_list rename to user_facets")
    database.sql("insert into user_facets values ('_facets_kv', 1)")
    database.sql("create view v as select x from user_facets")
    assert database.sql("select x from v").value() == "_facets_kv"


def test_a_trigger_never_acts_in_the_name_of_the_runtime(kept: Database) -> None:
    """Were there a way to hang one onto a reserved table, it could still write nothing."""
    kept.run_own(
        "create trigger spy after delete on _facets_kv "
        "begin insert into _facets_migrations values (99, old.key); end"
    )
    with pytest.raises(SqlDenied):
        del kept.kv["key"]
    assert kept.kv["key"] == "secret"
    assert kept.run_own("select max(n) from _facets_migrations") == [(0,)]


def test_shadow_tables_of_virtual_tables_are_read_only(kept: Database) -> None:
    kept.sql("create virtual table words using fts5(text)")
    kept.sql("insert into words values ('hello')")
    for text in (
        "insert into words_data values (1, 2)", "delete from words_data", "drop table words_data",
        "create trigger q after insert on words_data begin select 1; end",
    ):  # fmt: skip
        refused(kept, text)


@pytest.mark.parametrize(
    "text",
    [
        "update sqlite_schema set sql = ''", "delete from sqlite_master",
        "drop table sqlite_schema",
        "insert into sqlite_schema values ('table', 'q', 'q', 0, 'create table q(x)')",
        "alter table sqlite_schema rename to q", "create index q on sqlite_schema(name)",
        "create trigger q after insert on sqlite_schema begin select 1; end",
        "create table sqlite_q(x)",
    ],
)  # fmt: skip
def test_the_schema_is_changed_by_ddl_alone(kept: Database, text: str) -> None:
    refused(kept, text)


# -- pragmas --------------------------------------------------------------------------------

FORBIDDEN = [
    "journal_mode", "synchronous", "locking_mode", "wal_autocheckpoint", "wal_checkpoint",
    "mmap_size", "max_page_count", "writable_schema", "cache_spill", "cache_size", "temp_store",
    "foreign_keys", "recursive_triggers", "trusted_schema", "cell_size_check", "secure_delete",
    "auto_vacuum", "incremental_vacuum", "schema_version", "user_version", "hard_heap_limit",
    "soft_heap_limit", "threads", "busy_timeout", "query_only", "ignore_check_constraints",
    "legacy_alter_table", "reverse_unordered_selects", "case_sensitive_like", "shrink_memory",
    "database_list", "temp_store_directory", "journal_size_limit", "analysis_limit",
]  # fmt: skip


@pytest.mark.parametrize("name", FORBIDDEN)
def test_pragmas_that_are_not_known_to_be_harmless_are_refused(kept: Database, name: str) -> None:
    for text in (
        "pragma {}", "PRAGMA {} = 1", "pragma {}(1)", "pragma main.{} = off", "explain pragma {}",
        "/**/pragma/**/{}", "pragma '{}' = 1", 'pragma "{}"', "select 1; pragma {}=2",
    ):  # fmt: skip
        denied(kept, text.format(name))
        denied(kept, text.format(name.upper()))


@pytest.mark.parametrize("name", FORBIDDEN)
def test_pragmas_are_refused_as_tables_too(kept: Database, name: str) -> None:
    refused(kept, f"select * from pragma_{name}")
    refused(kept, f"select * from pragma_{name}(1)")
    refused(kept, f"select * from PRAGMA_{name.upper()}('1', 'main')")


@pytest.mark.parametrize(
    "text",
    [
        "pragma page_size = 512", "pragma encoding = 'UTF-16'", "pragma application_id = 1",
        "pragma application_id(1)", "pragma page_count = 1", "pragma data_version = 1",
        "select * from pragma_page_size(512)", "select * from pragma_application_id(1)",
    ],
)  # fmt: skip
def test_readable_pragmas_cannot_be_set(kept: Database, text: str) -> None:
    before = kept.run_own("pragma page_size") + kept.run_own("pragma application_id")
    refused(kept, text)
    assert kept.run_own("pragma page_size") + kept.run_own("pragma application_id") == before


@pytest.mark.parametrize("name", sorted(PRAGMAS))
def test_harmless_pragmas_are_allowed(kept: Database, name: str) -> None:
    argument = "(mine)" if name.startswith(("index_", "table_", "foreign_key_l")) else ""
    kept.sql.unsafe(f"pragma {name}{argument}")
    assert kept.kv["key"] == "secret"


def test_harmless_pragmas_also_work_as_tables(kept: Database) -> None:
    found = kept.sql("select name from pragma_table_info('mine')")
    assert found.all() == [("x",), ("y",)]


@pytest.mark.parametrize("name", ["integrity_check", "quick_check"])
@pytest.mark.parametrize("argument", ["", "(1)", "(mine)"])
def test_a_database_can_be_checked(kept: Database, name: str, argument: str) -> None:
    assert kept.sql.unsafe(f"pragma {name}{argument}").all() == [("ok",)]


def test_the_settable_pragmas_last_one_step(kept: Database) -> None:
    assert {"defer_foreign_keys"} == SETTABLE
    kept.sql("create table p(k integer primary key); create table c(k references p)")
    kept.sql("pragma defer_foreign_keys = on")
    kept.sql("insert into c values (1); insert into p values (1)")
    kept.commit()
    with pytest.raises(ConstraintError):
        kept.sql("insert into c values (2)")


# -- functions and virtual tables -----------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "select load_extension('x')", "select LOAD_EXTENSION('x', 'y')",
        "select fts3_tokenizer('simple')", "select fts3_tokenizer('a', x'00')",
        "create table q(x default (load_extension('x')))", "select sqlite_log(1, 'x')",
        "create index q on mine(load_extension(x))",
    ],
)  # fmt: skip
def test_functions_that_reach_outside_are_refused(kept: Database, text: str) -> None:
    denied(kept, text)


@pytest.mark.parametrize(
    ("text", "use"),
    [
        ("create view q as select load_extension(x) from mine", "select * from q"),
        (
            "create trigger q after insert on mine begin select load_extension('x'); end",
            "insert into mine values (1, 1)",
        ),
    ],
)
def test_functions_that_reach_outside_are_refused_where_the_schema_uses_them(
    kept: Database, text: str, use: str
) -> None:
    kept.sql.unsafe(text)
    refused(kept, use)


@pytest.mark.parametrize(
    "name", ["sqlite_dbpage", "dbstat", "DBSTAT", "sqlite_stmt", "bytecode('select 1')",
             "tables_used('select 1')", "fsdir('.')", "completion", "zipfile('x')"],
)  # fmt: skip
def test_tables_that_show_raw_pages_or_other_statements_are_refused(
    kept: Database, name: str
) -> None:
    refused(kept, f"select * from {name}")


@pytest.mark.parametrize(
    "module", ["dbstat", "sqlite_dbpage", "sqlite_stmt", "fts3tokenize", "csv"]
)
def test_virtual_tables_of_other_modules_are_refused(kept: Database, module: str) -> None:
    refused(kept, f"create virtual table q using {module}(x)")
    refused(kept, f"create virtual table q using {module}")


def test_every_module_of_this_sqlite_is_either_allowed_or_refused_by_name(kept: Database) -> None:
    """A new one in a later SQLite must not be open to actors before somebody looked at it."""
    for (module,) in kept.sql("pragma module_list").all():
        if module not in MODULES and not module.startswith(("json", "pragma_")):
            denied(kept, f"create virtual table q using {module}(x)")


@pytest.mark.parametrize(
    ("module", "insert", "query", "found"),
    [
        ("fts5(text)", "values ('hello world')", "text match 'world'", "hello world"),
        ("fts4(text)", "values ('hello world')", "text match 'world'", "hello world"),
        ("rtree(text, low, high)", "values (7, 1.0, 2.0)", "low < 3", 7),
        ("rtree_i32(text, low, high)", "values (7, 1, 2)", "low < 3", 7),
    ],
)
def test_full_text_and_spatial_tables_work_and_are_committed(
    kept: Database, module: str, insert: str, query: str, found: object
) -> None:
    kept.sql.unsafe(f"create virtual table q using {module}")
    kept.sql.unsafe(f"insert into q {insert}")
    kept.commit()
    kept.sleep()
    assert kept.sql.unsafe(f"select text from q where {query}").value() == found
    kept.sql("alter table q rename to other; drop table other")
    kept.commit()
    assert kept.sql("select count(*) from sqlite_schema where name like 'q%'").value() == 0


def test_the_ranking_of_full_text_cannot_smuggle_a_query_in(kept: Database) -> None:
    kept.sql("create virtual table q using fts5(text)")
    kept.sql("insert into q values ('hello')")
    refused(kept, "select * from q('hello', 'bm25((select value from _facets_kv))')")
    rank = "bm25(1.0) union select value from _facets_kv"
    found = kept.sql("select * from q where q match 'hello' and rank match ?", rank)
    assert found.all() == [("hello",)]


# -- the runtime and actors side by side ----------------------------------------------------


def test_a_statement_of_the_runtime_is_not_lent_to_an_actor(kept: Database) -> None:
    """The text is the same, so it would come out of the statement cache ready prepared."""
    text = "select value from _facets_kv where key = ?"
    for _ in range(3):
        assert kept.run_own(text, ("key",))
        with pytest.raises(SqlDenied):
            kept.sql.unsafe(text, "key")


def test_code_that_is_called_in_the_middle_of_a_statement_gains_nothing(kept: Database) -> None:
    read: list[object] = []

    class Values(Mapping[str, object]):
        def __getitem__(self, name: str) -> object:
            read.append(kept.kv["key"])  # a statement of the runtime, inside the actor's
            return kept.sql("select 1").value()

        def __iter__(self) -> Iterator[str]:
            return iter(["a"])

        def __len__(self) -> int:
            return 1

    with pytest.raises(SqlDenied):
        kept.sql.many("insert into mine values (:a, 1); delete from _facets_kv", [Values()])
    assert read == [kept.kv["key"]] == ["secret"]


def test_an_error_after_a_denial_is_not_taken_for_one(kept: Database) -> None:
    denied(kept, "begin")
    error = refused(kept, "select nothing from mine")
    assert type(error) is SqlError


def test_the_authorizer_is_asked_again_when_the_schema_has_changed(kept: Database) -> None:
    assert kept.sql("select x from mine").value() == 1
    kept.sql("create table other(x)")
    assert kept.sql("select x from mine").value() == 1
    denied(kept, "select * from mine, _facets_kv")


def test_extensions_cannot_be_loaded_by_any_name() -> None:
    functions = {row[0] for row in apsw.Connection("").execute("pragma function_list")}
    assert not functions & {"readfile", "writefile", "edit", "shell_exec", "sha3", "eval"}
