"""The tables of an agent, in its own database."""

from __future__ import annotations

_MESSAGES = """
-- The mark of a row is that of no other one, an undone one of the same number included.
create table agent_messages(
    seq integer primary key, id text not null unique, parent text, kind text not null,
    body text not null, said text not null, at real not null, mark integer not null);
create table agent_slices(
    message integer, place integer, body text not null, primary key (message, place));
create virtual table agent_search using fts5(said, content='agent_messages', content_rowid='seq');
create table agent_branches(name text primary key, head text) without rowid;
create table agent_overlays(
    seq integer primary key, first text not null, last text not null, summary text not null,
    mark integer not null, before text, made integer not null);
create index agent_overlays_last on agent_overlays(last, seq);
"""
_TURNS = """
create table agent_turns(
    seq integer primary key, id text not null unique, branch text not null, prompt text not null,
    status text not null, head text, begun real, steps integer not null default 0,
    tokens integer not null default 0, cost real not null default 0, output text, error text,
    report text, paused real, waited real not null default 0, merged text, due real,
    retries integer not null default 0, answered text);
create index agent_turns_open on agent_turns(branch, seq)
    where status in ('pending', 'running', 'paused');
create index agent_turns_merged on agent_turns(merged, seq) where merged is not null;
create index agent_turns_reports on agent_turns(seq) where report is not null;
create table agent_results(
    turn text not null, step integer not null, place integer not null, body text not null,
    unheard real, primary key (turn, step, place)) without rowid;
create table agent_plans(
    turn text not null, step integer not null, body text not null,
    primary key (turn, step)) without rowid;
create table agent_attempts(
    turn text primary key, taken integer not null default 0, failed integer not null default 0,
    due real not null default 0) without rowid;
create table agent_words(
    seq integer primary key, turn text not null, id text not null, text text not null,
    heard integer not null default 0, unique (turn, id));
create table agent_approvals(
    seq integer primary key, id text not null unique, turn text not null, tool text not null,
    arguments text not null, shape text not null, asked real not null, expires real,
    status text not null, note text);
create index agent_approvals_pending on agent_approvals(turn, expires) where status = 'pending';
create index agent_approvals_turn on agent_approvals(turn, seq);
create table agent_events(
    turn text not null, first integer not null, last integer not null, body blob not null,
    primary key (turn, first)) without rowid;
create table agent_told(seq integer primary key, turn text not null unique);
"""
_CONTEXT = """
create table agent_blocks(label text primary key, body text not null) without rowid;
create table agent_prompts(
    branch text primary key, declared text not null, instructions text not null,
    preamble text not null, told text not null) without rowid;
create table agent_entries(
    seq integer primary key, label text not null, title text not null, body text not null,
    unique (label, title));
create virtual table agent_entries_search using fts5(title, body);
"""
_RUNS = """
-- `number` is their order; `heard` when a sign of life came last, `steps` how far its turn was
-- then; `sent` that the sub-agent has it, `stop` that it must be told that it is over.
create table agent_runs(
    number integer primary key, id text not null unique, kind text not null, name text not null,
    status text not null, prompt text not null, detached integer not null, seconds real,
    patience real, begun real, ends real, heard real, steps integer not null default 0,
    output text, error text, reason text, message text, fraction real,
    milestones text not null default '[]', sent integer not null default 0,
    stop integer not null default 0);
create index agent_runs_open on agent_runs(status, number) where status in ('queued', 'running');
create index agent_runs_stop on agent_runs(stop) where stop;
create table agent_children(
    place text primary key, created real not null, code text, props blob, quota text)
    without rowid;
"""
SCHEMA = (_MESSAGES + _TURNS + _CONTEXT + _RUNS,)
"""The migrations of every agent; those of a subclass come after them."""
