{#
  Warns if fewer than half as many rows as usual were created in the last complete week: an export or
  the data lake may have left rows out. "Usual" is the median of the 8 weeks before. A holiday does
  not warn if the same weeks of the year before were quiet too.

  Not visible: a drop of less than half, a slow decline, lost updates and old rows, a stream below
  `min_rows` per week, and a loss during a holiday. The first holidays of a school without older rows
  do warn.
#}
{% test sudden_drop(model, column_name, min_rows=50) %}
{{ config(severity='warn') }}

with last_complete as (
    -- The data lake is late: the last week that ended before the lookback is complete.
    select
        date_trunc(
            'week', now() at time zone 'UTC' - interval '{{ var('lookback_hours') }} hours'
        )::date - 7 as week
),

created as (
    select
        (
            (select week from last_complete) - date_trunc('week', {{ column_name }})::date
        ) / 7 as weeks_ago,
        count(*) as found
    from {{ model }}
    group by weeks_ago
),

weeks as (
    select
        weeks_ago,
        coalesce(found, 0) as found
    from generate_series(0, 53) as weeks_ago
    left join created using (weeks_ago)
),

compared as (
    select
        max(found) filter (where weeks_ago = 0) as last_week,
        percentile_cont(0.5) within group (order by found)
        filter (where weeks_ago between 1 and 8) as usual,
        case
            when (select max(weeks_ago) from created) > 53
                then min(found) filter (where weeks_ago between 51 and 53)
        end as year_before
    from weeks
)

select *
from compared
where usual >= {{ min_rows }} and last_week < least(usual, year_before) / 2
{% endtest %}
