-- Budgets for cloud cost: they watch what bills say, and belong to no tenant.
create table cloud_budget (
    name text collate "C" constraint cloud_budget_pkey primary key,
    budget_id uuid not null,
    filter text not null,
    basis text not null,
    currency text not null,
    period text not null,
    limit_amount numeric(38, 18) not null,
    thresholds integer[] not null,
    since timestamptz not null,
    updated_at timestamptz not null
);

comment on table cloud_budget is 'Budgets for cloud cost; the filter is values by dimension, as JSON.';

-- An event is about a tenant's budget for AI, or about one for cloud cost, whose name it has then.
alter table event
    alter column tenant_id drop not null,
    alter column model drop not null,
    alter column settled_usd drop not null,
    alter column limit_usd drop not null,
    add column cloud_budget text,
    add column filter text,
    add column basis text,
    add column currency text,
    add column period text,
    add column spent_amount numeric(38, 18),
    add column limit_amount numeric(38, 18),
    add constraint event_is_of_one_budget check (
        case
            when cloud_budget is null then
                num_nulls(tenant_id, model, settled_usd, limit_usd) = 0
            else
                num_nulls(filter, basis, currency, period, spent_amount, limit_amount) = 0
        end
    );
