{#
  The steps that find whose events came in the order of a sequence: a list; the last one, <condition>_met, has one row
  per key.

  A row of <condition>_until_<number> is a chain of events that ends with that step. Of events at the same moment each
  may count as the later one, but an event is in a chain once. Chains that differ only in what no later step asks about
  are one.
#}
{% macro sequence_steps(condition, keys, as_of) %}
    {%- set name, all_steps, steps = condition.name, condition.checked_steps, [] -%}
    {%- set happen = all_steps | rejectattr('step', 'equalto', 'then_not') | list -%}
    {%- for step in all_steps[1:] -%}
        {%- do steps.append(cdi.step(name ~ '_events_' ~ step.number, cdi.events_of_step(step, all_steps, keys))) -%}
    {%- endfor -%}
    {%- do steps.append(cdi.step(name ~ '_until_1', cdi.chains_begun(condition, keys, as_of))) -%}
    {%- for step in happen[1:] -%}
        {%- do steps.append(cdi.step(
            name ~ '_until_' ~ step.number, cdi.chains_until(step, happen[loop.index0], condition, keys)
        )) -%}
    {%- endfor -%}
    {%- do steps.append(cdi.step(name ~ '_met', cdi.chains_met(happen | last, condition, keys, as_of))) -%}
    {{ return(steps) }}
{% endmacro %}

{# The events that may be a step, with the columns that it or a later step compares. #}
{% macro events_of_step(step, all_steps, keys) %}
    {%- set columns = step.same | map(attribute='column') | list -%}
    {%- for other in all_steps -%}
        {%- do columns.extend(other.same | selectattr('number', 'equalto', step.number) | map(attribute='other') | list) -%}
    {%- endfor %}
    select{{ ' distinct' if step.counted.list }}
        {{ (keys + ['event_id', 'event_at'] + columns) | unique | join(',\n        ') }}
    from {{ cdi.source_of(step.counted) }}
    {%- if step.counted.conditions %}
    where
        {{ step.counted.conditions | join('\n        and ') }}
    {%- endif %}
{% endmacro %}

{# The chains of one event: the first step. #}
{% macro chains_begun(condition, keys, as_of) %}
    {%- set step = condition.checked_steps[0] -%}
    {%- set wanted = cdi.window_conditions(condition.window, 'event_at', as_of) + step.counted.conditions %}
    select{{ ' distinct' if step.counted.list }}
        {{ keys | join(',\n        ') }},
        event_id,
        event_at
        {%- for item in cdi.remembered(step, condition) %},
        {{ item.source }} as {{ item.column }}
        {%- endfor %}
    from {{ cdi.source_of(step.counted) }}
    {%- if wanted %}
    where
        {{ wanted | join('\n        and ') }}
    {%- endif %}
{% endmacro %}

{#
  What a chain that ends with a step remembers for the steps to come: [{column, number, source, is_event}]. Values that
  a later step compares; and of steps before its last one, where a later step is about the same event, which event it
  was, as long as no time has passed since: only then could it be taken twice.
#}
{% macro remembered(step, condition) %}
    {%- set found = [] -%}
    {%- for earlier in condition.checked_steps if earlier.number <= step.number and earlier.step != 'then_not' -%}
        {%- for later in condition.checked_steps if later.number > step.number -%}
            {%- for same in later.same if same.number == earlier.number -%}
                {%- do found.append({
                    'column': 'value_' ~ earlier.number ~ '_' ~ same.other, 'number': earlier.number,
                    'source': same.other, 'is_event': false,
                }) -%}
            {%- endfor -%}
            {%- if later.counted.event == earlier.counted.event and earlier.number < step.number -%}
                {%- do found.append({
                    'column': 'event_' ~ earlier.number, 'number': earlier.number, 'source': 'event_id',
                    'is_event': true,
                }) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(found | unique(attribute='column') | list) }}
{% endmacro %}

{# The chains that go on with a step, none of whose events in between is one that must not come. #}
{% macro chains_until(step, before, condition, keys) %}
    {%- set unwanted = [] -%}
    {%- for other in condition.checked_steps if before.number < other.number < step.number -%}
        {%- do unwanted.append(other) -%}
    {%- endfor %}
    select distinct
        {%- for key in keys %}
        later.{{ key }},
        {%- endfor %}
        later.event_id,
        later.event_at
        {%- for item in cdi.remembered(step, condition) %},
        {% if item.number == step.number -%}
            later.{{ item.source }}
        {%- elif item.is_event -%}
            case when later.event_at = earlier.event_at then earlier.
            {{- 'event_id' if item.number == before.number else item.column }} end
        {%- else -%}
            earlier.{{ item.column }}
        {%- endif %} as {{ item.column }}
        {%- endfor %}
    from {{ condition.name }}_until_{{ before.number }} as earlier
    inner join {{ condition.name }}_events_{{ step.number }} as later
        on {{ cdi.comes_after('later', step, before, condition, keys) | join('\n        and ') }}
    {%- for other in unwanted %}
    left join {{ condition.name }}_events_{{ other.number }} as unwanted_{{ other.number }}
        on {{ (cdi.comes_after('unwanted_' ~ other.number, other, before, condition, keys) + [
            'unwanted_' ~ other.number ~ '.event_at <= later.event_at',
            'unwanted_' ~ other.number ~ '.event_id <> later.event_id',
        ]) | join('\n        and ') }}
    {%- endfor %}
    {%- for other in unwanted %}
    {{ 'where' if loop.first else '    and' }} unwanted_{{ other.number }}.profile_id is null
    {%- endfor %}
{% endmacro %}

{# Whose chains are complete: nothing came after them that must not come. #}
{% macro chains_met(last, condition, keys, as_of) %}
    {%- set unwanted = [] -%}
    {%- for step in condition.checked_steps if step.number > last.number -%}{%- do unwanted.append(step) -%}{%- endfor -%}
    {%- set wanted = [] -%}
    {%- for step in unwanted -%}
        {%- do wanted.append('unwanted_' ~ step.number ~ '.profile_id is null') -%}
        {%- if step.within is not none and step.wait -%}
            {%- do wanted.append('earlier.event_at <= ' ~ dbt.dateadd('second', -1 * step.within, as_of) | trim) -%}
        {%- endif -%}
    {%- endfor %}
    select distinct
        {% for key in keys -%}
        earlier.{{ key }}{{ ',\n        ' if not loop.last }}
        {%- endfor %}
    from {{ condition.name }}_until_{{ last.number }} as earlier
    {%- for step in unwanted %}
    left join {{ condition.name }}_events_{{ step.number }} as unwanted_{{ step.number }}
        on {{ cdi.comes_after('unwanted_' ~ step.number, step, last, condition, keys) | join('\n        and ') }}
    {%- endfor %}
    {%- if wanted %}
    where
        {{ wanted | join('\n        and ') }}
    {%- endif %}
{% endmacro %}

{# The conditions that an event of a step comes after the chain `earlier`, which ends with the step `before`. #}
{% macro comes_after(event, step, before, condition, keys) %}
    {%- set found = [] -%}
    {%- for key in keys -%}{%- do found.append('earlier.' ~ key ~ ' = ' ~ event ~ '.' ~ key) -%}{%- endfor -%}
    {%- for same in step.same -%}
        {%- do found.append('earlier.value_' ~ same.number ~ '_' ~ same.other ~ ' = ' ~ event ~ '.' ~ same.column) -%}
    {%- endfor -%}
    {%- do found.append('earlier.event_at <= ' ~ event ~ '.event_at') -%}
    {%- if step.within is not none -%}
        {%- do found.append(event ~ '.event_at <= ' ~ dbt.dateadd('second', step.within, 'earlier.event_at') | trim) -%}
    {%- endif -%}
    {%- do found.append('earlier.event_id <> ' ~ event ~ '.event_id') -%}
    {%- for other in condition.checked_steps if other.number < before.number and other.step != 'then_not'
        and other.counted.event == step.counted.event -%}
        {%- do found.append(
            '(earlier.event_' ~ other.number ~ ' is null or earlier.event_' ~ other.number ~ ' <> ' ~ event ~ '.event_id)'
        ) -%}
    {%- endfor -%}
    {{ return(found) }}
{% endmacro %}

{# The spans that have to be over before what must not follow a sequence has not followed it, in seconds. #}
{% macro waits_of(steps) %}
    {%- set spans = [] -%}
    {%- for step in steps -%}
        {%- if step.step != 'then_not' -%}
            {%- set spans = [] -%}
        {%- elif step.within is not none and step.wait -%}
            {%- do spans.append(step.within) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(spans) }}
{% endmacro %}
