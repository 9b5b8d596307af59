-- The same rule as before, in a language whose plans are kept: constraints ask it with each row that
-- a batch updates.
create or replace function bursar_is_name(name text, most integer) returns boolean
language plpgsql
immutable
strict
as $$
begin
    return octet_length(name) between 1 and most
        and name <> '*'
        and name !~ '[\u0001-\u0020\u007f-\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff]';
end
$$;
