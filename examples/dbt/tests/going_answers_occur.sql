-- Warns if no RSVP has an answer of the variable `going_answers`: the variable does not match the
-- answers of the school, and all show-up rates are null.
{{ config(severity='warn') }}

select sum(rsvps) as rsvps
from {{ ref('attendance_by_event') }}
having sum(rsvps) > 0 and sum(going) = 0
