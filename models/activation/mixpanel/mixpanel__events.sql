-- One row per event of somebody who may be analysed: the events themselves, for Mixpanel.

select
    profile_id,
    event_id,
    case type
        when 'page' then 'Page Viewed'
        when 'screen' then 'Screen Viewed'
        else event
    end as event_name,
    event_at,
    channel,
    properties
from {{ ref('profile_events') }}
where type in ('track', 'page', 'screen') and profile_id is not null
