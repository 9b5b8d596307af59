where (a.budget_id, a.period_start) in (
    select
        b.budget_id,
        kept.period_start
    from budget as b
    cross join lateral (
        select period_start
        from account
        where budget_id = b.budget_id
            and period_end > $3::timestamptz
        union
        (
            select period_start
            from account
            where budget_id = b.budget_id
            order by period_end desc
            limit 1
        )
    ) as kept
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
