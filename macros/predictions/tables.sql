{# The tables that Python writes: models where the adapter runs Python, else sources that `cdi predict` fills. #}

{# Whether this target's adapter runs Python models. #}
{% macro runs_python() %}{{ return(target.type in ['duckdb', 'snowflake', 'bigquery', 'databricks']) }}{% endmacro %}

{# ref() or source() of such a table. #}
{% macro predicted(name) %}
    {{ return(ref(name) if cdi.runs_python() else source('predicted', name)) }}
{% endmacro %}

{# Its relation, for a model that it is made from and so cannot refer to it. #}
{% macro prediction_relation(name) %}
    {%- for node in graph.nodes.values() if node.name == name and node.resource_type == 'model' -%}
        {{ return(api.Relation.create(database=node.database, schema=node.schema, identifier=node.alias)) }}
    {%- endfor -%}
    {%- for node in graph.sources.values() if node.name == name and node.source_name == 'predicted' -%}
        {{ return(api.Relation.create(database=node.database, schema=node.schema, identifier=node.identifier)) }}
    {%- endfor -%}
{% endmacro %}

{# The scores of the prediction that this model's YAML declares. #}
{% macro prediction() -%}
select
    profile_id,
    {%- if model.config.meta.get('prediction', {}).get('kind') == 'segments' %}
    segment,
    {%- endif %}
    score,
    percentile,
    reasons,
    method,
    model_id,
    scored_at
from {{ cdi.predicted('scores') }}
where prediction = '{{ model.name }}'
{%- endmacro %}
