-- Budgets that came to be by default. Where an operator has set one of the same name since they were
-- looked for, this fails, and the commands are carried out again under that one.
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
