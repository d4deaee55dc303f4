{# Gives a relation that was just made the name of the target; what had that name (none: nothing) goes. #}
{% macro take_place(made, target, existing) %}
    {% if existing is not none %}
        {%- set backup = make_backup_relation(target, existing.type) -%}
        {% do drop_relation_if_exists(load_cached_relation(backup)) %}
        {% do adapter.rename_relation(existing, backup) %}
        {% do adapter.rename_relation(made, target) %}
        {% do drop_relation_if_exists(backup) %}
    {% else %}
        {% do adapter.rename_relation(made, target) %}
    {% endif %}
{% endmacro %}
