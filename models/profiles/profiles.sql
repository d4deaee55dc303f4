{%- set trait_models = ['profile_scores'] -%}
{{ config(materialized='view') }}
-- One row per person (or device nobody has been recognised on): identity traits, computed traits and scores. A model of
-- your own with one row per profile joins in when trait_models names it.

select
    {{ cdi.kept_traits() }},
    {{ cdi.joined_traits(trait_models) }}
from {{ ref('profile_traits') }} as profile_traits
{{ cdi.join_traits(trait_models, 'profile_traits') }}
