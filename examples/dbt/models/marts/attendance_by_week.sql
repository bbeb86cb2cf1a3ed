-- Weeks start on Monday, in the local time of the events. A week without events has no row.
select
    week,
    count(*) as events,
    sum(rsvps)::bigint as rsvps,
    sum(going)::bigint as going,
    sum(checkins)::bigint as checkins,
    sum(attendees)::bigint as attendees,
    round(
        sum(attendees) filter (where checkins > 0)
        / nullif(sum(going) filter (where checkins > 0), 0),
        3
    ) as show_up_rate
from {{ ref('attendance_by_event') }}
where week is not null
group by week
