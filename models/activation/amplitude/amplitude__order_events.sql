-- One row per order, cancellation or refund of somebody who may be analysed, for Amplitude, which charges by the event.

select
    profile_id,
    event_id,
    event as event_name,
    event_at,
    properties
from {{ ref('profile_events') }}
where
    type = 'track'
    and event in ('Order Completed', 'Order Cancelled', 'Order Refunded')
    and profile_id is not null
