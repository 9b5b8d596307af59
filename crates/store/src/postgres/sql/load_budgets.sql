where tenant_id = any (array(
    select unnest($1::text[])
    union
    select tenant_id
    from reservation
    where key = any ($2::uuid[])
))
