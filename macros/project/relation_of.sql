{#
  The relation of a model or seed, by its name: for a model that is above it by way of another, and so needs no `ref`.
#}
{% macro relation_of(name) %}
    {%- set node = cdi.node_of(name) -%}
    {{ return(api.Relation.create(database=node.database, schema=node.schema, identifier=node.alias)) }}
{% endmacro %}

{# The node of a model or seed in the graph, by its name. #}
{% macro node_of(name) %}
    {%- for node in graph.nodes.values() if node.name == name and node.resource_type in ['model', 'seed'] -%}
        {{ return(node) }}
    {%- endfor -%}
    {{ exceptions.raise_compiler_error("There is no model '" ~ name ~ "'.") }}
{% endmacro %}
