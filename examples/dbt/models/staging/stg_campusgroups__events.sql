-- `updated_on` and `created_on` are in UTC. `start_date` and `end_date` are local times if the API
-- sends no offset; `time_zone` is the name of their time zone.
with latest as (
    {{ latest_rows('events') }}
)

select
    id as event_id,
    "groupId" as group_id,
    name as event_name,
    type ->> 'name' as event_type,
    "startDate" as start_date,
    "endDate" as end_date,
    "timeZone" as time_zone,
    "locationType" as location_type,
    "approvalStatus" as approval_status,
    capacity,
    "registrationEnabled" as registration_enabled,
    coalesce(draft, false) as is_draft,
    coalesce(template, false) as is_template,
    "createdOn" as created_on,
    "updatedOn" as updated_on
from latest
where deleted is not true
