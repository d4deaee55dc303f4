{#
  What a macro returns, asked once in a run for each model, however often it is compiled, built and hooked: what is
  worked out from the graph takes long in Jinja. of_graph: the answer is the same for all models.
  key: names the question; macro: the macro; arguments: what it is called with. Nobody may change what it returns.
#}
{% macro once(key, macro, arguments=[], of_graph=false) %}
    {#- What is put into the graph while dbt still reads files would become part of them. -#}
    {%- if not execute -%}{{ return(macro(*arguments)) }}{%- endif -%}
    {#- A graph may outlive the run that reads it. -#}
    {%- if graph.get('cdi_kept', {}).get('run') != invocation_id -%}
        {%- do graph.update({'cdi_kept': {'run': invocation_id}}) -%}
    {%- endif -%}
    {%- set kept = graph.cdi_kept.setdefault('graph' if of_graph else model.unique_id, {}) -%}
    {%- if key not in kept -%}{%- do kept.update({key: macro(*arguments)}) -%}{%- endif -%}
    {{ return(kept[key]) }}
{% endmacro %}
