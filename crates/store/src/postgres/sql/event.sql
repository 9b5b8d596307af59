select
    event_id,
    kind,
    percent,
    key,
    budget_id,
    period_start,
    tenant_id,
    model,
    user_id,
    report_type,
    (settled_usd * 1000000000)::bigint as settled_nanos,
    (limit_usd * 1000000000)::bigint as limit_nanos,
    at
from event
