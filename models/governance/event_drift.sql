{{ config(materialized='view') }}
{%- set dimensions = [
    ('event', 'coalesce(event, type)', 'count_events'),
    ('channel', 'channel', 'count_events'),
    ('has identifier', "'yes'", 'count_identified'),
    ('has identifier', "'no'", 'count_events - count_identified'),
    ('has user_id', "'yes'", 'count_known'),
    ('has user_id', "'no'", 'count_events - count_known'),
] %}
-- One row per source and what its events can be told apart by: how far their distribution in the source's last seven
-- days lies from the four weeks before, as population stability index (0 is the same, over 0.25 has shifted).

with

sources as (

    select
        source,
        max(happened_on) as last_day
    from {{ ref('event_counts') }}
    group by 1

),

windows as (

    select
        counts.*,
        counts.happened_on > {{ dbt.dateadd('day', -7, 'sources.last_day') }} as is_recent
    from {{ ref('event_counts') }} as counts
    inner join sources on counts.source = sources.source
    where counts.happened_on > {{ dbt.dateadd('day', -35, 'sources.last_day') }}

),

buckets as (

    {% for dimension, bucket, counted in dimensions %}
    select
        source,
        '{{ dimension }}' as dimension,
        {{ bucket }} as bucket,
        sum(case when is_recent then {{ counted }} else 0 end) as count_recent,
        sum(case when is_recent then 0 else {{ counted }} end) as count_before
    from windows
    group by 1, 2, 3
    {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

-- Half an event more in each bucket: what one side has never had is a large shift and not an endless one.
shares as (

    select
        source,
        dimension,
        bucket,
        count_recent,
        count_before,
        (count_recent + 0.5) / sum(count_recent + 0.5) over (partition by source, dimension) as share_recent,
        (count_before + 0.5) / sum(count_before + 0.5) over (partition by source, dimension) as share_before
    from buckets

)

select
    source,
    dimension,
    cast(sum(count_recent) as {{ dbt.type_bigint() }}) as count_recent,
    cast(sum(count_before) as {{ dbt.type_bigint() }}) as count_before,
    -- Null where there is too little to compare.
    cast(case
        when sum(count_recent) >= 500 and sum(count_before) >= 2000
            then sum((share_recent - share_before) * ln(share_recent / share_before))
    end as {{ dbt.type_float() }}) as stability_index
from shares
group by 1, 2
