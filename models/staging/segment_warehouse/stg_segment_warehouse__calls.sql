{#- Which tables there are is only known to the warehouse: the columns of each are read when the model is compiled. -#}
{%- set calls = cdi.segment_warehouse_calls(var('segment_warehouse_schemas')) -%}
-- One row per call in the warehouse layout of Segment and RudderStack (tracks, one table per event, identifies, ...).

{% for call in calls %}
select
    {{ call.text.id }} as event_id,
    cast('{{ call.type }}' as {{ dbt.type_string() }}) as type,
    {{ call.event }} as event,
    {{ call.text.user_id }} as user_id,
    {{ call.text.anonymous_id }} as anonymous_id,
    {{ call.text.previous_id }} as previous_id,
    {{ call.text.group_id }} as group_id,
    {{ call.text.context_channel }} as context_channel,
    {{ call.text.context_device_type }} as device_type,
    {{ call.text.context_page_url }} as page_url,
    {{ call.timestamps.timestamp }} as sender_at,
    {{ call.timestamps.received_at }} as received_at,
    coalesce({{ call.timestamps.uuid_ts }}, {{ call.timestamps.received_at }}) as loaded_at,
    {{ call.properties }} as properties,
    {{ call.traits }} as traits,
    {{ call.context }} as context,
    '{{ call.relation_name }}' as load_id
from {{ call.relation }}
{% if call.filter %}where {{ call.filter }}{% endif %}
{% if not loop.last %}union all{% endif %}
{% else %}
select
    {% for column in [
        'event_id', 'type', 'event', 'user_id', 'anonymous_id', 'previous_id', 'group_id', 'context_channel',
        'device_type', 'page_url'
    ] %}
    {{ cdi.null_text() }} as {{ column }},
    {% endfor %}
    {% for column in ['sender_at', 'received_at', 'loaded_at'] %}
    cast(null as {{ dbt.type_timestamp() }}) as {{ column }},
    {% endfor %}
    {% for column in ['properties', 'traits', 'context'] %}
    {{ cdi.json_null() }} as {{ column }},
    {% endfor %}
    {{ cdi.null_text() }} as load_id
from (select 1 as nothing) as no_calls
where 1 = 0
{% endfor %}
