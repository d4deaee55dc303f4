{#
  The end of a select whose columns are used several times by what reads it: each is computed once per row. PostgreSQL
  would put their expressions in place of each use, and expressions that are built upon each other grow without bound.
#}
{% macro computed_once() -%} {{ return(adapter.dispatch('computed_once', 'cdi')()) }} {%- endmacro %}

{% macro default__computed_once() -%} {%- endmacro %}
{% macro postgres__computed_once() -%} offset 0 {%- endmacro %}
{% macro redshift__computed_once() -%} {%- endmacro %}
