-- One row per call found in the warehouse layout of Segment and RudderStack, in the one shape of events.

with

-- A loader that wrote the same call twice at the same moment is no reason for two events.
numbered as (

    select
        *,
        row_number() over (partition by event_id, loaded_at order by load_id) as copy_number
    from {{ ref('stg_segment_warehouse__calls') }}
    where event_id is not null

)

select
    event_id,
    cast('segment_warehouse' as {{ dbt.type_string() }}) as source,
    type,
    event,
    user_id,
    anonymous_id,
    previous_id,
    group_id,
    case
        when context_channel in ('browser', 'web') then 'web'
        when context_channel in ('mobile', 'server') then context_channel
        when type = 'screen' or lower(device_type) in ('ios', 'android') then 'mobile'
        when page_url is not null then 'web'
        else 'server'
    end as channel,
    least(coalesce(sender_at, received_at), received_at) as event_at,
    received_at,
    loaded_at,
    properties,
    traits,
    context,
    load_id,
    cast(null as {{ dbt.type_bigint() }}) as source_line
from numbered
where copy_number = 1
