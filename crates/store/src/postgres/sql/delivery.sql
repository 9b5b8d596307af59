select
    delivery_id,
    key,
    topic,
    severity,
    channel,
    recipient,
    facts,
    at,
    state,
    attempts,
    wanted_at,
    due_at,
    batch,
    leased_until,
    error,
    updated_at
from delivery
