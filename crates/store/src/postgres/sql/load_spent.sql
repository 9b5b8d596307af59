-- What the calls that a scope covers had cost in a period: for an account that opens in it.
select
    coalesce(sum(cost_usd) * 1000000000, 0)::bigint as settled_nanos,
    coalesce(sum(
        actual_input + actual_cache_read + actual_cache_write_5m + actual_cache_write_1h
    ), 0)::bigint as tokens_input,
    coalesce(sum(actual_output), 0)::bigint as tokens_output
from reservation
where tenant_id = $1
    and ($2::text = '*' or model = $2)
    and ($3::text is null or user_id = $3)
    and ($4::text is null or report_type = $4)
    and created_at >= $5
    and created_at < $6
