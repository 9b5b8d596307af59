-- What a budget wants done with a call that does not fit, instead of refusing it.
alter table budget add column overflow text not null default 'refuse';

-- Batches that a vendor works through within hours, and what is held for them.
create table vendor_batch (
    batch_id text primary key,
    tenant_id text not null,
    upstream text not null,
    holds text not null,
    created_at integer not null,
    settled_at integer
) strict, without rowid;

create index vendor_batch_open on vendor_batch (created_at) where settled_at is null;
