insert into cloud_budget (
    name,
    budget_id,
    filter,
    basis,
    currency,
    period,
    limit_amount,
    thresholds,
    since,
    updated_at
)
values ($1, $2, $3, $4, $5, $6, $7::text::numeric, $8, $9, $10)
on conflict (name) do update
set budget_id = excluded.budget_id,
    filter = excluded.filter,
    basis = excluded.basis,
    currency = excluded.currency,
    period = excluded.period,
    limit_amount = excluded.limit_amount,
    thresholds = excluded.thresholds,
    since = excluded.since,
    updated_at = excluded.updated_at
