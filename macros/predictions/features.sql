{# What is known of profiles at a moment: the features that predictions are learned from and made of. #}

{#
  The rows of profile_features: of now.

  reads: the names of the models that its traits are about; dbt has to know them before it reads YAML.
#}
{% macro profile_features(reads) -%}
    {%- for name in reads + ['identity_graph', 'merged_profiles', 'sessions'] -%}{%- do ref(name) -%}{%- endfor -%}
    {%- if not execute -%}{{ return('select 1 as profile_id') }}{%- endif -%}
    {{ cdi.features_as_of(cdi.as_of(), reads) }}
{%- endmacro %}

{#
  The features of every profile at a moment (SQL of a timestamp): the columns of profile_features. Nothing that happened
  after it is part of them. Who is who is taken from the graph of today.

  reads: see profile_features; none where that is read by way of it.
#}
{% macro features_as_of(moment, reads=none) -%}
    {%- set node = cdi.node_of('profile_features') -%}
    {%- set traits = cdi.declared_traits(node) -%}
select
    features.profile_id,
    {{ moment }} as as_of
    {%- for trait in traits %},
    {{ cdi.joined_trait('features', node.columns[trait.name], node) }}
    {%- endfor %},
    coalesce(cast(visits.count_sessions_30_days as {{ dbt.type_int() }}), 0) as count_sessions_30_days,
    coalesce(cast(visits.count_sessions_90_days as {{ dbt.type_int() }}), 0) as count_sessions_90_days,
    {{ cdi.days_between('visits.last_started_at', moment) }} as days_since_last_session
from (
    {{ cdi.traits_sql(traits, reads, 'profile_id', moment) | indent(4) }}
) as features
left join (
    -- When a visit began is known at once; what became of it is not.
    select
        profile_id,
        sum(case when started_at > {{ dbt.dateadd('day', -30, moment) }} then 1 else 0 end) as count_sessions_30_days,
        sum(case when started_at > {{ dbt.dateadd('day', -90, moment) }} then 1 else 0 end) as count_sessions_90_days,
        max(started_at) as last_started_at
    from {{ cdi.relation_of('sessions') }}
    where started_at <= {{ moment }}
    group by 1
) as visits on features.profile_id = visits.profile_id
{%- endmacro %}

{# The names of the features: the numbers among the columns of profile_features. #}
{% macro feature_names() %}
    {%- set names = [] -%}
    {%- for column in cdi.node_of('profile_features').columns.values() if cdi.kind_of(column.data_type) == 'number' -%}
        {%- do names.append(column.name) -%}
    {%- endfor -%}
    {{ return(names) }}
{% endmacro %}
