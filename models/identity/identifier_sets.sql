{{ config(
    materialized='incremental',
    incremental_strategy='append',
    on_schema_change='fail',
    indexes=cdi.indexes([{'columns': ['identifier_set_id'], 'unique': true}, {'columns': ['loaded_at']}])
) }}
{%- set newest = cdi.newest_load() %}
{%- set newest_event = cdi.newest_load('proposal_id is null') %}
{%- set threshold = cdi.identifier_rules().match_threshold %}
{%- set has_proposals = threshold is not none and cdi.has_later_rows(
    source('matcher', 'identity_proposals'), newest, 'match_probability >= ' ~ threshold
) %}
-- One row per combination of identifiers that some event carried together, with the first event that did:
-- millions of events carry few combinations, and only those matter for who is who. A proposal of `cdi identity match`
-- that is likely enough is a combination of two.

with

carried as (

    select
        identifiers,
        -- Order of arrival: load time, then event time, then event id.
        min({{ cdi.sortable_timestamp('loaded_at') }} || {{ cdi.sortable_timestamp('event_at') }} || event_id)
            as first_arrival,
        min(loaded_at) as loaded_at,
        cast(null as {{ dbt.type_string() }}) as proposal_id
    from {{ ref('events') }}
    where identifiers is not null and {{ cdi.is_later_than(newest_event) }}
    group by 1

),

{% if has_proposals -%}
proposed as (

    select *
    from {{ ref('proposed_sets') }}
    where
        {{ cdi.is_later_than(newest) }}
        -- All loads before it are in events: it was written before this run, or something later is in events too.
        and (
            loaded_at < cast('{{ run_started_at.strftime("%Y-%m-%d %H:%M:%S.%f") }}' as {{ dbt.type_timestamp() }})
            or loaded_at < (select max(events.loaded_at) from {{ ref('events') }} as events)
        )

),

carried_parts as (

    {{ cdi.unnest_text('carried', 'identifiers', cdi.identifier_separator(), ['loaded_at']) }}
    {%- if newest != 'null' %}
    union all
    {{ cdi.unnest_text(this, 'identifiers', cdi.identifier_separator(), ['loaded_at']) }}
    {%- endif %}

),

-- No identifier comes into being by a proposal: an event carried it before.
first_carried as (

    select
        part as identifier,
        min(loaded_at) as loaded_at
    from carried_parts
    where part in (select identifier_a from proposed) or part in (select identifier_b from proposed)
    group by 1

),

accepted as (

    select
        proposed.identifiers,
        proposed.first_arrival,
        proposed.loaded_at,
        proposed.proposal_id
    from proposed
    inner join first_carried as a_carried
        on proposed.identifier_a = a_carried.identifier and proposed.loaded_at > a_carried.loaded_at
    inner join first_carried as b_carried
        on proposed.identifier_b = b_carried.identifier and proposed.loaded_at > b_carried.loaded_at

),

sets as (

    select
        identifiers,
        min(first_arrival) as first_arrival,
        min(loaded_at) as loaded_at,
        case when min(loaded_at) = min(case when proposal_id is not null then loaded_at end) then min(proposal_id) end
            as proposal_id
    from (
        select * from carried
        union all
        select * from accepted
    ) as combinations
    group by 1

),

{% endif -%}
keyed as (

    select
        {{ dbt.hash('identifiers') }} as identifier_set_id,
        identifiers,
        substr(first_arrival, 41) as event_id,
        {{ cdi.timestamp_from_sortable('substr(first_arrival, 21, 20)') }} as event_at,
        loaded_at,
        proposal_id
    from {{ 'sets' if has_proposals else 'carried' }}

)

select * from keyed
{% if newest != 'null' %}
where not exists (
    select 1 from {{ this }} as known
    where known.identifier_set_id = keyed.identifier_set_id
)
{% endif %}
