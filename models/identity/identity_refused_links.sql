-- One row per link between two identifiers that was refused, since the profiles it would have joined hold, together,
-- more identifiers of a type than its limit.

with

refused as (

    select
        decided.identifier,
        decided.hub,
        own.profile_id,
        hubs.profile_id as hub_profile_id,
        decided.arrival,
        decided.event_id,
        decided.event_at,
        decided.loaded_at
    from {{ cdi.decisions_of(ref('identity_graph')) }} as decided
    inner join {{ ref('identity_graph') }} as own on decided.identifier = own.identifier
    inner join {{ ref('identity_graph') }} as hubs on decided.hub = hubs.identifier
    where decided.decision = 'refused'

),

apart as (

    select distinct profile_id
    from (
        select profile_id from refused
        union all
        select hub_profile_id as profile_id from refused
    ) as both_sides

),

held as (

    select
        graph.profile_id,
        rules.identifier_type,
        rules.priority,
        rules.limit_window,
        rules.limit_count,
        {{ cdi.limit_key('rules.priority', 'rules.limit_window', 'graph.event_at') }} as limit_key,
        count(*) as held_count
    from {{ ref('identity_graph') }} as graph
    inner join apart on graph.profile_id = apart.profile_id
    inner join {{ ref('identifier_rules') }} as rules on graph.identifier_type = rules.identifier_type
    where rules.rule = 'type' and rules.limit_count is not null
    group by
        graph.profile_id, rules.identifier_type, rules.priority, rules.limit_window, rules.limit_count, limit_key

),

sides as (

    select
        arrival,
        profile_id,
        true as is_own
    from refused
    union all
    select
        arrival,
        hub_profile_id as profile_id,
        false as is_own
    from refused

),

broken as (

    select
        sides.arrival,
        held.identifier_type as limit_type,
        held.limit_window,
        held.limit_count,
        sum(case when sides.is_own then held.held_count else 0 end) as count_in_profile,
        sum(case when sides.is_own then 0 else held.held_count end) as count_in_hub_profile,
        row_number() over (partition by sides.arrival order by held.priority, held.limit_key) as place
    from sides
    inner join held on sides.profile_id = held.profile_id
    group by sides.arrival, held.identifier_type, held.limit_window, held.limit_count, held.priority, held.limit_key
    having count(*) = 2 and sum(held.held_count) > held.limit_count

)

select
    refused.identifier,
    refused.hub,
    refused.profile_id,
    refused.hub_profile_id,
    broken.limit_type,
    broken.limit_window,
    broken.limit_count,
    broken.count_in_profile,
    broken.count_in_hub_profile,
    'together ' || cast(broken.count_in_profile + broken.count_in_hub_profile as {{ dbt.type_string() }})
    || ' of ' || broken.limit_type
    || case when broken.limit_window = 'ever' then '' else ' in one ' || broken.limit_window end
    || ', the limit is ' || cast(broken.limit_count as {{ dbt.type_string() }}) as reason,
    refused.event_id,
    refused.event_at,
    refused.arrival,
    refused.loaded_at
from refused
inner join broken on refused.arrival = broken.arrival and broken.place = 1
