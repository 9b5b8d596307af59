update delivery
set
    state = $3,
    attempts = attempts + $4,
    due_at = coalesce($5, due_at),
    error = $6,
    lease = null,
    leased_until = null,
    updated_at = $2
where lease = $1
