insert into tenant (tenant_id, created_at)
values ($1, $2)
on conflict (tenant_id) do nothing
