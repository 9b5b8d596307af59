where tenant_id = $1
    and ($2::text = '*' or model = $2)
    and ($3::text is null or user_id = $3)
    and ($4::text is null or report_type = $4)
    and created_at >= $5
    and created_at < $6
    and state in ('held', 'unresolved', 'unpriced', 'charged')
