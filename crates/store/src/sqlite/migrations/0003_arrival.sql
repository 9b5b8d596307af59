-- Entries and reservations lie in the order of their arrival: a commit writes a few pages at the end
-- of each, however many tenants it serves. What finds them by name (`entry_by_tenant`,
-- `reservation_by_key`, `reservation_by_tenant`) is filled behind, thousands of rows at once in its
-- own order. Rows beyond `indexed` may be missing there, and are looked for in the tables themselves.

-- What the tails of the schema before still hold goes where it went then.
insert into entry (tenant_id, seq, at, kind, key, amount_nanos, postings, hash)
select tenant_id, seq, at, kind, key, amount_nanos, postings, hash
from entry_tail;

update tenant
set ledger_seq = last.seq, ledger_hash = last.hash
from (select tenant_id, max(seq) as seq, hash from entry_tail group by tenant_id) as last
where tenant.tenant_id = last.tenant_id;

delete from reservation
where key in (select key from reservation_tail);

insert into reservation
    (key, tenant_id, model, user_id, report_type, state, estimate, hold_nanos, used_input,
    used_output, used_cache_read, used_cache_write_5m, used_cache_write_1h, used_tier, used_given,
    cost_nanos, accounts, standing_settled, standing_counted, standing_limit, would_refuse,
    created_at, expires_at, updated_at)
select key, tenant_id, model, user_id, report_type, state, estimate, hold_nanos, used_input,
    used_output, used_cache_read, used_cache_write_5m, used_cache_write_1h, used_tier, used_given,
    cost_nanos, accounts, standing_settled, standing_counted, standing_limit, would_refuse,
    created_at, expires_at, updated_at
from reservation_tail
where row_number in (select max(row_number) from reservation_tail group by key)
order by row_number;

drop table entry_tail;
drop table reservation_tail;

alter table entry rename to entry_by_place;

create table entry (
    row_number integer primary key,
    tenant_id text not null,
    seq integer not null,
    at integer not null,
    kind text not null,
    key blob not null,
    amount_nanos integer not null,
    postings text not null,
    hash blob not null
) strict;

insert into entry (tenant_id, seq, at, kind, key, amount_nanos, postings, hash)
select tenant_id, seq, at, kind, key, amount_nanos, postings, hash
from entry_by_place
order by at, tenant_id, seq;

drop table entry_by_place;

create table entry_by_tenant (
    tenant_id text not null,
    seq integer not null,
    row_number integer not null,
    primary key (tenant_id, seq)
) strict, without rowid;

insert into entry_by_tenant (tenant_id, seq, row_number)
select tenant_id, seq, row_number
from entry
order by tenant_id, seq;

drop index reservation_by_key;
drop index reservation_by_tenant;

create table reservation_by_key (
    key blob not null primary key,
    row_number integer not null
) strict, without rowid;

insert into reservation_by_key (key, row_number)
select key, row_number
from reservation
order by key;

create table reservation_by_tenant (
    tenant_id text not null,
    created_at integer not null,
    key blob not null,
    row_number integer not null,
    primary key (tenant_id, created_at, key)
) strict, without rowid;

insert into reservation_by_tenant (tenant_id, created_at, key, row_number)
select tenant_id, created_at, key, row_number
from reservation
order by tenant_id, created_at, key;

-- Up to which row of each table everything can be found by name.
create table indexed (
    name text not null primary key,
    row_number integer not null
) strict, without rowid;

insert into indexed (name, row_number)
values
    ('entry', (select coalesce(max(row_number), 0) from entry)),
    ('reservation', (select coalesce(max(row_number), 0) from reservation));
