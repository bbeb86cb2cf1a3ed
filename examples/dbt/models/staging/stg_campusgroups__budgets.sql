-- Timestamps are in UTC. Amounts keep all digits; their currency is not in the data.
with latest as (
    {{ latest_rows('budgets') }}
)

select
    id as budget_id,
    name as budget_name,
    "budgetType" as budget_type,
    "budgetStatus" as budget_status,
    "startDate" as start_date,
    "endDate" as end_date,
    "totalAllocation" as total_allocation,
    "createdOn" as created_on,
    "updatedOn" as updated_on
from latest
where deleted is not true
