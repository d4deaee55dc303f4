{#
  Before anything is built: every raw table that a command fills and that is not there yet is created, empty, so that
  every model builds before the first event. A raw table that lacks a column its source declares stops the run with
  one error that names them all.
#}
{% macro ensure_raw_tables() %}
    {% if not execute or not flags.INTROSPECT %}{{ return('') }}{% endif %}
    {% set missing = [] %}
    {#- The statements are handed to dbt as the hook's text: what a hook runs itself, dbt does not commit. -#}
    {% set statements = [] %}
    {% for schema in cdi.written_sources() | map(attribute='schema') | unique %}
        {% do statements.append('create schema if not exists ' ~ schema) %}
    {% endfor %}
    {% set existing = cdi.raw_columns() %}
    {% set types = {
        'json': cdi.type_json(), 'numeric': dbt.type_numeric(), 'float': dbt.type_float(), 'bigint': dbt.type_bigint(),
        'timestamp': dbt.type_timestamp(), 'boolean': dbt.type_boolean()
    } %}
    {% for source_table in cdi.written_sources() %}
        {% set relation = api.Relation.create(
            database=target.database, schema=source_table.schema, identifier=source_table.identifier
        ) %}
        {% set columns = {} %}
        {% for column in source_table.columns.values() %}
            {% do columns.update({
                column.name: types.get(column.data_type, dbt.type_string())
            }) %}
        {% endfor %}
        {% if source_table.config.meta.get('landing') %}
            {% do columns.update({
                'load_id': dbt.type_string(),
                'loaded_at': dbt.type_timestamp(),
                'source_file': dbt.type_string(),
                'source_line': dbt.type_bigint(),
            }) %}
        {% endif %}
        {% set present = existing.get(source_table.schema ~ '.' ~ source_table.identifier) %}
        {% if present is none %}
            {% set definitions = [] %}
            {% for name, type in columns.items() %}{% do definitions.append(name ~ ' ' ~ type) %}{% endfor %}
            {% do statements.append('create table ' ~ relation ~ ' (' ~ definitions | join(', ') ~ ')') %}
        {% else %}
            {% for name in columns if name not in present %}
                {% do missing.append(
                    source_table.schema ~ '.' ~ source_table.identifier ~ ' has no column ' ~ name
                    ~ ', which ' ~ source_table.original_file_path ~ ' declares'
                ) %}
            {% endfor %}
        {% endif %}
    {% endfor %}
    {% if missing %}
        {{ exceptions.raise_compiler_error(
            missing | join('; ')
            ~ '. Land a file with `cdi land`, which adds declared columns, or add the column to the table.'
        ) }}
    {% endif %}
    {{ return(statements | join(';\n')) }}
{% endmacro %}

{# The source tables that commands fill: those whose source says how to land it, or which command writes it. #}
{% macro written_sources() %}
    {% set written = [] %}
    {% for node in graph.sources.values() %}
        {% set meta = node.config.get('meta', {}) %}
        {% if meta.get('landing') or meta.get('written_by') %}{% do written.append(node) %}{% endif %}
    {% endfor %}
    {{ return(written) }}
{% endmacro %}

{# {'schema.table': [column, ...]} of the raw tables that exist. #}
{% macro raw_columns() %}
    {% set found = {} %}
    {% for schema in cdi.written_sources() | map(attribute='schema') | unique %}
        {% set rows = run_query(
            "select lower(table_name), lower(column_name) from " ~ cdi.information_schema_columns(schema)
            ~ " where lower(table_schema) = '" ~ schema | lower ~ "'"
        ).rows %}
        {% for row in rows %}
            {% do found.setdefault(schema ~ '.' ~ row[0], []).append(row[1]) %}
        {% endfor %}
    {% endfor %}
    {{ return(found) }}
{% endmacro %}
