insert into tenant (tenant_id, name, tier, admin_email, created_at)
values ($1, $2, $3, $4, $5)
on conflict (tenant_id) do update
set name = excluded.name,
    tier = excluded.tier,
    admin_email = excluded.admin_email
returning
    tenant_id,
    name,
    tier,
    admin_email,
    created_at
