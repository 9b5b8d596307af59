update tenant
set ledger_seq = head.seq,
    ledger_hash = head.hash
from unnest($1::text[], $2::bigint[], $3::bytea[]) as head (tenant_id, seq, hash)
where tenant.tenant_id = head.tenant_id
