select
    tenant_id,
    seq,
    at,
    kind,
    key,
    (amount_usd * 1000000000)::bigint as amount_nanos,
    postings,
    hash
from entry
