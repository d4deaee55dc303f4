{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='fail'
) }}
{%- set categories = var('consent_categories') %}
-- One row per identifier, consent category and run that saw a choice: the newest choice among the events of that run.
-- The latest of an identifier's or a profile's rows is what holds; see profile_consent.

with

-- The preferences ride on every event of somebody who chose. An object without a category is a no to it.
choices as (

    select
        identifier,
        event_at,
        loaded_at,
        {{ cdi.json_columns(
            'context',
            texts=cdi.consent_paths(categories),
            objects={'preferences': 'consent.categoryPreferences'}
        ) }}
    from {{ ref('events') }}
    where identifier is not null and {{ cdi.is_new() }}

),

newest_choices as (

    select
        identifier,
        {% for category in categories -%}
        max({{ cdi.sortable_timestamp('event_at') }} || case when {{ category | lower }} = 'true' then '0' else '1' end)
            as {{ category | lower }},
        {% endfor -%}
        max(loaded_at) as loaded_at
    from choices
    where preferences is not null
    group by identifier

)

{% for category in categories %}
select
    identifier,
    cast('{{ category }}' as {{ dbt.type_string() }}) as category,
    -- Time and choice as one text, so that the latest of several rows is their max(): of two choices at the same
    -- moment, the no.
    {{ category | lower }} as choice,
    loaded_at
from newest_choices
{% if not loop.last %}union all{% endif %}
{% endfor %}
