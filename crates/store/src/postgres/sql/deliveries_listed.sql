where ($1::text is null or state = $1)
    and ($2::text is null or channel = $2)
    and ($3::timestamptz is null or at >= $3)
    and ($4::bigint is null or delivery_id < $4)
order by delivery_id desc
limit $5
