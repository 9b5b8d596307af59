join budget as b on b.budget_id = a.budget_id
where (a.budget_id, a.period_start) in (
    select * from unnest($1::uuid[], $2::timestamptz[])
)
