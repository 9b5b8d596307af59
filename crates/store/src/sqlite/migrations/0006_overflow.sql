-- What a budget wants done with a call that does not fit, instead of refusing it.
alter table budget add column overflow text not null default 'refuse';
