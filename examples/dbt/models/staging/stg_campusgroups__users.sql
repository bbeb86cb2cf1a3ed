-- Timestamps are in UTC. Names, addresses and card numbers stay in the raw table. The stream has no
-- `deleted` field. Deactivated accounts are kept because check-ins refer to them.
with latest as (
    {{ latest_rows('users') }}
)

select
    id as user_id,
    "accountType" ->> 'name' as account_type,
    "schoolProgram" as school_program,
    degree,
    "yearOfEntry" ->> 'name' as year_of_entry,
    "yearOfGraduation" ->> 'name' as year_of_graduation,
    coalesce(deactivated, false) as is_deactivated,
    "createdOn" as created_on,
    "updatedOn" as updated_on
from latest
