-- Warns when there are RSVPs and none of them has an answer of `going_answers`: the variable does not
-- fit the school's answers then, and there are no show-up rates.
{{ config(severity='warn') }}

select sum(rsvps) as rsvps
from {{ ref('attendance_by_event') }}
having sum(rsvps) > 0 and sum(going) = 0
