select
    b.tenant_id,
    a.budget_id,
    a.period_start,
    a.period_end,
    a.opened_at,
    (a.settled_usd * 1000000000)::bigint as settled_nanos,
    (a.held_usd * 1000000000)::bigint as held_nanos,
    (a.unresolved_usd * 1000000000)::bigint as unresolved_nanos,
    a.tokens_input,
    a.tokens_output,
    a.fired,
    a.exhausted
from account as a
join budget as b on b.budget_id = a.budget_id
where (a.budget_id, a.period_start) in (
    select * from unnest($1::uuid[], $2::timestamptz[])
)
