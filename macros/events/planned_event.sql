{#
  A planned event: the events that the model's meta.plan is about, their properties typed as its YAML says. Each of its
  columns with meta.property is read from that path of the properties (traits for identify calls) and cast to its
  data_type; a value that is not of the type is null here, and stays as it came in `events`.
#}
{% macro planned_event() -%}
    {%- set plan = model.config.get('meta', {}).get('plan') or {} -%}
    {%- set type = plan.get('type', 'track') -%}
    {%- set json_column = 'traits' if type in ['identify', 'group'] else 'properties' -%}
    {%- set own = ['event_id', 'identifier', 'group_id', 'channel', 'event_at', 'loaded_at'] -%}
    {%- set texts, objects, typed = {}, {}, [] -%}
    {%- for column in model.columns.values() -%}
        {%- set path = cdi.column_meta(column).get('property') -%}
        {%- if path -%}
            {%- set data_type = column.data_type | lower -%}
            {%- if data_type == cdi.type_json() -%}
                {%- do objects.update({'found_' ~ column.name: path}) -%}
            {%- else -%}
                {%- do texts.update({'found_' ~ column.name: path}) -%}
            {%- endif -%}
            {%- do typed.append(cdi.typed_property('found_' ~ column.name, data_type) ~ ' as ' ~ column.name) -%}
        {%- endif -%}
    {%- endfor -%}

    with

    events as (

        select
            {{ own | join(',\n            ') }}
            {%- if texts or objects %},
            {{ cdi.json_columns(json_column, texts=texts, objects=objects) }}
            {%- endif %}
        from {{ ref('events') }}
        where
            type = '{{ type }}'
            {%- if plan.get('event') %}
            and event = '{{ dbt.escape_single_quotes(plan.event) }}'
            {%- endif %}
            {%- set version = cdi.planned_version(plan) if execute %}
            {%- if version %}
            and {{ version }}
            {%- endif %}
            {%- if model.config.materialized == 'incremental' %}
            and {{ cdi.is_new() }}
            {%- endif %}

    )

    select
        {{ own | join(',\n        ') }}
        {%- for column in typed %},
        {{ column }}
        {%- endfor %}
    from events
{%- endmacro %}

{# Where an event has several versions: the condition that it follows this one; '' where it has not. #}
{% macro planned_version(plan) -%}
    {%- set others = [] -%}
    {%- for node in graph.nodes.values() if node.resource_type == 'model' -%}
        {%- set other = node.config.get('meta', {}).get('plan') or {} -%}
        {%- if other.get('type', 'track') == plan.get('type', 'track') and other.get('event') == plan.get('event')
            and other.get('version', 1) != plan.get('version', 1) -%}
            {%- do others.append(other.get('version', 1)) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if others and plan.get('version', 1) > others | max -%}
        coalesce({{ cdi.event_version() }}, '') not in ({% for other in others %}'{{ other }}'
            {{- ', ' if not loop.last }}{% endfor %})
    {%- elif others -%}
        {{ cdi.event_version() }} = '{{ plan.get('version', 1) }}'
    {%- endif -%}
{%- endmacro %}

{# Text that was found in JSON as a column's type; null where it is not of it. #}
{% macro typed_property(expression, data_type) -%}
    {%- if data_type.startswith('numeric') -%}
        {{ cdi.try_numeric(expression) }}
    {%- elif data_type == 'timestamp' -%}
        {{ cdi.try_timestamp(expression) }}
    {%- elif data_type == 'boolean' -%}
        case lower({{ expression }}) when 'true' then true when 'false' then false end
    {%- else -%}
        {{ expression }}
    {%- endif -%}
{%- endmacro %}
