-- A limit that is set by SQL counts as one that is set otherwise: the tenant has a row, under whose lock
-- its accounts are written, and a default that is set brings in what others covered meanwhile.
create or replace function bursar_budget_is_set() returns trigger
language plpgsql
as $$
begin
    if bursar_is_writing() then
        return null;
    end if;
    if tg_op = 'DELETE' then
        delete from budget
        where budget_id = bursar_budget_id(old.tenant_id, old.model);
        return null;
    end if;
    insert into tenant (tenant_id)
    values (new.tenant_id)
    on conflict (tenant_id) do nothing;
    insert into budget (budget_id, tenant_id, model, limit_usd, period)
    values (
        bursar_budget_id(new.tenant_id, new.model),
        new.tenant_id,
        new.model,
        new.monthly_limit_usd,
        'month'
    )
    on conflict (budget_id) do update
    set limit_usd = excluded.limit_usd,
        origin = 'set',
        since = case when budget.origin = 'default' then excluded.since else budget.since end,
        updated_at = excluded.updated_at;
    return null;
end
$$;

insert into tenant (tenant_id)
select distinct tenant_id
from budget
on conflict (tenant_id) do nothing;
