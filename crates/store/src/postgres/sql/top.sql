select
    tenant_id,
    coalesce(sum(cost_usd) * 1000000000, 0)::bigint as usage_nanos,
    sum(prompt_tokens)::bigint as tokens_input,
    sum(completion_tokens)::bigint as tokens_output
from ai_token_usage
where timestamp >= $1
    and timestamp < $2
group by tenant_id
order by usage_nanos desc, tenant_id
limit $3
