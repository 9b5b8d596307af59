-- Rows of ai_token_budgets for budgets that came to be by default. Before the budgets themselves:
-- operators' inserts go in this order, too.
insert into ai_token_budgets (
    tenant_id,
    model,
    monthly_limit_usd,
    reset_date,
    created_at,
    updated_at
)
select
    new.tenant_id,
    new.model,
    new.most * 0.000000001::numeric,
    bursar_month_end('UTC', null, $4::timestamptz),
    $4::timestamptz,
    $4::timestamptz
from unnest($1::text[], $2::text[], $3::bigint[]) as new (tenant_id, model, most)
order by new.tenant_id, new.model
on conflict (tenant_id, model) do nothing
