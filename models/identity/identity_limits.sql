-- One row per profile and type of identifier of which it holds more than one: how many, against the type's limit (for a
-- limit per day, week, month or year a row per such time).

select
    graph.profile_id,
    rules.identifier_type,
    {{ cdi.limit_key('rules.priority', 'rules.limit_window', 'graph.event_at') }} as limit_key,
    rules.limit_count,
    count(*) as count_identifiers,
    cast(1.0 * count(*) / rules.limit_count as {{ dbt.type_float() }}) as share_of_limit
from {{ ref('identity_graph') }} as graph
inner join {{ ref('identifier_rules') }} as rules on graph.identifier_type = rules.identifier_type
where rules.rule = 'type' and rules.limit_count is not null
group by 1, 2, 3, 4
having count(*) > 1
