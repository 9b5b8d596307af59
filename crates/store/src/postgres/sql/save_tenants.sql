insert into tenant (tenant_id, created_at, ledger_seq, ledger_hash)
select
    new.tenant_id,
    $2::timestamptz,
    new.seq,
    new.hash
from unnest($1::text[], $3::bigint[], $4::bytea[]) as new (tenant_id, seq, hash)
order by new.tenant_id
