{%- set trait_models = [
    'profile_identity', 'profile_activity', 'order_traits', 'profile_carts', 'browsing_traits', 'engagement_traits',
    'profile_newsletter', 'profile_sessions', 'session_traits', 'profile_attribution',
] -%}
{{ config(
    materialized='by_profile',
    inputs={'identifiers': true, 'tables': trait_models},
    definition='joined_trait_columns'
) }}
-- One row per person (or device nobody has been recognised on): all traits that are kept up to date profile by profile.

with

profile_ids as (

    select
        graph.profile_id,
        max(case when graph.identifier_type = 'user_id' then 1 else 0 end) = 1 as is_known,
        cast(count(*) as {{ dbt.type_int() }}) as count_identifiers
    from {{ ref('identity_graph') }} as graph
    where {{ cdi.is_due('graph.profile_id') }}
    group by 1

)

select
    profile_ids.profile_id,
    profile_ids.is_known,
    profile_ids.count_identifiers,
    {{ cdi.joined_traits(trait_models, own=['is_known', 'count_identifiers']) }}
from profile_ids
{{ cdi.join_traits(trait_models, 'profile_ids') }}
