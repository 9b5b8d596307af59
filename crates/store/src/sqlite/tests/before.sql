-- Fills the tables of schema 2 with what the attached file has: the older half in its place, the
-- younger in the tails, where reservations also stand as they were before.
insert into tenant select * from new.tenant;
insert into budget
select budget_id, tenant_id, model, user_id, report_type, limit_nanos, period, anchor, days, zone, thresholds,
    enforcement, origin, since, updated_at
from new.budget;

insert into entry
select tenant_id, seq, at, kind, key, amount_nanos, postings, hash
from new.entry
where row_number <= (select max(row_number) / 2 from new.entry);

insert into entry_tail
select *
from new.entry
where row_number > (select max(row_number) / 2 from new.entry);

update tenant
set ledger_seq = last.seq, ledger_hash = last.hash
from (select tenant_id, max(seq) as seq, hash from entry group by tenant_id) as last
where tenant.tenant_id = last.tenant_id;

insert into account_tail
select row_number, budget_id, period_start, period_end, settled_nanos, held_nanos, unresolved_nanos,
    tokens_input, tokens_output, fired, exhausted
from new.account_tail;

insert into reservation
select *
from new.reservation
where row_number <= (select max(row_number) * 2 / 3 from new.reservation);

insert into reservation_tail
select *
from new.reservation
where row_number > (select max(row_number) / 2 from new.reservation);

update reservation
set state = 'held', cost_nanos = null
where key in (select key from reservation_tail);

insert into event (event_id, name, at, tenant_id, event)
values (7, 'told before', 1, 'acme', '{
    "kind": "threshold", "percent": 80,
    "budget_id": "018f6d2e-0000-7000-8000-000000000001", "period_start": "2026-10-01T00:00:00Z",
    "scope": {"tenant": "acme", "model": null, "user": null, "report_type": null},
    "settled_usd": "8", "limit_usd": "10", "at": "2026-10-15T12:00:00Z"
}');
