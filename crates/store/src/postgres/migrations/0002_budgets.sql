-- ai_token_budgets: read by other services and dashboards, written by operators. A row is the
-- monthly budget of a tenant and model; its usage columns show the running month.

create table ai_token_budgets (
    tenant_id text collate "C" not null
        constraint ai_token_budgets_tenant_is_name check (bursar_is_name(tenant_id, 128)),
    model text collate "C" not null
        constraint ai_token_budgets_model_is_name
        check (model = '*' or bursar_is_name(model, 200)),
    monthly_limit_usd numeric(20, 9) not null
        constraint ai_token_budgets_limit_in_range
        check (monthly_limit_usd between 0 and 1000000000),
    current_usage_usd numeric(20, 9) not null default 0,
    token_count_input bigint not null default 0,
    token_count_output bigint not null default 0,
    reset_date timestamptz not null
        default ((date_trunc('month', now() at time zone 'UTC') + interval '1 month')
            at time zone 'UTC'),
    soft_limit_notified boolean not null default false,
    hard_limit_reached boolean not null default false,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint ai_token_budgets_tenant_id_model_key unique (tenant_id, model)
) with (fillfactor = 50);

comment on table ai_token_budgets is 'Monthly limits per tenant and model (* = all models). Insert, update or delete rows to set limits; usage is written by Bursar.';

-- The id that Bursar gives the monthly budget of a tenant and model.
create function bursar_budget_id(tenant text, model text) returns uuid
language sql
immutable
strict
as $$
    select encode(
        substring(
            sha256(convert_to(tenant || E'\n' || model || E'\n\n\nmonth\n', 'UTF8'))
            from 1 for 16
        ),
        'hex'
    )::uuid
$$;

-- The first instant of the monthly period that holds an instant.
create function bursar_month_start(zone text, anchor date, at timestamptz) returns timestamptz
language sql
stable
as $$
    select (
        case
            when extract(day from at at time zone zone) < day
                then date_trunc('month', at at time zone zone) - interval '1 month'
            else date_trunc('month', at at time zone zone)
        end + make_interval(days => day - 1)
    ) at time zone zone
    from (select least(coalesce(extract(day from anchor)::integer, 1), 28) as day) as anchored
$$;

-- The first instant after it.
create function bursar_month_end(zone text, anchor date, at timestamptz) returns timestamptz
language sql
stable
as $$
    select (bursar_month_start(zone, anchor, at) at time zone zone + interval '1 month')
        at time zone zone
$$;

-- True in Bursar's own transactions, which write the budgets themselves.
create function bursar_is_writing() returns boolean
language sql
stable
as $$
    select coalesce(current_setting('bursar.writing', true), '') = 'on'
$$;

-- A limit set by hand takes the place of one that Bursar had made by default: without this, an
-- insert with "on conflict do nothing" would leave the default in force.
create function bursar_budget_arrives() returns trigger
language plpgsql
as $$
declare
    replaced ai_token_budgets;
begin
    if bursar_is_writing() then
        return new;
    end if;
    perform 1
    from budget
    where budget_id = bursar_budget_id(new.tenant_id, new.model)
        and origin = 'default';
    if found then
        perform set_config('bursar.writing', 'on', true);
        delete from ai_token_budgets
        where tenant_id = new.tenant_id
            and model = new.model
        returning * into replaced;
        perform set_config('bursar.writing', 'off', true);
        if replaced.tenant_id is not null then
            new.current_usage_usd := replaced.current_usage_usd;
            new.token_count_input := replaced.token_count_input;
            new.token_count_output := replaced.token_count_output;
            new.reset_date := replaced.reset_date;
        end if;
    end if;
    return new;
end
$$;

create trigger ai_token_budgets_arrives
before insert on ai_token_budgets
for each row execute function bursar_budget_arrives();

-- Carries a limit set by hand into the budgets that Bursar decides by.
create function bursar_budget_is_set() returns trigger
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
        updated_at = excluded.updated_at;
    return null;
end
$$;

create trigger ai_token_budgets_is_set
after insert or delete or update of monthly_limit_usd on ai_token_budgets
for each row execute function bursar_budget_is_set();

-- A row is one budget's for as long as it exists; another name is another budget.
create function bursar_budget_keeps_its_name() returns trigger
language plpgsql
as $$
begin
    raise exception 'tenant_id and model of a budget can''t change: delete the row and insert another';
end
$$;

create trigger ai_token_budgets_keeps_its_name
before update on ai_token_budgets
for each row
when (old.tenant_id <> new.tenant_id or old.model <> new.model)
execute function bursar_budget_keeps_its_name();

-- Truncating would leave the budgets in force without a row to show them.
create function bursar_budgets_are_cleared() returns trigger
language plpgsql
as $$
begin
    delete from budget as b
    where b.period = 'month'
        and b.user_id is null
        and b.report_type is null;
    return null;
end
$$;

create trigger ai_token_budgets_are_cleared
after truncate on ai_token_budgets
for each statement execute function bursar_budgets_are_cleared();
