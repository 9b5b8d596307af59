-- What dashboards and operators call.

-- How a tenant's monthly budgets stand now. The period is computed from the clock, so that it is
-- right at the first instant of a month. A budget that came into a running month shows what the
-- month had spent.
create function get_budget_status(tenant text)
returns table (
    tenant_id text,
    model text,
    monthly_limit_usd numeric(20, 9),
    current_usage_usd numeric(20, 9),
    percentage_used numeric,
    token_count_input bigint,
    token_count_output bigint,
    reset_date timestamptz,
    status text,
    soft_limit_notified boolean,
    hard_limit_reached boolean
)
language sql
stable
as $$
    select
        line.tenant_id,
        line.model,
        line.limit_usd,
        line.usage_usd,
        case
            when line.limit_usd > 0 then round(line.usage_usd * 100 / line.limit_usd, 2)
            when line.usage_usd > 0 then 100
            else 0
        end,
        line.tokens_input,
        line.tokens_output,
        line.period_end,
        case
            when line.usage_usd >= line.limit_usd then 'exceeded'
            when line.usage_usd * 100 >= line.limit_usd * line.thresholds[1] then 'warning'
            else 'ok'
        end,
        coalesce(line.thresholds[1] = any (line.fired), false),
        line.exhausted or line.usage_usd >= line.limit_usd
    from (
        select
            b.tenant_id,
            b.model,
            b.limit_usd,
            b.thresholds,
            coalesce(a.settled_usd, earlier.cost_usd, 0) as usage_usd,
            coalesce(a.tokens_input, earlier.tokens_input, 0) as tokens_input,
            coalesce(a.tokens_output, earlier.tokens_output, 0) as tokens_output,
            coalesce(a.period_end, bursar_month_end(b.zone, b.anchor, now())) as period_end,
            a.fired,
            coalesce(a.exhausted, false) as exhausted
        from budget as b
        left join account as a
            on a.budget_id = b.budget_id
            and a.period_start <= now()
            and a.period_end > now()
        left join lateral (
            select
                sum(u.cost_usd) as cost_usd,
                sum(u.prompt_tokens)::bigint as tokens_input,
                sum(u.completion_tokens)::bigint as tokens_output
            from ai_token_usage as u
            where a.budget_id is null
                and u.tenant_id = b.tenant_id
                and (b.model = '*' or u.model = b.model)
                and u.cost_usd is not null
                and u.timestamp >= bursar_month_start(b.zone, b.anchor, now())
                and b.since > bursar_month_start(b.zone, b.anchor, now())
        ) as earlier on true
        where b.tenant_id = tenant
            and b.period = 'month'
            and b.user_id is null
            and b.report_type is null
    ) as line
    order by line.model
$$;

-- Turns the rows of ai_token_budgets whose reset_date has passed. Returns how many. Budgets turn
-- by themselves: this only brings the rows up to date that nobody has spent on since, and may be
-- called at any time. Rows that are being written are left to their writer.
create function reset_monthly_budgets() returns integer
language plpgsql
as $$
declare
    due uuid[];
begin
    select coalesce(array_agg(locked.budget_id), '{}')
    into due
    from (
        select bursar_budget_id(row.tenant_id, row.model) as budget_id
        from ai_token_budgets as row
        where row.reset_date <= now()
        order by row.tenant_id, row.model
        for update skip locked
    ) as locked;
    perform bursar_project(due, now());
    return cardinality(due);
end
$$;

-- Calls by day (UTC), tenant and model. The service refreshes it every hour.
create materialized view ai_budget_summary as
select
    (timestamp at time zone 'UTC')::date as day,
    tenant_id,
    model,
    count(*) as requests,
    sum(prompt_tokens)::bigint as prompt_tokens,
    sum(completion_tokens)::bigint as completion_tokens,
    (sum(prompt_tokens) + sum(completion_tokens))::bigint as tokens,
    coalesce(sum(cost_usd), 0)::numeric(20, 9) as cost_usd,
    count(*) filter (where cost_usd is null) as unpriced
from ai_token_usage
group by 1, 2, 3;

create unique index ai_budget_summary_key on ai_budget_summary (day, tenant_id, model);
