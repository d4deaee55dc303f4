{# Text to sort by, in the order of its characters: what PostgreSQL's own order is depends on the database. #}
{% macro alphabetical(expression) -%} {{ return(adapter.dispatch('alphabetical', 'cdi')(expression)) }} {%- endmacro %}

{% macro default__alphabetical(expression) -%} {{ expression }} {%- endmacro %}
{% macro postgres__alphabetical(expression) -%} ({{ expression }}) collate "C" {%- endmacro %}
{% macro redshift__alphabetical(expression) -%} {{ expression }} {%- endmacro %}
