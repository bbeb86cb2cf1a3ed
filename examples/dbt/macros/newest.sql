{#
  The newest value of a timestamp column in all tables of the source that have been loaded.
#}
{% macro newest(column) %}
{% set values = [] %}
{% for table in graph.sources.values() if table.source_name == 'campusgroups' %}
    {% set relation = adapter.get_relation(table.database, table.schema, table.identifier) %}
    {% if relation %}
        {% do values.append('(select max(' ~ column ~ ') from ' ~ relation ~ ')') %}
    {% endif %}
{% endfor %}
select greatest({{ (values or ['null::timestamp']) | join(', ') }})
{% endmacro %}
