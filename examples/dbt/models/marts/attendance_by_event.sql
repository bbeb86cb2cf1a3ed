-- An event that has no check-in at all has no show-up rate: it is still to come, or nobody scanned.
with answers as (
    select
        event_id,
        count(*) as rsvps,
        count(*) filter (
            where answer in ('{{ var('going_answers') | join("', '") }}')
        ) as going
    from {{ ref('stg_campusgroups__rsvp') }}
    group by event_id
),

came as (
    select
        event_id,
        count(*) as checkins,
        count(distinct checkedin_user_id) as attendees
    from {{ ref('stg_campusgroups__checkins') }}
    group by event_id
),

counted as (
    select
        events.event_id,
        events.event_name,
        events.event_type,
        events.group_id,
        events.start_date,
        date_trunc('week', events.start_date)::date as week,
        events.capacity,
        coalesce(answers.rsvps, 0) as rsvps,
        coalesce(answers.going, 0) as going,
        coalesce(came.checkins, 0) as checkins,
        coalesce(came.attendees, 0) as attendees
    from {{ ref('stg_campusgroups__events') }} as events
    left join answers on events.event_id = answers.event_id
    left join came on events.event_id = came.event_id
    where not events.is_draft and not events.is_template
)

select
    *,
    case when checkins > 0 then round(attendees::numeric / nullif(going, 0), 3) end as show_up_rate
from counted
