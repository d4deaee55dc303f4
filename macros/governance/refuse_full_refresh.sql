{#
  Stops a full refresh of `checked_events` after `cdi privacy retain` has removed raw rows: it would lose their events, and with
  them profiles. What lies above can be built anew all the same.
#}
{% macro refuse_full_refresh_after_retention() %}
    {%- if execute and flags.INTROSPECT and flags.WHICH in ['run', 'build'] and not is_incremental() -%}
        {%- set retention = adapter.get_relation(target.database, 'raw', 'retention') -%}
        {%- if retention is not none and load_relation(this) is not none -%}
            {{ exceptions.raise_compiler_error(
                'Raw rows that landed before ' ~ cdi.single_value('select max(kept_since) from ' ~ retention)
                ~ ' were removed by `cdi privacy retain`: ' ~ this ~ ' cannot be built from its beginning without losing'
                ~ ' their events. Everything above can: dbt build --full-refresh --exclude checked_events identifier_rules'
            ) }}
        {%- endif -%}
    {%- endif -%}
{% endmacro %}
