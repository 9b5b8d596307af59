-- How far each channel has followed what is told, and when it may send again.
create table channel (
    channel text collate "C" constraint channel_pkey primary key,
    since timestamptz not null,
    after_event bigint not null,
    turn timestamptz
);

comment on table channel is 'Where notices go: how far each has followed event.';

-- One thing to tell to one recipient by one channel.
create table delivery (
    delivery_id bigint generated always as identity constraint delivery_pkey primary key,
    key text collate "C" not null constraint delivery_key_key unique,
    topic text not null,
    severity text not null,
    channel text collate "C" not null,
    recipient text,
    facts text not null,
    at timestamptz not null,
    state text not null
        constraint delivery_state_check check (state in ('pending', 'delivered', 'dead', 'noted')),
    attempts integer not null default 0,
    wanted_at timestamptz not null,
    due_at timestamptz not null,
    batch text collate "C",
    lease uuid,
    leased_until timestamptz,
    error text,
    updated_at timestamptz not null
);

comment on table delivery is 'What is told to whom by which channel, and how far it has come.';

create index delivery_by_due on delivery (channel, due_at) where state = 'pending';
create index delivery_by_lease on delivery (lease) where lease is not null;
create index delivery_by_state on delivery (state, updated_at) where state <> 'pending';
