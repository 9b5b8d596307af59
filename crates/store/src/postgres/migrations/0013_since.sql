-- A default that is set begins when it is set, not with the transaction that sets it: whatever was spent
-- beside its account, which was opened before, is brought in with its next call.
create or replace function bursar_budget_is_set() returns trigger
language plpgsql
as $$
begin
    if bursar_is_writing() then
        return null;
    end if;
    if tg_op = 'DELETE' then
        delete from budget
        where budget_id = bursar_budget_id(old.tenant_id, old.model);
        return null;
    end if;
    insert into tenant (tenant_id)
    values (new.tenant_id)
    on conflict (tenant_id) do nothing;
    insert into budget (budget_id, tenant_id, model, limit_usd, period, since)
    values (
        bursar_budget_id(new.tenant_id, new.model),
        new.tenant_id,
        new.model,
        new.monthly_limit_usd,
        'month',
        greatest(clock_timestamp(), (
            select max(opened_at) + interval '1 microsecond'
            from account
            where budget_id = bursar_budget_id(new.tenant_id, new.model)
        ))
    )
    on conflict (budget_id) do update
    set limit_usd = excluded.limit_usd,
        origin = 'set',
        since = case when budget.origin = 'default' then excluded.since else budget.since end,
        updated_at = excluded.updated_at;
    return null;
end
$$;

-- A month that began before the last account has ended, as after a change of the day it begins on, shows
-- what it had spent, like one that the budget came into.
create or replace function bursar_shown(at timestamptz)
returns table (
    budget_id uuid,
    tenant_id text,
    model text,
    limit_usd numeric,
    thresholds integer[],
    settled_usd numeric,
    tokens_input bigint,
    tokens_output bigint,
    period_end timestamptz,
    soft_limit_notified boolean,
    hard_limit_reached boolean
)
language sql
stable
as $$
    select
        b.budget_id,
        b.tenant_id,
        b.model,
        b.limit_usd,
        b.thresholds,
        coalesce(a.settled_usd, earlier.cost_usd, 0),
        coalesce(a.tokens_input, earlier.tokens_input, 0),
        coalesce(a.tokens_output, earlier.tokens_output, 0),
        coalesce(a.period_end, bursar_month_end(b.zone, b.anchor, at)),
        coalesce(b.thresholds[1] = any (a.fired), false),
        coalesce(a.exhausted, false)
            or coalesce(a.settled_usd, earlier.cost_usd, 0) >= b.limit_usd
    from budget as b
    left join account as a
        on a.budget_id = b.budget_id
        and a.period_start <= at
        and a.period_end > at
        and (a.opened_at >= b.since or a.period_start >= b.since)
    left join lateral (
        select
            sum(u.cost_usd) as cost_usd,
            sum(u.prompt_tokens)::bigint as tokens_input,
            sum(u.completion_tokens)::bigint as tokens_output
        from ai_token_usage as u
        where a.budget_id is null
            and (
                b.since > bursar_month_start(b.zone, b.anchor, at)
                or exists (
                    select 1
                    from account as last
                    where last.budget_id = b.budget_id
                        and last.period_end > bursar_month_start(b.zone, b.anchor, at)
                )
            )
            and u.tenant_id = b.tenant_id
            and (b.model = '*' or u.model = b.model)
            and u.timestamp >= bursar_month_start(b.zone, b.anchor, at)
            and u.timestamp < bursar_month_end(b.zone, b.anchor, at)
    ) as earlier on true
    where b.period = 'month'
        and b.user_id is null
        and b.report_type is null
$$;
