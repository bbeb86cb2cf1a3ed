-- Timestamps are in UTC. Expenses are positive and revenue is negative. Amounts keep all digits;
-- their currency is not in the data.
with latest as (
    {{ latest_rows('budget_transactions') }}
)

select
    id as transaction_id,
    "budgetId" as budget_id,
    "groupId" as group_id,
    "amountFromAllocation" as amount_from_allocation,
    "amountFromGroupFunds" as amount_from_group_funds,
    "transactionCategory" ->> 'name' as transaction_category,
    "fundRequestStatus" ->> 'name' as fund_request_status,
    "createdOn" as created_on,
    "updatedOn" as updated_on
from latest
where deleted is not true
