select
    key_id,
    tenant_id,
    name,
    hash,
    prefix,
    created_at,
    revoked_at
from api_key
