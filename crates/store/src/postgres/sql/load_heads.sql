-- Locks the tenants of a batch in one order everywhere: those named, and those of the reservations
-- named. What follows in the transaction sees what was committed under these locks before.
select
    tenant_id,
    ledger_seq,
    ledger_hash
from tenant
where tenant_id = any (array(
    select unnest($1::text[])
    union
    select tenant_id
    from reservation
    where key = any ($2::uuid[])
))
order by tenant_id
for update
