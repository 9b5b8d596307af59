select
    channel,
    count(*) filter (where state = 'pending') as pending,
    count(*) filter (where state = 'dead') as dead,
    min(wanted_at) filter (where state = 'pending') as oldest
from (
    select channel, state, wanted_at
    from delivery
    where (state = 'pending' and wanted_at <= $1) or state = 'dead'
    union all
    select channel, '', null
    from channel
) as one
group by channel
order by channel
