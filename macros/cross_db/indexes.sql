{# The `indexes` of a model where the warehouse gains by them: PostgreSQL. DuckDB would only pay for them. #}
{% macro indexes(definitions) %}
    {{ return(definitions if target.type == 'postgres' else []) }}
{% endmacro %}
