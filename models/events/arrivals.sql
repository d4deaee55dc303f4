{#- Every system that gives events has one line here. -#}
{%- set systems = [
    ref('events_from_segment'),
    ref('events_from_segment_warehouse'),
    ref('events_from_stripe'),
    ref('events_from_salesforce'),
    ref('events_from_till'),
    ref('events_from_online_retail'),
    ref('stg_quarantine__releases')
] -%}
-- One row per arrival of an event from any system, or from quarantine: the same event may have arrived more than once.

{% for system in systems %}
select
    event_id,
    source,
    type,
    event,
    user_id,
    anonymous_id,
    previous_id,
    group_id,
    channel,
    event_at,
    received_at,
    loaded_at,
    properties,
    traits,
    context,
    -- The order of arrival, as text: load, then line.
    {{ cdi.sortable_timestamp('loaded_at') }} || load_id
    || {{ dbt.right("'000000000000' || coalesce(cast(source_line as " ~ dbt.type_string() ~ "), '')", 12) }}
        as arrival,
    {{ 'true' if system.identifier == 'stg_quarantine__releases' else 'false' }} as is_release
from {{ system }}
{% if not loop.last %}union all{% endif %}
{% endfor %}
