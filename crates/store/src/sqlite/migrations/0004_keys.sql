-- Request ids are random: each that is indexed touches a page of its own, unless very many are
-- indexed together. So they are indexed more rarely than everything else, with a mark of their own.
insert into indexed (name, row_number)
select 'key', row_number
from indexed
where name = 'reservation';

-- Filled behind, like the index by tenant.
drop index reservation_by_time;

create table reservation_by_time (
    created_at integer not null,
    key blob not null,
    row_number integer not null,
    primary key (created_at, key)
) strict, without rowid;

insert into reservation_by_time (created_at, key, row_number)
select created_at, key, row_number
from reservation
where row_number <= (select row_number from indexed where name = 'reservation')
order by created_at, key;

-- What is open is few, and found without reading the rest: SQLite uses such an index where a
-- statement says its condition word for word.
drop index reservation_open;
create index reservation_unresolved on reservation (updated_at) where state = 'unresolved';
create index reservation_unpriced on reservation (created_at, key) where state = 'unpriced';
