-- What a budget wants done with a call that does not fit, instead of refusing it.
alter table budget add column overflow text not null default 'refuse';

-- Whether a charge is what was seen of a call, not what its vendor has reported.
alter table reservation add column actual_estimated boolean not null default false;
