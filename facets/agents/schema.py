"""The tables of an agent, in its own database."""

from __future__ import annotations

SCHEMA = (
    """create table agent_messages(
        seq integer primary key, id text not null unique, parent text, kind text not null,
        body text not null, said text not null, at real not null)""",
    "create table agent_branches(name text primary key, head text) without rowid",
    """create table agent_overlays(
        seq integer primary key, first text not null, last text not null, summary text not null)""",
    "create virtual table agent_search using fts5(said, content='agent_messages', "
    "content_rowid='seq')",
    """create table agent_turns(
        seq integer primary key, id text not null unique, branch text not null,
        prompt text not null, status text not null, head text, begun real,
        steps integer not null default 0, tokens integer not null default 0,
        cost real not null default 0, output text, error text, report text)""",
    "create index agent_turns_open on agent_turns(branch, seq) "
    "where status in ('pending', 'running')",
    """create table agent_results(
        turn text not null, step integer not null, place integer not null, body text not null,
        primary key (turn, step, place)) without rowid""",
    """create table agent_runs(
        id text primary key, kind text not null, name text not null, status text not null,
        output text, error text) without rowid""",
    """create table agent_events(
        turn text not null, first integer not null, last integer not null, body blob not null,
        primary key (turn, first)) without rowid""",
    "create table agent_told(seq integer primary key, turn text not null unique)",
    # The mark of a row is that of no other one, an undone one of the same number included.
    """alter table agent_messages add column mark integer not null default 0;
    alter table agent_overlays add column mark integer not null default 0;
    alter table agent_overlays add column before text;
    alter table agent_overlays add column made integer not null default 0;
    update agent_overlays set before = (select parent from agent_messages where id = first);
    create index agent_overlays_last on agent_overlays(last, seq)""",
    "create table agent_slices(message integer, place integer, body text not null, "
    "primary key (message, place))",
    """create table agent_approvals(
        seq integer primary key, id text not null unique, turn text not null, tool text not null,
        arguments text not null, shape text not null, asked real not null, expires real,
        status text not null, note text)""",
    "create index agent_approvals_pending on agent_approvals(turn, expires) "
    "where status = 'pending'",
    "alter table agent_turns add column paused real",
    "alter table agent_turns add column waited real not null default 0",
    "drop index agent_turns_open",
    "create index agent_turns_open on agent_turns(branch, seq) "
    "where status in ('pending', 'running', 'paused')",
    """create table agent_blocks(label text primary key, body text not null) without rowid;
    create table agent_prompts(
        branch text primary key, declared text not null, instructions text not null,
        preamble text not null, told text not null) without rowid;
    create table agent_entries(
        seq integer primary key, label text not null, title text not null, body text not null,
        unique (label, title));
    create virtual table agent_entries_search using fts5(title, body)""",
    # `number` is their order; `heard` when a sign of life came last, `steps` how far its turn was
    # then; `sent` that the sub-agent has it, `stop` that it must be told that it is over.
    """drop table agent_runs;
    create table agent_runs(
        number integer primary key, id text not null unique, kind text not null,
        name text not null, status text not null, prompt text not null,
        detached integer not null, seconds real, patience real, begun real, ends real, heard real,
        steps integer not null default 0, output text, error text, reason text, message text,
        fraction real, milestones text not null default '[]', sent integer not null default 0,
        stop integer not null default 0);
    create index agent_runs_open on agent_runs(status, number)
        where status in ('queued', 'running');
    create index agent_runs_stop on agent_runs(stop) where stop""",
    """create table agent_children(
        place text primary key, created real not null, code text, props blob, quota text)
        without rowid""",
    """create table agent_plans(
        turn text not null, step integer not null, body text not null,
        primary key (turn, step)) without rowid""",
    """create table agent_attempts(
        turn text primary key, taken integer not null default 0,
        failed integer not null default 0, due real not null default 0) without rowid""",
    "alter table agent_results add column unheard real",
    """alter table agent_turns add column merged text;
    alter table agent_turns add column due real;
    alter table agent_turns add column retries integer not null default 0;
    alter table agent_turns add column answered text;
    create index agent_turns_merged on agent_turns(merged, seq) where merged is not null""",
    """create table agent_words(
        seq integer primary key, turn text not null, id text not null, text text not null,
        heard integer not null default 0, unique (turn, id))""",
    """create index agent_turns_reports on agent_turns(seq) where report is not null;
    create index agent_approvals_turn on agent_approvals(turn, seq)""",
)
"""One migration each; those of a subclass come after them."""
