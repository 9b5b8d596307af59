select
    name,
    budget_id,
    filter,
    basis,
    currency,
    period,
    limit_amount::text as limit_text,
    thresholds,
    since,
    updated_at
from cloud_budget
