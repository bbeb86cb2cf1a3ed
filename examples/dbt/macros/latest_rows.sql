{#
  The latest row of each id in a stream's table. A loader that upserts has one already; one that
  appends has a row more each time the tap reads it again, which its lookback does every night.
  Filter what is deleted after this, never before: else an older row would stand for a deleted one.
#}
{% macro latest_rows(stream) %}
select *
from (
    select
        *,
        row_number() over (
            partition by id
            order by "updatedOn" desc nulls last, _sdc_received_at desc nulls last
        ) as _row
    from {{ source('campusgroups', stream) }}
) as numbered
where _row = 1
{% endmacro %}
