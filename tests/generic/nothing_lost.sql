{# The ids that arrived in the newest load and are neither among the model's events nor among those kept apart. #}
{% test nothing_lost(model, arrivals, kept_apart=none) %}
select arrivals.event_id
from {{ arrivals }} as arrivals
where
    arrivals.loaded_at >= (select max(loaded_at) from {{ model }})
    {%- for relation in [model, kept_apart] if relation is not none %}
    and not exists (
        select 1 from {{ relation }} as events
        where events.event_id = arrivals.event_id
    )
    {%- endfor %}
{% endtest %}
