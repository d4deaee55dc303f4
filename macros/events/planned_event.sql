{#
  A planned event: the events of one name, their properties typed as the model's YAML says. Each of its columns with
  meta.property is read from that path of the properties (traits for identify calls) and cast to its data_type; a
  value that is not of the type is null here, and stays as it came in `events`. Group calls also have group_id.
#}
{% macro planned_event(event=none, type='track') -%}
    {%- set json_column = 'traits' if type in ['identify', 'group'] else 'properties' -%}
    {%- set own = ['event_id', 'identifier'] + (['group_id'] if type == 'group' else [])
        + ['channel', 'event_at', 'loaded_at'] -%}
    {%- set texts, objects, typed = {}, {}, [] -%}
    {%- for column in model.columns.values() -%}
        {%- set path = column.get('config', {}).get('meta', {}).get('property') or column.meta.get('property') -%}
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
            {%- if event %}
            and event = '{{ event }}'
            {%- endif %}
            and {{ cdi.is_new() }}

    )

    select
        {{ own | join(',\n        ') }}
        {%- for column in typed %},
        {{ column }}
        {%- endfor %}
    from events
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
