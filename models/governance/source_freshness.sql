{{ config(materialized='view') }}
-- One row per source: when its newest event happened and arrived, against the longest it was silent in its last eight
-- weeks before that.

with

days as (

    select
        source,
        happened_on,
        max(last_event_at) as last_event_at,
        max(last_received_at) as last_received_at,
        max(loaded_at) as last_loaded_at
    from {{ ref('event_counts') }}
    group by 1, 2

),

sources as (

    select
        source,
        max(happened_on) as last_day,
        max(last_event_at) as last_event_at,
        max(last_received_at) as last_received_at,
        max(last_loaded_at) as last_loaded_at
    from days
    group by 1

),

active_days as (

    select
        days.source,
        days.happened_on,
        lead(days.happened_on) over (partition by days.source order by days.happened_on) as next_active_on
    from days
    inner join sources on days.source = sources.source
    where days.happened_on > {{ dbt.dateadd('day', -56, 'sources.last_day') }}

),

usual as (

    select
        source,
        count(*) as count_active_days,
        max({{ dbt.datediff('happened_on', 'next_active_on', 'day') }}) as usual_gap_days
    from active_days
    group by 1

),

silences as (

    select
        source,
        {{ dbt.datediff('last_event_at', cdi.as_of(), 'hour') }} -- noqa: LT05
            as hours_silent
    from sources

)

select
    sources.source,
    sources.last_event_at,
    sources.last_received_at,
    sources.last_loaded_at,
    usual.count_active_days,
    usual.usual_gap_days,
    silences.hours_silent,
    -- Null where it was active on fewer than five days: nobody knows yet how often it delivers.
    cast(case
        when usual.count_active_days >= 5
            then silences.hours_silent / (24.0 * usual.usual_gap_days)
    end as {{ dbt.type_float() }}) as silence_to_usual
from sources
inner join usual on sources.source = usual.source
inner join silences on sources.source = silences.source
