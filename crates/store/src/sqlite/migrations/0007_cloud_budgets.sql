-- Budgets for cloud cost: they watch what bills say, and belong to no tenant.
create table cloud_budget (
    name text not null primary key,
    budget_id blob not null,
    filter text not null,
    basis text not null,
    currency text not null,
    period text not null,
    limit_amount text not null,
    thresholds text not null,
    since integer not null,
    updated_at integer not null
) strict, without rowid;

-- What is told of them has no tenant.
create table event_of_any (
    event_id integer primary key,
    name text not null unique,
    at integer not null,
    tenant_id text,
    event text not null
) strict;

insert into event_of_any (event_id, name, at, tenant_id, event)
select event_id, name, at, tenant_id, event
from event
order by event_id;

drop table event;
alter table event_of_any rename to event;
