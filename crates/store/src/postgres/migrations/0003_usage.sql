-- ai_token_usage: the audit log of every call, a row for each that has happened, in partitions of
-- a month (UTC) by the time of the request.

create table ai_token_usage (
    request_id uuid not null,
    tenant_id text collate "C" not null,
    model text collate "C" not null,
    prompt_tokens bigint not null,
    completion_tokens bigint not null,
    cache_read_tokens bigint not null default 0,
    cache_write_5m_tokens bigint not null default 0,
    cache_write_1h_tokens bigint not null default 0,
    cost_usd numeric(20, 9),
    report_type text collate "C",
    user_id text collate "C",
    timestamp timestamptz not null default now(),
    constraint ai_token_usage_pkey primary key (request_id, timestamp)
) partition by range (timestamp);

create index ai_token_usage_by_tenant on ai_token_usage (tenant_id, timestamp);
create index ai_token_usage_by_time on ai_token_usage (timestamp);

comment on table ai_token_usage is 'Every call that has happened, and its exact cost; null where its model has no price yet.';
comment on column ai_token_usage.prompt_tokens is 'The whole prompt, tokens read from and written to a cache included.';

-- Takes what no month's partition takes, so that an insert never fails.
create table ai_token_usage_default partition of ai_token_usage default;

-- Makes the partition of the month (UTC) that holds an instant, with what the default partition
-- has taken for it. Whether it had to be made.
create function bursar_make_partition(at timestamptz) returns boolean
language plpgsql
as $$
declare
    month timestamp := date_trunc('month', at at time zone 'UTC');
    first timestamptz := month at time zone 'UTC';
    past timestamptz := (month + interval '1 month') at time zone 'UTC';
    name text := format('ai_token_usage_%s', to_char(month, 'YYYY_MM'));
begin
    if to_regclass(quote_ident(name)) is not null then
        return false;
    end if;
    execute format(
        'create table %I (like ai_token_usage including defaults including constraints)',
        name
    );
    if exists (
        select 1
        from ai_token_usage_default
        where timestamp >= first
            and timestamp < past
    ) then
        lock table ai_token_usage in access exclusive mode;
        execute format(
            'with moved as ('
            '    delete from ai_token_usage_default'
            '    where timestamp >= $1 and timestamp < $2'
            '    returning *'
            ') insert into %I select * from moved',
            name
        ) using first, past;
    end if;
    execute format(
        'alter table ai_token_usage attach partition %I for values from (%L) to (%L)',
        name,
        first,
        past
    );
    return true;
end
$$;

-- The month before, the running one and the three ahead.
select bursar_make_partition(date_trunc('month', now()) + make_interval(months => ahead))
from generate_series(-1, 3) as ahead;
