-- Times are microseconds since 1970 UTC; money is nano-dollars; keys and ids are 16 bytes.

create table tenant (
    tenant_id text not null primary key,
    name text,
    tier text,
    admin_email text,
    created_at integer not null,
    ledger_seq integer not null default 0,
    ledger_hash blob not null
) strict, without rowid;

create table budget (
    budget_id blob not null primary key,
    tenant_id text not null,
    model text not null,
    user_id text,
    report_type text,
    limit_nanos integer not null,
    period text not null,
    anchor text,
    days integer,
    zone text not null,
    thresholds text not null,
    enforcement text not null,
    origin text not null,
    since integer not null,
    updated_at integer not null,
    constraint budget_limit_not_negative check (limit_nanos >= 0)
) strict, without rowid;

create index budget_by_tenant on budget (tenant_id);

create table account (
    budget_id blob not null,
    period_start integer not null,
    period_end integer not null,
    settled_nanos integer not null,
    held_nanos integer not null,
    unresolved_nanos integer not null,
    tokens_input integer not null,
    tokens_output integer not null,
    fired text not null,
    exhausted integer not null,
    primary key (budget_id, period_start)
) strict, without rowid;

create table entry (
    tenant_id text not null,
    seq integer not null,
    at integer not null,
    kind text not null,
    key blob not null,
    amount_nanos integer not null,
    postings text not null,
    hash blob not null,
    primary key (tenant_id, seq)
) strict, without rowid;

create table reservation (
    row_number integer primary key,
    key blob not null,
    tenant_id text not null,
    model text not null,
    user_id text,
    report_type text,
    state text not null,
    estimate text,
    hold_nanos integer not null,
    used_input integer,
    used_output integer,
    used_cache_read integer,
    used_cache_write_5m integer,
    used_cache_write_1h integer,
    used_tier text,
    used_given integer,
    cost_nanos integer,
    accounts text not null,
    standing_settled integer not null,
    standing_counted integer not null,
    standing_limit integer not null,
    would_refuse integer not null,
    created_at integer not null,
    expires_at integer not null,
    updated_at integer not null
) strict;

create unique index reservation_by_key on reservation (key);
create index reservation_by_time on reservation (created_at, key);
create index reservation_by_tenant on reservation (tenant_id, created_at, key);
create index reservation_held on reservation (expires_at) where state = 'held';
create index reservation_open on reservation (state, updated_at)
where state in ('unresolved', 'unpriced');

create table event (
    event_id integer primary key,
    name text not null unique,
    at integer not null,
    tenant_id text not null,
    event text not null
) strict;

create table api_key (
    key_id blob not null primary key,
    tenant_id text not null,
    name text not null,
    hash blob not null unique,
    prefix text not null,
    created_at integer not null,
    revoked_at integer
) strict, without rowid;

create table price (
    model text not null,
    effective_from text not null,
    price text not null,
    primary key (model, effective_from)
) strict, without rowid;

create table revision (
    name text not null primary key,
    number integer not null
) strict, without rowid;
