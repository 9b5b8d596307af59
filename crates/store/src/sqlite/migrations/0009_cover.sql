-- What stands in for holds that are committed and not on the disk yet: of one set of accounts.
create table cover (
    accounts text not null primary key,
    tenant_id text not null,
    model text not null,
    user_id text,
    report_type text,
    amount_nanos integer not null,
    period_end integer not null,
    -- Under which it is held in the place of what was lost.
    key blob not null,
    -- The machine's start in which it was written.
    boot text not null
) strict, without rowid;
