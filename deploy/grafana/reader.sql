-- A role for dashboards: it reads what the dashboards ask and nothing else. Run it in Bursar's database as the owner
-- of its tables, once and after each upgrade:
--
--   GRAFANA_READER_PASSWORD=… psql "$BURSAR_DATABASE_URL" -f deploy/grafana/reader.sql
--
-- Without a password the role keeps the one that it has. `-v reader=NAME` gives it another name.

\set ON_ERROR_STOP on
\if :{?reader}
\else
    \set reader grafana_reader
\endif
\set password ''
\getenv password GRAFANA_READER_PASSWORD

begin;

select format('create role %I login', :'reader')
where not exists (
    select
    from pg_roles
    where rolname = :'reader'
)
\gexec

select format('alter role %I password %L', :'reader', :'password')
where :'password' <> ''
\gexec

-- A dashboard that is left open must not wear the database out.
alter role :"reader" connection limit 20;
alter role :"reader" set default_transaction_read_only = on;
alter role :"reader" set statement_timeout = '30s';
alter role :"reader" set idle_in_transaction_session_timeout = '60s';

select format('grant connect on database %I to %I', current_database(), :'reader')
\gexec

grant usage on schema public to :"reader";
grant select on ai_token_budgets, ai_token_usage, ai_budget_summary to :"reader";
-- What budgets have told, for the annotations.
grant select (event_id, kind, percent, period_start, tenant_id, model, settled_usd, limit_usd, at) on event
to :"reader";

commit;
