{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='fail'
) }}
-- One row per profile that joined another or was joined, and run: what is kept by profile has to look at it again.

with

merged as (

    select
        graph.profile_id,
        max(decided.loaded_at) as loaded_at
    from {{ cdi.decisions_of(ref('identity_graph')) }} as decided
    inner join {{ ref('identity_graph') }} as graph on decided.identifier = graph.identifier
    where decided.decision = 'merged' and {{ cdi.is_later_than(cdi.newest_load(), 'decided') }}
    group by 1

)

select
    profile_id,
    cast(null as {{ dbt.type_string() }}) as joined_profile_id,
    loaded_at
from merged
union all
select distinct
    graph.first_profile_id as profile_id,
    graph.profile_id as joined_profile_id,
    merged.loaded_at
from {{ ref('identity_graph') }} as graph
inner join merged on graph.profile_id = merged.profile_id
where graph.first_profile_id is not null
