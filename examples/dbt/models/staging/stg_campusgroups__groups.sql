-- Timestamps are in UTC. The stream has no `deleted` field. Deactivated groups are kept because
-- their past events refer to them.
with latest as (
    {{ latest_rows('groups') }}
)

select
    id as group_id,
    "parentGroupId" as parent_group_id,
    name as group_name,
    acronym,
    type ->> 'name' as group_type,
    status ->> 'name' as group_status,
    coalesce(deactivated, false) as is_deactivated,
    "createdOn" as created_on,
    "updatedOn" as updated_on
from latest
