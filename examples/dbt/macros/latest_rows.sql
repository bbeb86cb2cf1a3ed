{#
  The latest row of each id in a stream's table. A loader that upserts keeps one row per id. A
  loader that appends adds a row whenever the tap re-reads it, which the lookback causes on every
  run.
  Filter out rows that the service marks as deleted after this macro, not before: otherwise an
  older version would reappear. Rows that a full read found missing are left out here.
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
where _row = 1 and _sdc_deleted_at is null
{% endmacro %}
