{# dbt's own, but without a connection (dbt compile --no-introspect) a build is a full one: Python models ask this always. #}
{% macro is_incremental() %}
    {{ return(false if execute and not flags.INTROSPECT else dbt.is_incremental()) }}
{% endmacro %}
