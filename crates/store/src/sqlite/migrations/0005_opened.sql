-- A budget that was removed and comes back finds its account as it was left: brought up to what was
-- spent meanwhile when it was opened before the budget came back. What exists is left alone.
alter table account add column opened_at integer not null default 0;
update account set opened_at = period_end;
alter table account_tail add column opened_at integer not null default 0;
update account_tail set opened_at = period_end;
