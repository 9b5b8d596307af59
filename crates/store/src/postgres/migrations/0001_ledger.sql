-- What Bursar keeps for itself. Amounts are exact dollars; texts sort by their bytes.

-- Whether a text is a name that Bursar accepts: 1 to `most` bytes, no white space, no control
-- characters, not the '*' that stands for all.
create function bursar_is_name(name text, most integer) returns boolean
language sql
immutable
strict
as $$
    select octet_length(name) between 1 and most
        and name <> '*'
        and name !~ '[\u0001-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]'
$$;

create table tenant (
    tenant_id text collate "C"
        constraint tenant_pkey primary key
        constraint tenant_id_is_name check (bursar_is_name(tenant_id, 128)),
    name text,
    tier text,
    admin_email text,
    created_at timestamptz not null default now(),
    ledger_seq bigint not null default 0,
    ledger_hash bytea not null default decode(repeat('00', 32), 'hex'),
    constraint tenant_tier_known
        check (tier in ('starter', 'professional', 'enterprise', 'custom'))
) with (fillfactor = 50);

comment on table tenant is 'Customers, and the end of each one''s ledger. Locked while a batch changes its balances.';

create table budget (
    budget_id uuid constraint budget_pkey primary key,
    tenant_id text collate "C" not null
        constraint budget_tenant_is_name check (bursar_is_name(tenant_id, 128)),
    model text collate "C" not null
        constraint budget_model_is_name check (model = '*' or bursar_is_name(model, 200)),
    user_id text collate "C",
    report_type text collate "C",
    limit_usd numeric(20, 9) not null
        constraint budget_limit_in_range check (limit_usd between 0 and 1000000000),
    period text not null
        constraint budget_period_known
        check (period in ('day', 'week', 'month', 'quarter', 'year', 'custom')),
    anchor date,
    days integer,
    zone text not null default 'UTC',
    thresholds integer[] not null default '{80,100}',
    enforcement text not null default 'hard'
        constraint budget_enforcement_known check (enforcement in ('hard', 'shadow')),
    origin text not null default 'set'
        constraint budget_origin_known check (origin in ('set', 'default')),
    since timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

create index budget_by_tenant on budget (tenant_id);

comment on table budget is 'Limits. Monthly ones of a tenant and model are also rows of ai_token_budgets.';

create table account (
    budget_id uuid not null,
    period_start timestamptz not null,
    period_end timestamptz not null,
    settled_usd numeric(20, 9) not null,
    held_usd numeric(20, 9) not null,
    unresolved_usd numeric(20, 9) not null,
    tokens_input bigint not null,
    tokens_output bigint not null,
    fired integer[] not null default '{}',
    exhausted boolean not null default false,
    constraint account_pkey primary key (budget_id, period_start)
) with (fillfactor = 50);

create index account_by_end on account (budget_id, period_end);

comment on table account is 'Balances of a budget in a period. They are the sum of the entries'' postings.';

create table entry (
    tenant_id text collate "C" not null,
    seq bigint not null,
    at timestamptz not null,
    kind text not null,
    key uuid not null,
    amount_usd numeric(20, 9) not null,
    postings text not null,
    hash bytea not null,
    constraint entry_pkey primary key (tenant_id, seq)
);

comment on table entry is 'The ledger: only ever added to. Each hash covers the entry and the hash before it.';
comment on column entry.postings is 'budget@start (microseconds)=settled/held/unresolved (nano-dollars), a space between two';

create table reservation (
    key uuid constraint reservation_pkey primary key,
    tenant_id text collate "C" not null,
    model text collate "C" not null,
    user_id text collate "C",
    report_type text collate "C",
    state text not null
        constraint reservation_state_known
        check (state in ('held', 'settled', 'released', 'unresolved', 'charged', 'unpriced')),
    estimate_input bigint,
    estimate_output bigint,
    estimate_cache_read bigint,
    estimate_cache_write_5m bigint,
    estimate_cache_write_1h bigint,
    estimate_tier text,
    estimate_given boolean,
    actual_input bigint,
    actual_output bigint,
    actual_cache_read bigint,
    actual_cache_write_5m bigint,
    actual_cache_write_1h bigint,
    actual_tier text,
    actual_given boolean,
    hold_usd numeric(20, 9) not null,
    cost_usd numeric(20, 9),
    account_budgets uuid[] not null,
    account_starts timestamptz[] not null,
    standing_settled_usd numeric(20, 9) not null,
    standing_counted_usd numeric(20, 9) not null,
    standing_limit_usd numeric(20, 9) not null,
    standing_would_refuse boolean not null,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    updated_at timestamptz not null
) with (fillfactor = 80);

create index reservation_by_time on reservation (created_at, key);
create index reservation_by_tenant on reservation (tenant_id, created_at, key);
create index reservation_due on reservation (expires_at) where state = 'held';
create index reservation_open on reservation (state, updated_at)
    where state in ('unresolved', 'unpriced');

comment on table reservation is 'Money promised to a call, and what became of it. The key is the caller''s request id.';

create table event (
    event_id bigserial constraint event_pkey primary key,
    name text not null constraint event_name_key unique,
    kind text not null,
    percent integer,
    key uuid,
    budget_id uuid not null,
    period_start timestamptz not null,
    tenant_id text collate "C" not null,
    model text collate "C" not null,
    user_id text collate "C",
    report_type text collate "C",
    settled_usd numeric(20, 9) not null,
    limit_usd numeric(20, 9) not null,
    at timestamptz not null
);

comment on table event is 'What somebody has to be told, in the order of commit, each name once.';

create table api_key (
    key_id uuid constraint api_key_pkey primary key,
    tenant_id text collate "C" not null,
    name text not null,
    hash bytea not null constraint api_key_hash_key unique,
    prefix text not null,
    created_at timestamptz not null,
    revoked_at timestamptz
);

create index api_key_by_tenant on api_key (tenant_id);

create table price (
    model text collate "C" not null,
    effective_from date not null,
    price jsonb not null,
    constraint price_pkey primary key (model, effective_from)
);

-- One row: what the replicas share about their upkeep.
create table upkeep (
    single boolean not null default true
        constraint upkeep_pkey primary key
        constraint upkeep_has_one_row check (single),
    prices_revision bigint not null default 0,
    summary_refreshed_at timestamptz,
    caught_up_at timestamptz
);

insert into upkeep default values;
