insert into ai_token_budgets (
    tenant_id,
    model,
    monthly_limit_usd,
    reset_date,
    created_at,
    updated_at
)
values (
    $1,
    $2,
    $3::bigint * 0.000000001::numeric,
    $4,
    $5,
    $5
)
on conflict (tenant_id, model) do update
set monthly_limit_usd = excluded.monthly_limit_usd,
    updated_at = excluded.updated_at
