insert into budget (
    budget_id,
    tenant_id,
    model,
    limit_usd,
    period,
    origin,
    since,
    updated_at
)
select
    new.budget_id,
    new.tenant_id,
    new.model,
    new.most * 0.000000001::numeric,
    'month',
    'default',
    $5::timestamptz,
    $5::timestamptz
from unnest($1::uuid[], $2::text[], $3::text[], $4::bigint[])
    as new (budget_id, tenant_id, model, most)
order by new.tenant_id, new.model
on conflict (budget_id) do nothing
