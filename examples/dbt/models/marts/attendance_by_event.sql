-- An event without check-ins has no show-up rate: it is in the future, or no one was scanned.
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

checked_in as (
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
        coalesce(checked_in.checkins, 0) as checkins,
        coalesce(checked_in.attendees, 0) as attendees
    from {{ ref('stg_campusgroups__events') }} as events
    left join answers on events.event_id = answers.event_id
    left join checked_in on events.event_id = checked_in.event_id
    where not events.is_draft and not events.is_template
)

select
    *,
    case when checkins > 0 then round(attendees::numeric / nullif(going, 0), 3) end as show_up_rate
from counted
