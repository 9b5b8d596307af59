-- Brings the rows of ai_token_budgets up to date whose running accounts were saved, as bursar_project
-- does. A row that somebody else holds is passed over: an operator's open transaction must not stop
-- the traffic of a tenant. Returns the budgets whose rows were passed over, to be followed later.
with changed as materialized (
    select
        b.budget_id,
        b.tenant_id,
        b.model,
        a.settled_usd,
        a.tokens_input,
        a.tokens_output,
        a.period_end,
        coalesce(b.thresholds[1] = any (a.fired), false) as soft_limit_notified,
        a.exhausted or a.settled_usd >= b.limit_usd as hard_limit_reached
    from unnest($1::uuid[], $2::timestamptz[]) as given (budget_id, period_start)
    join account as a
        on a.budget_id = given.budget_id
        and a.period_start = given.period_start
    join budget as b
        on b.budget_id = given.budget_id
    where b.period = 'month'
        and b.user_id is null
        and b.report_type is null
),
free as materialized (
    select changed.*
    from changed
    join ai_token_budgets as row
        on row.tenant_id = changed.tenant_id
        and row.model = changed.model
    order by row.tenant_id, row.model
    for update of row skip locked
),
projected as (
    update ai_token_budgets as row
    set current_usage_usd = free.settled_usd,
        token_count_input = free.tokens_input,
        token_count_output = free.tokens_output,
        reset_date = free.period_end,
        soft_limit_notified = free.soft_limit_notified,
        hard_limit_reached = free.hard_limit_reached,
        updated_at = greatest(row.updated_at, $3::timestamptz)
    from free
    where row.tenant_id = free.tenant_id
        and row.model = free.model
    returning free.budget_id
)
select budget_id
from changed
except
select budget_id
from projected
