{# The ids that arrived in the newest load and are not among the model's events. #}
{% test nothing_lost(model, arrivals) %}
select arrivals.event_id
from {{ arrivals }} as arrivals
where
    arrivals.loaded_at >= (select max(loaded_at) from {{ model }})
    and not exists (
        select 1 from {{ model }} as events
        where events.event_id = arrivals.event_id
    )
{% endtest %}
