where channel = $1
    and state = 'pending'
    and due_at <= $2
    and (leased_until is null or leased_until <= $3)
order by due_at, coalesce(batch, ''), delivery_id
limit $4
