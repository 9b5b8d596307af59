insert into account (
    budget_id,
    period_start,
    period_end,
    opened_at,
    settled_usd,
    held_usd,
    unresolved_usd,
    tokens_input,
    tokens_output,
    fired,
    exhausted
)
select
    new.budget_id,
    new.period_start,
    new.period_end,
    new.opened_at,
    new.settled * 0.000000001::numeric,
    new.held * 0.000000001::numeric,
    new.unresolved * 0.000000001::numeric,
    new.tokens_input,
    new.tokens_output,
    new.fired::integer[],
    new.exhausted
from unnest(
    $1::uuid[],
    $2::timestamptz[],
    $3::timestamptz[],
    $4::timestamptz[],
    $5::bigint[],
    $6::bigint[],
    $7::bigint[],
    $8::bigint[],
    $9::bigint[],
    $10::text[],
    $11::boolean[]
) as new (
    budget_id,
    period_start,
    period_end,
    opened_at,
    settled,
    held,
    unresolved,
    tokens_input,
    tokens_output,
    fired,
    exhausted
)
on conflict (budget_id, period_start) do update
set opened_at = excluded.opened_at,
    settled_usd = excluded.settled_usd,
    held_usd = excluded.held_usd,
    unresolved_usd = excluded.unresolved_usd,
    tokens_input = excluded.tokens_input,
    tokens_output = excluded.tokens_output,
    fired = excluded.fired,
    exhausted = excluded.exhausted
