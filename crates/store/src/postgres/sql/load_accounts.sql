where (a.budget_id, a.period_start) in (
    select
        running.budget_id,
        running.period_start
    from budget as b
    join account as running
        on running.budget_id = b.budget_id
        and running.period_end > $3::timestamptz
    where b.tenant_id = any (array(
        select unnest($1::text[])
        union
        select tenant_id
        from reservation
        where key = any ($2::uuid[])
    ))
    union
    select
        named.budget_id,
        named.period_start
    from reservation as r
    cross join unnest(r.account_budgets, r.account_starts) as named (budget_id, period_start)
    where r.key = any ($2::uuid[])
)
