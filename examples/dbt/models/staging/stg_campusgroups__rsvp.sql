-- Timestamps are in UTC. The stream has no `deleted` field. Do not join on `member_id`: the API does
-- not document whether it refers to members or to users.
with latest as (
    {{ latest_rows('rsvp') }}
)

select
    id as rsvp_id,
    "eventId" as event_id,
    "memberId" as member_id,
    lower(trim(rsvp)) as answer,
    "feedbackRating" as feedback_rating,
    "createdOn" as created_on,
    "updatedOn" as updated_on
from latest
