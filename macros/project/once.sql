{#
  What a macro returns, asked once for each model that is compiled or built: what is worked out from the graph takes long
  in Jinja. key: names the question; macro: the macro; arguments: what it is called with.
#}
{% macro once(key, macro, arguments=[]) %}
    {%- set kept = model.setdefault('cdi_kept', {}) -%}
    {%- if key not in kept -%}{%- do kept.update({key: macro(*arguments)}) -%}{%- endif -%}
    {{ return(kept[key]) }}
{% endmacro %}
