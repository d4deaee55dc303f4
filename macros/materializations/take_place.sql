{#
  Gives a relation that was just made the name of the target; what had that name (none: nothing) goes. dbt's macros are called
  themselves, since adapter.rename_relation sets up every macro of the project anew to call them.
#}
{% macro take_place(made, target, existing) %}
    {% if existing is not none %}
        {% do adapter.cache_dropped(existing) %}
        {% do drop_relation(existing) %}
    {% endif %}
    {% do adapter.cache_renamed(made, target) %}
    {% do rename_relation(made, target) %}
{% endmacro %}
