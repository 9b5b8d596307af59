select
    budget_id,
    tenant_id,
    model,
    user_id,
    report_type,
    (limit_usd * 1000000000)::bigint as limit_nanos,
    period,
    anchor,
    days,
    zone,
    thresholds,
    enforcement,
    overflow,
    origin,
    since,
    updated_at
from budget
