{#
  A where clause that keeps the arrivals that this model has not seen, given its newest loaded_at (see newest_load).

  `cdi land` stamps its loads in strict order, so what is newer than the newest event is new. Foreign loaders may commit
  an older row later: for them the clause looks back, and the ids decide.
#}
{% macro where_newly_arrived(newest, alias=none) -%}
    {%- set prefix = alias ~ '.' if alias else '' -%}
    {%- if newest != 'null' -%}
    where (
        {{ prefix }}loaded_at > {{ newest }}
        or (
            {{ prefix }}source = 'segment_warehouse'
            and not {{ prefix }}is_release
            and {{ prefix }}loaded_at > {{ dbt.dateadd('hour', -1 * var('segment_warehouse_look_back_hours'), newest) }}
        )
    )
    {%- endif -%}
{%- endmacro %}

{#
  The loaded_at of a new event. A row that became visible late, with an older load time than events that are in
  already, arrives now: else nothing above `events` would ever see it.
#}
{% macro loaded_since(newest) -%}
    {%- if newest == 'null' -%}
        loaded_at
    {%- else -%}
        greatest(loaded_at, {{ dbt.dateadd('microsecond', 1, newest) }})
    {%- endif -%}
{%- endmacro %}
