-- What the rows of ai_token_budgets show of their budgets, and how they are kept up to date.

-- How monthly budgets of tenants and models stand at an instant. The period is computed from it, so
-- that it is right at the first instant of a month. A budget that came into a running month, and
-- has decided nothing yet, shows what the month had spent.
create function bursar_shown(at timestamptz)
returns table (
    budget_id uuid,
    tenant_id text,
    model text,
    limit_usd numeric,
    thresholds integer[],
    settled_usd numeric,
    tokens_input bigint,
    tokens_output bigint,
    period_end timestamptz,
    soft_limit_notified boolean,
    hard_limit_reached boolean
)
language sql
stable
as $$
    select
        b.budget_id,
        b.tenant_id,
        b.model,
        b.limit_usd,
        b.thresholds,
        coalesce(a.settled_usd, earlier.cost_usd, 0),
        coalesce(a.tokens_input, earlier.tokens_input, 0),
        coalesce(a.tokens_output, earlier.tokens_output, 0),
        coalesce(a.period_end, bursar_month_end(b.zone, b.anchor, at)),
        coalesce(b.thresholds[1] = any (a.fired), false),
        coalesce(a.exhausted, false)
            or coalesce(a.settled_usd, earlier.cost_usd, 0) >= b.limit_usd
    from budget as b
    left join account as a
        on a.budget_id = b.budget_id
        and a.period_start <= at
        and a.period_end > at
    left join lateral (
        select
            sum(u.cost_usd) as cost_usd,
            sum(u.prompt_tokens)::bigint as tokens_input,
            sum(u.completion_tokens)::bigint as tokens_output
        from ai_token_usage as u
        where a.budget_id is null
            and b.since > bursar_month_start(b.zone, b.anchor, at)
            and u.tenant_id = b.tenant_id
            and (b.model = '*' or u.model = b.model)
            and u.timestamp >= bursar_month_start(b.zone, b.anchor, at)
            and u.timestamp < bursar_month_end(b.zone, b.anchor, at)
    ) as earlier on true
    where b.period = 'month'
        and b.user_id is null
        and b.report_type is null
$$;

-- Brings rows of ai_token_budgets up to date, in a transaction that has locked their tenants. A row
-- that somebody else holds is passed over: an operator's open transaction must not stop the traffic
-- of a tenant. Returns the budgets whose rows were passed over, to be followed later.
create function bursar_project(budgets uuid[], at timestamptz) returns uuid[]
language plpgsql
as $$
declare
    done uuid[];
begin
    with free as materialized (
        select
            row.tenant_id,
            row.model
        from ai_token_budgets as row
        join budget as b
            on b.tenant_id = row.tenant_id
            and b.model = row.model
        where b.budget_id = any (budgets)
            and b.period = 'month'
            and b.user_id is null
            and b.report_type is null
        order by row.tenant_id, row.model
        for update of row skip locked
    ),
    projected as (
        update ai_token_budgets as row
        set current_usage_usd = shown.settled_usd,
            token_count_input = shown.tokens_input,
            token_count_output = shown.tokens_output,
            reset_date = shown.period_end,
            soft_limit_notified = shown.soft_limit_notified,
            hard_limit_reached = shown.hard_limit_reached,
            updated_at = greatest(row.updated_at, at)
        from free
        join bursar_shown(at) as shown
            on shown.tenant_id = free.tenant_id
            and shown.model = free.model
        where shown.budget_id = any (budgets)
            and row.tenant_id = free.tenant_id
            and row.model = free.model
        returning shown.budget_id
    )
    select coalesce(array_agg(projected.budget_id), '{}')
    into done
    from projected;
    if cardinality(done) = cardinality(budgets) then
        return '{}';
    end if;
    return array(
        select b.budget_id
        from ai_token_budgets as row
        join budget as b
            on b.tenant_id = row.tenant_id
            and b.model = row.model
        where b.budget_id = any (budgets)
            and b.period = 'month'
            and b.user_id is null
            and b.report_type is null
        except
        select unnest(done)
    );
end
$$;

-- The same without their tenants' locks. The rows are locked first, by a statement of its own: the
-- next one sees every balance that was committed before, and who commits one after has passed the
-- row over and follows it in turn. In one statement an old balance could be written over a new one.
create function bursar_follow(budgets uuid[], at timestamptz) returns uuid[]
language plpgsql
as $$
declare
    free uuid[];
begin
    select coalesce(array_agg(locked.budget_id), '{}')
    into free
    from (
        select bursar_budget_id(row.tenant_id, row.model) as budget_id
        from ai_token_budgets as row
        join budget as b
            on b.tenant_id = row.tenant_id
            and b.model = row.model
        where b.budget_id = any (budgets)
        order by row.tenant_id, row.model
        for update of row skip locked
    ) as locked;
    perform bursar_project(free, at);
    return array(
        select b.budget_id
        from ai_token_budgets as row
        join budget as b
            on b.tenant_id = row.tenant_id
            and b.model = row.model
        where b.budget_id = any (budgets)
            and b.budget_id = bursar_budget_id(row.tenant_id, row.model)
        except
        select unnest(free)
    );
end
$$;

-- Brings every row up to date that does not show its budget as it stands. Returns how many.
create function bursar_catch_up(at timestamptz) returns integer
language plpgsql
as $$
declare
    behind uuid[];
begin
    insert into tenant (tenant_id)
    select distinct b.tenant_id
    from budget as b
    where not exists (
        select 1
        from tenant as t
        where t.tenant_id = b.tenant_id
    )
    order by b.tenant_id
    on conflict (tenant_id) do nothing;
    select coalesce(array_agg(shown.budget_id), '{}')
    into behind
    from ai_token_budgets as row
    join bursar_shown(at) as shown
        on shown.tenant_id = row.tenant_id
        and shown.model = row.model
    where (
        row.current_usage_usd,
        row.token_count_input,
        row.token_count_output,
        row.reset_date,
        row.soft_limit_notified,
        row.hard_limit_reached
    ) is distinct from (
        shown.settled_usd,
        shown.tokens_input,
        shown.tokens_output,
        shown.period_end,
        shown.soft_limit_notified,
        shown.hard_limit_reached
    );
    perform bursar_follow(behind, at);
    return cardinality(behind);
end
$$;
