insert into event (
    name,
    kind,
    percent,
    key,
    budget_id,
    period_start,
    tenant_id,
    model,
    user_id,
    report_type,
    settled_usd,
    limit_usd,
    at
)
select
    new.name,
    new.kind,
    new.percent,
    new.key,
    new.budget_id,
    new.period_start,
    new.tenant_id,
    new.model,
    new.user_id,
    new.report_type,
    new.settled * 0.000000001::numeric,
    new.most * 0.000000001::numeric,
    new.at
from unnest(
    $1::text[],
    $2::text[],
    $3::integer[],
    $4::uuid[],
    $5::uuid[],
    $6::timestamptz[],
    $7::text[],
    $8::text[],
    $9::text[],
    $10::text[],
    $11::bigint[],
    $12::bigint[],
    $13::timestamptz[]
) with ordinality as new (
    name,
    kind,
    percent,
    key,
    budget_id,
    period_start,
    tenant_id,
    model,
    user_id,
    report_type,
    settled,
    most,
    at,
    place
)
order by new.place
on conflict (name) do nothing
