-- How far each channel has followed what is told, and when it may send again.
create table channel (
    channel text not null primary key,
    since integer not null,
    after_event integer not null,
    turn integer
) strict, without rowid;

-- One thing to tell to one recipient by one channel.
create table delivery (
    delivery_id integer primary key autoincrement,
    key text not null unique,
    topic text not null,
    severity text not null,
    channel text not null,
    recipient text,
    facts text not null,
    at integer not null,
    state text not null,
    attempts integer not null default 0,
    wanted_at integer not null,
    due_at integer not null,
    batch text,
    lease blob,
    leased_until integer,
    error text,
    updated_at integer not null
) strict;

create index delivery_by_due on delivery (channel, due_at) where state = 'pending';
create index delivery_by_lease on delivery (lease) where lease is not null;
create index delivery_by_state on delivery (state, updated_at) where state <> 'pending';
