insert into budget (
    budget_id,
    tenant_id,
    model,
    user_id,
    report_type,
    limit_usd,
    period,
    anchor,
    days,
    zone,
    thresholds,
    enforcement,
    overflow,
    origin,
    since,
    updated_at
)
values (
    $1,
    $2,
    $3,
    $4,
    $5,
    $6::bigint * 0.000000001::numeric,
    $7,
    $8,
    $9,
    $10,
    $11,
    $12,
    $13,
    $14,
    $15,
    $16
)
on conflict (budget_id) do update
set limit_usd = excluded.limit_usd,
    anchor = excluded.anchor,
    days = excluded.days,
    zone = excluded.zone,
    thresholds = excluded.thresholds,
    enforcement = excluded.enforcement,
    overflow = excluded.overflow,
    origin = excluded.origin,
    since = case
        when (budget.anchor, budget.days, budget.zone)
            is distinct from (excluded.anchor, excluded.days, excluded.zone)
            or (budget.origin = 'default' and excluded.origin = 'set')
            then excluded.since
        else budget.since
    end,
    updated_at = excluded.updated_at
returning
    since
