{#
  Refuses a target schema whose staging views read another source schema: the run would replace the
  tables of another school, or those of unmasked rows by masked ones.
#}
{% macro refuse_models_of_another_source() %}
{% if execute %}
{% set source_schema = source('campusgroups', 'events').schema %}
{% set query %}
select distinct source_schema.nspname
from pg_class as model
inner join pg_namespace as model_schema on model.relnamespace = model_schema.oid
inner join pg_rewrite on model.oid = pg_rewrite.ev_class
inner join pg_depend
    on
        pg_rewrite.oid = pg_depend.objid
        and pg_depend.classid = 'pg_rewrite'::regclass
        and pg_depend.refclassid = 'pg_class'::regclass
inner join pg_class as source on pg_depend.refobjid = source.oid
inner join pg_namespace as source_schema on source.relnamespace = source_schema.oid
where
    model_schema.nspname = '{{ target.schema }}'
    and model.relname like 'stg\_campusgroups\_\_%'
    and source_schema.nspname not in ('{{ target.schema }}', '{{ source_schema }}')
{% endset %}
{% for other in run_query(query).columns[0].values() %}
    {% do exceptions.raise_compiler_error(
        "Schema '" ~ target.schema ~ "' has the models of '" ~ other ~ "', not of '" ~ source_schema
        ~ "'. Set DBT_POSTGRES_SCHEMA to another schema, or drop '" ~ target.schema ~ "' first."
    ) %}
{% endfor %}
{% endif %}
{% endmacro %}
