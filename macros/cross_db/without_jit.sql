{#
  A hook before a model of very many expressions: PostgreSQL would compile them to machine code for longer than it
  computes them.
#}
{% macro without_jit() -%} {{ return(adapter.dispatch('without_jit', 'cdi')()) }} {%- endmacro %}

{% macro default__without_jit() %}{{ return('') }}{% endmacro %}

{% macro postgres__without_jit() %}{{ return('set local jit = off') }}{% endmacro %}

{% macro redshift__without_jit() %}{{ return('') }}{% endmacro %}
