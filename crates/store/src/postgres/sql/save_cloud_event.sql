insert into event (
    name,
    kind,
    percent,
    budget_id,
    period_start,
    cloud_budget,
    filter,
    basis,
    currency,
    period,
    spent_amount,
    limit_amount,
    at
)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::text::numeric, $12::text::numeric, $13)
on conflict (name) do nothing
