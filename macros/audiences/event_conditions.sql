{#
  The steps (without `with`) that evaluate checked conditions about events, each event's model read once for all of them:
  {steps: SQL, joins: relations with one row per key, conditions: {name: SQL over the joined relations, never null}}.

  keys: ['profile_id'], or ['profile_id', 'account_id'] for the users of accounts: an event belongs to the account that
  it names, and to all accounts of its person where it names none. only_due: whether only profiles that are due are
  wanted. by_ref: whether the model refers to what is read itself, or only by way of another.
#}
{% macro event_conditions(conditions, keys, as_of, only_due=false, by_ref=true) %}
    {%- set steps, joins, found, by_event, ends, sources = [], [], {}, {}, {}, {} -%}
    {%- for condition in conditions -%}
        {%- for counted in cdi.counted_of(condition) -%}
            {%- do by_event.setdefault(counted.event, []).append(counted) -%}
            {#- No step of a sequence is before its first one. -#}
            {%- do ends.setdefault(counted.event, []).append((condition.get('counted') or condition).window['from']) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- for event, of_event in by_event.items() -%}
        {%- set events = event ~ '_events' -%}
        {%- set needed = [] -%}
        {%- for condition in conditions -%}
            {%- for step in condition.get('checked_steps', []) -%}
                {%- for same in step.same -%}
                    {%- do needed.extend(
                        ([same.column] if step.counted.event == event else [])
                        + ([same.other] if condition.checked_steps[same.number - 1].counted.event == event else [])
                    ) -%}
                {%- endfor -%}
            {%- endfor -%}
        {%- endfor -%}
        {%- set window = {'from': none if none in ends[event] else ends[event] | max, 'to': 0} -%}
        {%- do steps.append(cdi.step(events, cdi.asked_events(
            event, of_event, needed, keys, window, as_of, only_due, by_ref
        ))) -%}
        {%- for list in of_event | map(attribute='list') | reject('none') | unique -%}
            {%- do steps.append(
                cdi.step(cdi.items_step(event, list), cdi.items_of_events(events, of_event, list))
            ) -%}
        {%- endfor -%}
    {%- endfor -%}

    {#- How often: all counts of an event, or of the items of its list, in one aggregate. -#}
    {%- for condition in conditions if 'counted' in condition -%}
        {%- do sources.setdefault(cdi.source_of(condition.counted), {}).update({condition.counted.name: condition.counted}) -%}
    {%- endfor -%}
    {%- for source, counts in sources.items() -%}
        {%- do steps.append(cdi.step(source ~ '_counts', cdi.counts_of_events(source, counts.values(), keys, as_of))) -%}
        {%- do joins.append(source ~ '_counts') -%}
    {%- endfor -%}
    {%- for condition in conditions if 'counted' in condition -%}
        {%- do found.update({
            condition.name: cdi.count_condition(
                condition, 'coalesce(' ~ cdi.source_of(condition.counted) ~ '_counts.' ~ condition.counted.name ~ ', 0)'
            )
        }) -%}
    {%- endfor -%}

    {#- In which order. -#}
    {%- for condition in conditions if 'checked_steps' in condition -%}
        {%- do steps.extend(cdi.sequence_steps(condition, keys, as_of)) -%}
        {%- do joins.append(condition.name ~ '_met') -%}
        {%- do found.update({condition.name: condition.name ~ '_met.' ~ keys[0] ~ ' is not null'}) -%}
    {%- endfor -%}
    {{ return({'steps': steps | join(',\n\n'), 'joins': joins, 'conditions': found}) }}
{% endmacro %}

{# The step with what is counted: the events of a model, or the items of a list that they hold. #}
{% macro source_of(counted) %}
    {{ return(cdi.items_step(counted.event, counted.list) if counted.list else counted.event ~ '_events') }}
{% endmacro %}

{# The events of a model in a window with whose they are, and the columns that conditions ask for. #}
{% macro asked_events(event, asked, needed, keys, window, as_of, only_due, by_ref) %}
    {%- set relation_of = ref if by_ref else cdi.relation_of -%}
    {%- set properties = cdi.event_properties(asked[0].node) -%}
    {%- set conditions = asked | map(attribute='conditions') | sum(start=[]) -%}
    {%- set words = modules.re.findall('[a-z_][a-z_0-9]*', conditions | join(' ')) + needed -%}
    {%- set columns = ['event_id', 'event_at'] -%}
    {%- for property in properties.values() if property.column in words and property.column not in columns -%}
        {%- do columns.append(property.column) -%}
    {%- endfor -%}
    {%- for list in asked | map(attribute='list') | reject('none') | unique
        if properties[list].column not in columns -%}
        {%- do columns.append(properties[list].column) -%}
    {%- endfor %}
    select
        {{ 'graph.' ~ keys | join(',\n        graph.') }}
        {%- for column in columns %},
        events.{{ column }}
        {%- endfor %}
    from {{ relation_of(event) }} as events
    {%- if 'account_id' in keys %}
    inner join (
        select
            graph.identifier,
            memberships.profile_id,
            memberships.account_id
        from {{ relation_of('identity_graph') }} as graph
        inner join {{ relation_of('account_memberships') }} as memberships on graph.profile_id = memberships.profile_id
    ) as graph
        on events.identifier = graph.identifier
        and (events.group_id is null or events.group_id = graph.account_id)
    {%- else %}
    inner join {{ cdi.due_identifiers() if only_due else relation_of('identity_graph') }} as graph on events.identifier = graph.identifier
    {%- endif %}
    where
        events.event_at <= {{ as_of }}
        {%- for condition in cdi.window_conditions(window, 'events.event_at', as_of) %}
        and {{ condition }}
        {%- endfor %}
{% endmacro %}

{# How often events happened, or had an item, that conditions ask for. #}
{% macro counts_of_events(source, counts, keys, as_of) %}
    select
        {{ keys | join(',\n        ') }}
        {%- for counted in counts %},
        {% set condition = cdi.trait_condition(counted, as_of) -%}
        {%- if counted.list -%}
            count(distinct {{ cdi.value_where(condition, 'event_id') }})
        {%- else -%}
            {{ 'count(' ~ cdi.value_where(condition, '1') ~ ')' if condition else 'count(*)' }}
        {%- endif %} as {{ counted.name }}
        {%- endfor %}
    from {{ source }}
    group by {{ range(1, keys | length + 1) | join(', ') }}
{% endmacro %}

{# Whether a count is what a condition asks for. #}
{% macro count_condition(condition, count) %}
    {%- if condition.condition == 'did_not' -%}{{ return(count ~ ' = 0') }}{%- endif -%}
    {%- if 'exactly' in condition -%}{{ return(count ~ ' = ' ~ condition.exactly) }}{%- endif -%}
    {%- set least = condition.get('at_least', 0 if condition.get('at_most') == 0 else 1) -%}
    {%- set at_least = count ~ ' >= ' ~ least -%}
    {%- if 'at_most' in condition -%}
        {{ return('(' ~ (at_least ~ ' and ' if least else '') ~ count ~ ' <= ' ~ condition.at_most ~ ')') }}
    {%- endif -%}
    {{ return(at_least) }}
{% endmacro %}
