{#
  The steps that compute traits of events, without `with`. The last one, `event_traits`, has one row per `per` with any of
  the events, and one column per trait that is about events.

  by_ref: whether the model refers to what is read itself, or only by way of another.
#}
{% macro event_trait_steps(traits, per, as_of, only_due, known_by, by_ref=true) %}
    {%- set steps, joined, keys, columns = [], [], [], [] -%}
    {%- set by_event = {} -%}
    {%- for trait in traits if trait.event -%}
        {%- do by_event.setdefault(trait.event, []).append(trait) -%}
    {%- endfor -%}
    {%- for event, of_event in by_event.items() -%}
        {%- set events = event ~ '_events' -%}
        {%- do steps.append(cdi.step(events, cdi.events_of_profiles(
            event, of_event, per, as_of, only_due, known_by, by_ref
        ))) -%}
        {%- set lists = of_event | map(attribute='list') | reject('none') | unique | list -%}
        {%- for list in lists -%}
            {%- do steps.append(cdi.step(cdi.items_step(event, list), cdi.items_of_events(events, of_event, list))) -%}
        {%- endfor -%}
        {#- What one aggregate tells: of events (the step says who had any), then of each list's items. -#}
        {%- for list in [none] + lists -%}
            {%- set simple = [] -%}
            {%- for trait in of_event if trait.list == list and trait.type not in ['most_frequent', 'streak'] -%}
                {%- do simple.append(trait) -%}
            {%- endfor -%}
            {%- if list is none or simple -%}
                {%- set source = events if list is none else cdi.items_step(event, list) -%}
                {%- set totals = source ~ '_totals' -%}
                {%- do steps.append(cdi.step(totals, cdi.totals_of(source, simple, per, as_of))) -%}
                {%- do (keys if list is none else joined).append(totals) -%}
                {%- for trait in simple -%}
                    {%- do columns.append((totals, trait)) -%}
                {%- endfor -%}
            {%- endif -%}
        {%- endfor -%}
        {#- What needs values counted first: once for all traits about the same property. -#}
        {%- set by_value = {} -%}
        {%- for trait in of_event if trait.type == 'most_frequent' -%}
            {%- set source = events if trait.list is none else cdi.items_step(event, trait.list) -%}
            {%- do by_value.setdefault((source, trait.value), []).append(trait) -%}
        {%- endfor -%}
        {%- for (source, value), about_value in by_value.items() -%}
            {%- set seen = source ~ '_' ~ value ~ '_seen' -%}
            {%- do steps.append(cdi.step(seen, cdi.values_seen(source, about_value, per, as_of))) -%}
            {%- do steps.append(cdi.step(seen ~ '_most', cdi.values_seen_most(seen, about_value, per))) -%}
            {%- do joined.append(seen ~ '_most') -%}
            {%- for trait in about_value -%}{%- do columns.append((seen ~ '_most', trait)) -%}{%- endfor -%}
        {%- endfor -%}
        {%- for trait in of_event if trait.type == 'streak' -%}
            {%- set source = events if trait.list is none else cdi.items_step(event, trait.list) -%}
            {%- do steps.append(cdi.step(trait.name ~ '_values', cdi.streak_of(source, trait, per, as_of))) -%}
            {%- do joined.append(trait.name ~ '_values') -%}
            {%- do columns.append((trait.name ~ '_values', trait)) -%}
        {%- endfor -%}
    {%- endfor -%}

    {%- set last -%}
    select
        {{ per }}
        {%- for step, trait in columns %},
        {% if trait.type in ['count', 'unique_count', 'streak'] -%}
            coalesce({{ step }}.{{ trait.name }}, 0) as {{ trait.name }}
        {%- else -%}
            {{ step }}.{{ trait.name }}
        {%- endif -%}
        {%- endfor %}
    from {{ keys[0] }}
    {%- for step in keys[1:] %}
    full join {{ step }} using ({{ per }})
    {%- endfor %}
    {%- for step in joined %}
    left join {{ step }} using ({{ per }})
    {%- endfor -%}
    {%- endset -%}
    {%- do steps.append(cdi.step('event_traits', last)) -%}
    {{ return(steps | join(',\n\n')) }}
{% endmacro %}

{% macro step(name, sql) %}{{ return(name ~ ' as (\n\n    ' ~ sql | trim ~ '\n\n)') }}{% endmacro %}

{% macro items_step(event, list) %}{{ return(event ~ '_' ~ list | replace('.', '_') ~ '_items') }}{% endmacro %}

{# The events of a model with whose they are, and the columns that traits ask for. #}
{% macro events_of_profiles(event, traits, per, as_of, only_due, known_by, by_ref) %}
    {%- set relation_of = ref if by_ref else cdi.relation_of -%}
    {%- set is_partial = only_due and cdi.is_partial() -%}
    {%- set in_session = traits | selectattr('in_session') | list | length > 0 -%}
    {%- set needed, currencies = [], {} -%}
    {%- set properties = cdi.event_properties(traits[0].node) -%}
    {%- for trait in traits -%}
        {%- set words = modules.re.findall(
            '[a-z_][a-z_0-9]*', ([trait.value or '', trait.weight or ''] + trait.conditions) | join(' ')
        ) -%}
        {%- for property in properties.values()
            if property.column in words and property.column not in needed + ['event_at'] -%}
            {%- do needed.append(property.column) -%}
        {%- endfor -%}
        {%- if trait.list and properties[trait.list].column not in needed -%}
            {%- do needed.append(properties[trait.list].column) -%}
        {%- endif -%}
        {%- if trait.currency -%}
            {%- do currencies.setdefault(trait.currency, []).append(trait) -%}
        {%- endif -%}
    {%- endfor %}
    select
        {% if per == 'account_id' -%}
        coalesce(events.group_id, members.account_id) as account_id,
        {%- else -%}
        graph.profile_id,
        {%- endif %}
        events.event_at
        {%- for column in needed %},
        events.{{ column }}
        {%- endfor %}
        {%- for currency, in_currency in currencies.items() %}
        {%- for value, amounts in in_currency | groupby('value') %},
        events.{{ amounts[0].amount }} * case
            when coalesce(nullif(upper(events.currency), ''), '{{ currency }}') = '{{ currency }}' then 1
            else rates_{{ currency | lower }}.rate
        end as {{ value }}
        {%- endfor %}
        {%- endfor %}
        {%- if in_session %},
        starts.started_at as session_started_at
        {%- endif %}
    from {{ relation_of(event) }} as events
    {%- if per == 'account_id' %}
    {#- Few people belong to an account: the graph is not joined to all events. #}
    left join (
        select
            graph.identifier,
            memberships.account_id
        from {{ relation_of('identity_graph') }} as graph
        inner join {{ relation_of('account_memberships') }} as memberships on graph.profile_id = memberships.profile_id
    ) as members on events.group_id is null and events.identifier = members.identifier
    {%- endif %}
    {%- if per == 'profile_id' %}
    inner join {{ cdi.due_identifiers() if is_partial else relation_of('identity_graph') }} as graph
        on events.identifier = graph.identifier
    {%- elif in_session %}
    left join {{ relation_of('identity_graph') }} as graph on events.identifier = graph.identifier
    {%- endif %}
    {%- for currency in currencies %}
    left join {{ relation_of('exchange_rates') }} as rates_{{ currency | lower }}
        on upper(events.currency) = rates_{{ currency | lower }}.from_currency
        and rates_{{ currency | lower }}.to_currency = '{{ currency }}'
        and events.event_at >= rates_{{ currency | lower }}.valid_from
        and events.event_at < rates_{{ currency | lower }}.valid_to
    {%- endfor %}
    {%- if in_session %}
    left join {{ relation_of('session_starts') if by_ref else '(' ~ cdi.session_starts_as_of(as_of) ~ ')' }} as starts
        on graph.profile_id = starts.profile_id
    {%- endif %}
    where
        events.event_at <= {{ as_of }}
        {%- if known_by %}
        and events.loaded_at <= {{ known_by }}
        {%- endif %}
        {%- if per == 'account_id' %}
        and coalesce(events.group_id, members.account_id) is not null
        {%- endif %}
{% endmacro %}

{# When each profile's newest session began, as of a moment: later events start others, but move none that began before. #}
{% macro session_starts_as_of(as_of) -%}
    select profile_id, max(started_at) as started_at from {{ cdi.relation_of('sessions') }} where started_at <= {{ as_of }} group by 1
{%- endmacro %}

{# One row per item of a list that events hold. #}
{% macro items_of_events(events, traits, list) %}
    {%- set node = traits[0].node -%}
    {%- set column = cdi.event_properties(node)[list].column -%}
    {%- set items = cdi.item_properties(node, list) %}
    select
        events.*
        {%- for item in items.values() %},
        {{ cdi.typed_property(
            cdi.json_text(cdi.json_array_item(), item.key),
            {'number': 'numeric', 'text': 'string'}.get(item.kind, item.kind)
        ) }} as {{ item.sql }}
        {%- endfor %}
    from {{ events }} as events
    {{ cdi.unnest_json_array('events.' ~ column) }}
{% endmacro %}

{# What holds of the events that a trait counts (SQL); none where all count. #}
{% macro trait_condition(trait, as_of) %}
    {%- set conditions = cdi.window_conditions(trait.window, 'event_at', as_of)
        + (['event_at >= session_started_at'] if trait.in_session else []) + trait.conditions -%}
    {{ return(conditions | join(' and ') if conditions else none) }}
{% endmacro %}

{# A value where a condition holds, else null. #}
{% macro value_where(condition, value) -%}
    {{ 'case when ' ~ condition ~ ' then ' ~ value ~ ' end' if condition else value }}
{%- endmacro %}

{# The traits that one aggregate tells. #}
{% macro totals_of(source, traits, per, as_of) %}
    select
        {{ per }}
        {%- for trait in traits %},
        {{ cdi.trait_aggregate(trait, cdi.trait_condition(trait, as_of)) }} as {{ trait.name }}
        {%- endfor %}
    from {{ source }}
    group by 1
{% endmacro %}

{% macro trait_aggregate(trait, condition) -%}
    {%- set value = cdi.value_where(condition, trait.value or '1') -%}
    {%- if trait.type == 'count' -%}
        {{ 'count(' ~ value ~ ')' if condition else 'count(*)' }}
    {%- elif trait.type == 'sum' -%}
        {#- Wider than what was summed, sums are slow to compute with. -#}
        cast(sum({{ value }}) as numeric(18, 4))
    {%- elif trait.type == 'average' -%}
        {#- Some warehouses give a binary number, which would be rounded to cents in another way. -#}
        cast(avg({{ value }}) as numeric(28, 9))
    {%- elif trait.type in ['minimum', 'maximum'] -%}
        {{ {'minimum': 'min', 'maximum': 'max'}[trait.type] }}({{ value }})
    {%- elif trait.type == 'unique_count' -%}
        count(distinct {{ value }})
    {%- elif trait.type == 'unique_list' -%}
        {{ cdi.json_unique_list(
            '(' ~ cdi.alphabetical(trait.value) ~ ')' if trait.kind == 'text' else trait.value, condition or 'true'
        ) }}
    {%- elif trait.type in ['first', 'last'] -%}
        {%- set aggregate = 'min' if trait.type == 'first' else 'max' -%}
        {%- if trait.value == 'event_at' -%}
            {{ aggregate }}({{ value }})
        {%- else -%}
            {%- set known = trait.value ~ ' is not null' ~ (' and ' ~ condition if condition else '') -%}
            {%- set text = cdi.alphabetical(cdi.sortable_timestamp('event_at') ~ ' || cast(' ~ trait.value ~ ' as ' ~ dbt.type_string() ~ ')') -%}
            {{ cdi.typed_property(
                'substr(' ~ aggregate ~ '(' ~ cdi.value_where(known, text) ~ '), 21)',
                {'number': 'numeric', 'text': 'string'}.get(trait.kind, trait.kind)
            ) }}
        {%- endif -%}
    {%- elif trait.type == 'time_between' -%}
        {#- The mean of the days between an event and the next: how far the ends are apart, by how many steps. -#}
        {%- set at = cdi.value_where(condition, 'event_at') -%}
        cast(
            {{ dbt.datediff('min(' ~ at ~ ')', 'max(' ~ at ~ ')', 'second') }}
            / nullif((count({{ at }}) - 1) * 86400.0, 0) as numeric(28, 9)
        )
    {%- endif -%}
{%- endmacro %}

{# How often each value of a property was seen, for some traits: count_<trait>, and weight_<trait> where one is given. #}
{% macro values_seen(source, traits, per, as_of) %}
    {%- set conditions = [] %}
    select
        {{ per }},
        cast({{ traits[0].value }} as {{ dbt.type_string() }}) as value
        {%- for trait in traits %}
        {%- set condition = cdi.trait_condition(trait, as_of) -%}
        {%- do conditions.append(condition) %},
        count({{ cdi.value_where(condition, '1') }}) as count_{{ trait.name }}
        {%- if trait.weight %},
        coalesce(sum({{ cdi.value_where(condition, trait.weight) }}), 0) as weight_{{ trait.name }}
        {%- endif %}
        {%- endfor %}
    from {{ source }}
    where
        {{ traits[0].value }} is not null
        {%- if none not in conditions %}
        and ({{ conditions | unique | join(' or ') }})
        {%- endif %}
    group by 1, 2
{% endmacro %}

{# The value that was seen most often; of those that were seen equally often the first of the alphabet. #}
{% macro values_seen_most(seen, traits, per) %}
    select
        {{ per }}
        {%- for trait in traits %}
        {%- set often = 'cast(weight_' ~ trait.name ~ ' * 10000 as ' ~ dbt.type_bigint() ~ ')' if trait.weight
            else 'count_' ~ trait.name %},
        {{ cdi.typed_property(
            cdi.most_by('value', often, 'count_' ~ trait.name ~ ' >= ' ~ trait.minimum_sightings),
            {'number': 'numeric', 'text': 'string'}.get(trait.kind, trait.kind)
        ) }} as {{ trait.name }}
        {%- endfor %}
    from {{ seen }}
    group by 1
{% endmacro %}

{# The most days (weeks from Monday) in a row with an event; current: of the row that the last two days are part of. #}
{% macro streak_of(source, trait, per, as_of) %}
    {%- set condition = cdi.trait_condition(trait, as_of) -%}
    {%- set unit = 'cast(event_at as date)' if trait.unit == 'day' else cdi.monday('event_at') -%}
    {%- set length = 1 if trait.unit == 'day' else 7 %}
    select
        {{ per }},
        max(streak) as {{ trait.name }}
    from (
        select
            {{ per }},
            max(place) - min(place) + 1 as streak,
            max(active_on) as last_active_on
        from (
            select
                {{ per }},
                active_on,
                place,
                {{ dbt.dateadd('day', '-' ~ length ~ ' * place', 'active_on') }} as started_before
            from (
                select
                    {{ per }},
                    active_on,
                    dense_rank() over (partition by {{ per }} order by active_on) as place
                from (
                    select
                        {{ per }},
                        cast({{ unit }} as date) as active_on
                    from {{ source }}
                    {%- if condition %}
                    where {{ condition }}
                    {%- endif %}
                ) as active
            ) as placed
        ) as numbered
        group by {{ per }}, started_before
    ) as streaks
    {%- if trait.current %}
    where last_active_on >= {{ dbt.dateadd('day', -1 * length, 'cast(' ~ ('cast(' ~ as_of ~ ' as date)' if trait.unit == 'day' else cdi.monday(as_of)) ~ ' as date)') }}
    {%- endif %}
    group by 1
{% endmacro %}
