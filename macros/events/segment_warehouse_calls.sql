{#
  The tables of schemas in the layout that Segment and RudderStack write, found by looking at them: a list of objects
  with type, relation, filter and the SQL of every column that the staging model reads.

  Source: Segment, "Warehouse schemas". `tracks` has the rows of every event, but their properties are only in the
  event's own table; from tracks come only the events that have none.
#}
{% macro segment_warehouse_calls(schemas) %}
    {% if not execute or not flags.INTROSPECT or not schemas %}{{ return([]) }}{% endif %}
    {% set types = {
        'identifies': 'identify', 'pages': 'page', 'screens': 'screen', 'groups': 'group', 'aliases': 'alias',
        'tracks': 'track',
    } %}
    {% set calls = [] %}
    {% for schema in schemas %}
        {% set tables = cdi.columns_by_table(schema) %}
        {% set event_tables = [] %}
        {% for table, columns in tables.items() if table not in types and 'event_text' in columns and 'id' in columns %}
            {% do event_tables.append(table) %}
        {% endfor %}
        {% if 'tracks' not in tables and 'identifies' not in tables and not event_tables %}
            {{ exceptions.raise_compiler_error(
                "Schema " ~ schema ~ " of var segment_warehouse_schemas has no table tracks, identifies or any event's"
                ~ " table: name a schema in the layout that Segment and RudderStack write."
            ) }}
        {% endif %}
        {% for table, columns in tables.items() if table in types or table in event_tables %}
            {% for needed in ['id', 'received_at', 'uuid_ts'] if needed not in columns %}
                {{ exceptions.raise_compiler_error(
                    schema ~ "." ~ table ~ " has no column " ~ needed ~ ", which every table of the layout has."
                ) }}
            {% endfor %}
            {% do calls.append(cdi.segment_warehouse_call(
                schema, table, columns, types.get(table, 'track'), event_tables
            )) %}
        {% endfor %}
    {% endfor %}
    {{ return(calls) }}
{% endmacro %}

{# One table of the layout as an object for stg_segment_warehouse__calls. #}
{% macro segment_warehouse_call(schema, table, columns, type, event_tables) %}
    {% set shared = [
        'id', 'anonymous_id', 'user_id', 'previous_id', 'group_id', 'event', 'event_text', 'original_timestamp',
        'received_at', 'sent_at', 'timestamp', 'uuid_ts', 'uuid', 'loaded_at', 'channel', 'version',
    ] %}
    {% set call = {'type': type, 'relation_name': schema ~ '.' ~ table, 'filter': none} %}
    {% do call.update({'relation': api.Relation.create(
        database=target.database, schema=schema, identifier=table
    )}) %}
    {% set text = {} %}
    {% for name in [
        'id', 'user_id', 'anonymous_id', 'previous_id', 'group_id', 'context_channel', 'context_device_type',
        'context_page_url',
    ] %}
        {% do text.update({
            name: 'cast(' ~ name ~ ' as ' ~ dbt.type_string() ~ ')' if name in columns else cdi.null_text()
        }) %}
    {% endfor %}
    {% if 'context_group_id' in columns %}
        {% do text.update({
            'group_id': 'coalesce(' ~ text.group_id ~ ', cast(context_group_id as ' ~ dbt.type_string() ~ '))'
        }) %}
    {% endif %}
    {% set timestamps = {} %}
    {% for name in ['timestamp', 'received_at', 'uuid_ts'] %}
        {% do timestamps.update({
            name: cdi.column_to_utc(adapter.quote(name), columns[name]) if name in columns
            else 'cast(null as ' ~ dbt.type_timestamp() ~ ')'
        }) %}
    {% endfor %}
    {% set fields = {} %}
    {% set context = {} %}
    {% for name, data_type in columns.items() if name not in shared %}
        {% if name.startswith('context_') %}
            {% set path = name[8:] %}
            {% set group = path.split('_')[0] %}
            {% if group in ['traits', 'page', 'campaign', 'device', 'library', 'app', 'os', 'network', 'screen']
                and path != group %}
                {% do context.setdefault(group, {}).update({
                    path[group | length + 1:]: cdi.column_to_json(adapter.quote(name), data_type)
                }) %}
            {% else %}
                {% do context.update({path: cdi.column_to_json(adapter.quote(name), data_type)}) %}
            {% endif %}
        {% else %}
            {% do fields.update({name: cdi.column_to_json(adapter.quote(name), data_type)}) %}
        {% endif %}
    {% endfor %}
    {% for group, members in context.items() if members is mapping %}
        {% do context.update({group: cdi.json_object(members)}) %}
    {% endfor %}
    {% set is_about_traits = type in ['identify', 'group'] %}
    {% if type == 'track' %}
        {% do call.update({'event': 'cast(event_text as ' ~ dbt.type_string() ~ ')'}) %}
    {% elif 'name' in columns and type in ['page', 'screen'] %}
        {% do call.update({'event': 'cast(name as ' ~ dbt.type_string() ~ ')'}) %}
    {% else %}
        {% do call.update({'event': cdi.null_text()}) %}
    {% endif %}
    {% if table == 'tracks' and event_tables %}
        {% do call.update({'filter': "event not in ('" ~ event_tables | join("', '") ~ "')"}) %}
    {% endif %}
    {% do call.update({
        'text': text,
        'timestamps': timestamps,
        'properties': cdi.json_object(fields) if fields and not is_about_traits else cdi.json_null(),
        'traits': cdi.json_object(fields) if fields and is_about_traits else cdi.json_null(),
        'context': cdi.json_object(context) if context else cdi.json_null(),
    }) %}
    {{ return(call) }}
{% endmacro %}

{# {table: {column: data type}} of a schema, in the order of the names. #}
{% macro columns_by_table(schema) %}
    {% set tables = {} %}
    {% set rows = run_query(
        "select lower(table_name), lower(column_name), lower(data_type) from "
        ~ cdi.information_schema_columns(schema) ~ " where lower(table_schema) = '" ~ schema | lower ~ "' order by 1, 2"
    ).rows %}
    {% for row in rows %}
        {% do tables.setdefault(row[0], {}).update({row[1]: row[2]}) %}
    {% endfor %}
    {{ return(tables) }}
{% endmacro %}

{# A column of any time type as a UTC timestamp without a zone. #}
{% macro column_to_utc(column, data_type) -%}
    {%- if 'char' in data_type or data_type in ['text', 'string'] -%}
        {{ cdi.try_timestamp(column) }}
    {%- elif 'with time zone' in data_type or data_type in ['timestamptz', 'timestamp_tz', 'timestamp_ltz'] -%}
        {{ cdi.zoned_to_utc(column) }}
    {%- else -%}
        cast({{ column }} as {{ dbt.type_timestamp() }})
    {%- endif -%}
{%- endmacro %}

{# A column as a JSON value; the layout keeps arrays as JSON text, which becomes an array again. #}
{% macro column_to_json(column, data_type) -%}
    {%- if 'char' in data_type or data_type in ['text', 'string'] -%}
        {{ cdi.json_from_text(column) }}
    {%- else -%}
        {{ column }}
    {%- endif -%}
{%- endmacro %}
