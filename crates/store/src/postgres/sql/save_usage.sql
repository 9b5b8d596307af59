insert into ai_token_usage (
    request_id,
    tenant_id,
    model,
    prompt_tokens,
    completion_tokens,
    cache_read_tokens,
    cache_write_5m_tokens,
    cache_write_1h_tokens,
    cost_usd,
    report_type,
    user_id,
    timestamp
)
select
    key,
    tenant_id,
    model,
    coalesce(
        actual_input + actual_cache_read + actual_cache_write_5m + actual_cache_write_1h,
        0
    ),
    coalesce(actual_output, 0),
    coalesce(actual_cache_read, 0),
    coalesce(actual_cache_write_5m, 0),
    coalesce(actual_cache_write_1h, 0),
    cost_usd,
    report_type,
    user_id,
    created_at
from reservation
where key = any ($1::uuid[])
on conflict (request_id, timestamp) do update
set prompt_tokens = excluded.prompt_tokens,
    completion_tokens = excluded.completion_tokens,
    cache_read_tokens = excluded.cache_read_tokens,
    cache_write_5m_tokens = excluded.cache_write_5m_tokens,
    cache_write_1h_tokens = excluded.cache_write_1h_tokens,
    cost_usd = excluded.cost_usd,
    report_type = excluded.report_type,
    user_id = excluded.user_id
