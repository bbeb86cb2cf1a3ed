-- Instants are in UTC. Who was there is `checkedin_user_id`; `user_id`, presumably who scanned, is
-- text in the API.
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
