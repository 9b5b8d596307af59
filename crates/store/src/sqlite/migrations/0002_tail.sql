-- What was committed last, in the order of commits and without an index: a commit writes a few pages
-- at the end of each, however many tenants it serves. It is moved into the tables of the same name,
-- many rows at once in their order, before anybody reads those.

create table entry_tail (
    row_number integer primary key,
    tenant_id text not null,
    seq integer not null,
    at integer not null,
    kind text not null,
    key blob not null,
    amount_nanos integer not null,
    postings text not null,
    hash blob not null
) strict;

create table account_tail (
    row_number integer primary key,
    budget_id blob not null,
    period_start integer not null,
    period_end integer not null,
    settled_nanos integer not null,
    held_nanos integer not null,
    unresolved_nanos integer not null,
    tokens_input integer not null,
    tokens_output integer not null,
    fired text not null,
    exhausted integer not null
) strict;

create table reservation_tail (
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
