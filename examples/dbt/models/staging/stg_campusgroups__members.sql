-- Timestamps are in UTC. `membership_end_date` is a date; null means that the membership does not
-- end.
with latest as (
    {{ latest_rows('members') }}
)

select
    id as membership_id,
    "userId" as user_id,
    "groupId" as group_id,
    member = 1 as is_member,
    validated is not false as is_validated,
    "officerStatus" as officer_status,
    "officerPosition" ->> 'name' as officer_position,
    "membershipEndDate" as membership_end_date,
    "createdOn" as created_on,
    "updatedOn" as updated_on
from latest
where deleted is not true
