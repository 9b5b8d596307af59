select
    tenant_id,
    name,
    tier,
    admin_email,
    created_at,
    ledger_seq,
    ledger_hash
from tenant
