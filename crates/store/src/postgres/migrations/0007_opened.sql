-- A budget that was removed and comes back finds its account as it was left: brought up to what was
-- spent meanwhile when it was opened before the budget came back. What exists is left alone.
alter table account add column opened_at timestamptz not null default now();

-- How monthly budgets of tenants and models stand at an instant. The period is computed from it, so
-- that it is right at the first instant of a month. A budget that came into a running month, or came
-- back into it, and has decided nothing yet, shows what the month had spent.
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
            and b.since > bursar_month_start(b.zone, b.anchor, at)
            and u.tenant_id = b.tenant_id
            and (b.model = '*' or u.model = b.model)
            and u.timestamp >= bursar_month_start(b.zone, b.anchor, at)
            and u.timestamp < bursar_month_end(b.zone, b.anchor, at)
    ) as earlier on true
    where b.period = 'month'
        and b.user_id is null
        and b.report_type is null
$$;
