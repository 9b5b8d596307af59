insert into delivery (
    key,
    topic,
    severity,
    channel,
    recipient,
    facts,
    at,
    state,
    wanted_at,
    due_at,
    updated_at
)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $10)
on conflict (key) do nothing
