-- Weeks start on Monday. The last week is that of the newest change of a membership or check-in.
with memberships as (
    select
        group_id,
        user_id,
        date_trunc('week', created_on)::date as first_week,
        date_trunc('week', membership_end_date)::date as last_week
    from {{ ref('stg_campusgroups__members') }}
    where is_member and is_validated
),

weeks as (
    select generate_series(
        (select min(first_week) from memberships),
        greatest(
            (select max(updated_on) from {{ ref('stg_campusgroups__members') }}),
            (select max(updated_on) from {{ ref('stg_campusgroups__checkins') }})
        ),
        interval '7 days'
    )::date as week
),

attended as (
    select distinct
        events.week,
        events.group_id,
        checkins.checkedin_user_id as user_id
    from {{ ref('attendance_by_event') }} as events
    inner join {{ ref('stg_campusgroups__checkins') }} as checkins
        on events.event_id = checkins.event_id
)

select
    weeks.week,
    memberships.group_id,
    count(distinct memberships.user_id) as members,
    count(distinct memberships.user_id) filter (
        where weeks.week = memberships.first_week
    ) as new_members,
    count(distinct attended.user_id) as active_members
from weeks
inner join memberships
    on weeks.week between memberships.first_week and coalesce(memberships.last_week, weeks.week)
left join attended
    on
        weeks.week = attended.week
        and memberships.group_id = attended.group_id
        and memberships.user_id = attended.user_id
group by weeks.week, memberships.group_id
