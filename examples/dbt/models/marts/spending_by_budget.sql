-- Amounts keep all digits. A transaction counts whatever its date and the state of its fund request.
with spending as (
    select
        budget_id,
        sum(amount_from_allocation) as spent,
        sum(amount_from_group_funds) as spent_from_group_funds
    from {{ ref('stg_campusgroups__budget_transactions') }}
    group by budget_id
),

-- A budget does not name its groups; its transactions do.
attendance as (
    select
        budgets.budget_id,
        count(*) as events,
        sum(events.attendees)::bigint as attendees
    from {{ ref('stg_campusgroups__budgets') }} as budgets
    inner join {{ ref('attendance_by_event') }} as events
        on events.start_date::date between budgets.start_date and budgets.end_date
    where exists (
        select 1
        from {{ ref('stg_campusgroups__budget_transactions') }} as transactions
        where
            transactions.budget_id = budgets.budget_id
            and transactions.group_id = events.group_id
    )
    group by budgets.budget_id
)

select
    budgets.budget_id,
    budgets.budget_name,
    budgets.start_date,
    budgets.end_date,
    budgets.total_allocation as planned,
    coalesce(spending.spent, 0) as spent,
    budgets.total_allocation - coalesce(spending.spent, 0) as remaining,
    coalesce(spending.spent_from_group_funds, 0) as spent_from_group_funds,
    coalesce(attendance.events, 0) as events,
    coalesce(attendance.attendees, 0) as attendees,
    round(spending.spent / nullif(attendance.attendees, 0), 2) as spent_per_attendee
from {{ ref('stg_campusgroups__budgets') }} as budgets
left join spending on budgets.budget_id = spending.budget_id
left join attendance on budgets.budget_id = attendance.budget_id
