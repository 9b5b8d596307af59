-- What dashboards and operators call.

-- How a tenant's monthly budgets stand now.
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
        shown.tenant_id,
        shown.model,
        shown.limit_usd,
        shown.settled_usd,
        case
            when shown.limit_usd > 0 then round(shown.settled_usd * 100 / shown.limit_usd, 2)
            when shown.settled_usd > 0 then 100
            else 0
        end,
        shown.tokens_input,
        shown.tokens_output,
        shown.period_end,
        case
            when shown.settled_usd >= shown.limit_usd then 'exceeded'
            when shown.settled_usd * 100 >= shown.limit_usd * shown.thresholds[1] then 'warning'
            else 'ok'
        end,
        shown.soft_limit_notified,
        shown.hard_limit_reached
    from bursar_shown(now()) as shown
    where shown.tenant_id = tenant
    order by shown.model
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
