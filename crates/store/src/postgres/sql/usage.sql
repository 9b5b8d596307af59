select
    count(*) as requests,
    coalesce(sum(cost_usd) * 1000000000, 0)::bigint as cost_nanos,
    coalesce(sum(prompt_tokens), 0)::bigint as tokens_input,
    coalesce(sum(completion_tokens), 0)::bigint as tokens_output,
    count(*) filter (where cost_usd is null) as unpriced