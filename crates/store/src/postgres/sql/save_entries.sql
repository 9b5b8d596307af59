insert into entry (
    tenant_id,
    seq,
    at,
    kind,
    key,
    amount_usd,
    postings,
    hash
)
select
    new.tenant_id,
    new.seq,
    $8::timestamptz,
    new.kind,
    new.key,
    new.amount * 0.000000001::numeric,
    new.postings,
    new.hash
from unnest(
    $1::text[],
    $2::bigint[],
    $3::text[],
    $4::uuid[],
    $5::bigint[],
    $6::text[],
    $7::bytea[]
) as new (tenant_id, seq, kind, key, amount, postings, hash)
