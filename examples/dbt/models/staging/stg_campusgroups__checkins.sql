-- Timestamps are in UTC. `checkedin_user_id` is the attendee; `user_id`, which is text in the API,
-- is presumably the person who scanned.
with latest as (
    {{ latest_rows('checkins') }}
)

select
    id as checkin_id,
    "eventId" as event_id,
    "checkedinUserId" as checkedin_user_id,
    "userId" as user_id,
    "paymentId" as payment_id,
    action,
    method,
    "createdOn" as created_on,
    "updatedOn" as updated_on
from latest
where deleted is not true
