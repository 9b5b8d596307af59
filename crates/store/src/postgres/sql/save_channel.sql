insert into channel (channel, since, after_event)
select $1, $2, coalesce(max(event_id), 0)
from event
on conflict (channel) do nothing
