{#
  What an audience asks for (docs/audiences.md). Each macro returns a condition: a plain mapping, so that conditions nest
  and the manifest carries them (config.meta.audience).
#}

{# Did an event: at_least=1 unless at_most=0 or exactly says otherwise; within='30 days', between=['30 days', '60 days']. #}
{% macro did(event, at_least=none, at_most=none, exactly=none, within=none, between=none, where={}) %}
    {{ return(cdi.condition('did', {
        'event': event, 'at_least': at_least, 'at_most': at_most, 'exactly': exactly, 'within': within,
        'between': between, 'where': where,
    })) }}
{% endmacro %}

{# Did not do an event, ever or in a window. #}
{% macro did_not(event, within=none, between=none, where={}) %}
    {{ return(cdi.condition('did_not', {'event': event, 'within': within, 'between': between, 'where': where})) }}
{% endmacro %}

{#
  A trait, that is a column of `profiles`, is so: trait('count_orders', at_least=2), trait('country', one_of=['AT', 'DE']);
  of moments also within='30 days', not_within='30 days' and more_than_ago='30 days'.
#}
{% macro trait(name) %}
    {{ return(cdi.condition('trait', {'trait': name, 'operators': kwargs})) }}
{% endmacro %}

{# Is in another audience: a model with a profile_id. dbt refuses audiences that ask for each other. #}
{% macro in_audience(name) %}{{ return(cdi.condition('in_audience', {'audience': name})) }}{% endmacro %}

{% macro not_in_audience(name) %}{{ return(cdi.condition('not_in_audience', {'audience': name})) }}{% endmacro %}

{% macro all_of(conditions) %}{{ return({'condition': 'all_of', 'conditions': conditions}) }}{% endmacro %}

{% macro any_of(conditions) %}{{ return({'condition': 'any_of', 'conditions': conditions}) }}{% endmacro %}

{% macro none_of(conditions) %}{{ return({'condition': 'none_of', 'conditions': conditions}) }}{% endmacro %}

{#
  Did one thing after the other: sequence([first('product_added'), then('checkout_started', within='2 days',
  same=['cart_id']), then_not('order_completed', within='2 days', same=['cart_id'])], within='7 days').

  within and between: when the first step happened. Every first step counts, not only the first or last one.
#}
{% macro sequence(steps, within=none, between=none) %}
    {%- if steps is string or steps is mapping or steps is not sequence or not steps -%}
        {{ exceptions.raise_compiler_error(
            model.original_file_path ~ ': ' ~ steps ~ " is no list of steps such as [cdi.first('product_added'), ...]."
        ) }}
    {%- endif -%}
    {%- for step in steps if step is not mapping or 'step' not in step -%}
        {{ exceptions.raise_compiler_error(
            model.original_file_path ~ ': ' ~ step ~ " is no step of a sequence such as cdi.then('order_completed')."
        ) }}
    {%- endfor -%}
    {{ return(cdi.condition('sequence', {'steps': steps, 'within': within, 'between': between})) }}
{% endmacro %}

{# The event that a sequence starts with. #}
{% macro first(event, where={}) %}
    {{ return(cdi.given({'step': 'first', 'event': event, 'where': where})) }}
{% endmacro %}

{#
  The event that comes next: within a span after the step before it; same: properties that are equal there and here, or
  {property: number of the step to compare with}.
#}
{% macro then(event, within=none, same=[], where={}) %}
    {{ return(cdi.given({'step': 'then', 'event': event, 'within': within, 'same': same, 'where': where})) }}
{% endmacro %}

{#
  The event that does not come: before the next step, or, at the end of a sequence, within a span after the last step
  (without one: up to now). At the end the span has to be over, unless wait=false.
#}
{% macro then_not(event, within=none, same=[], where={}, wait=true) %}
    {{ return(cdi.given({
        'step': 'then_not', 'event': event, 'within': within, 'same': same, 'where': where,
        'wait': none if wait is true else wait,
    })) }}
{% endmacro %}

{# A condition with what was given of it, a name that is the same wherever it is asked for, and its sentence. #}
{% macro condition(kind, details) %}
    {%- set condition = {'condition': kind} -%}
    {%- do condition.update(cdi.given(details)) -%}
    {%- do condition.update({
        'name': 'condition_' ~ local_md5(tojson(condition, sort_keys=true))[:10],
        'sentence': cdi.condition_sentence(condition),
    }) -%}
    {{ return(condition) }}
{% endmacro %}

{# A mapping without what was left out. #}
{% macro given(details) %}
    {%- set given = {} -%}
    {%- for key, value in details.items() if value is not none and (value != {}) and (value != []) -%}
        {%- do given.update({key: value}) -%}
    {%- endfor -%}
    {{ return(given) }}
{% endmacro %}

{# The conditions of a tree that are no all_of, any_of or none_of. #}
{% macro leaves_of(conditions) %}
    {%- set leaves = [] -%}
    {%- for condition in conditions -%}
        {%- if 'conditions' in condition -%}
            {%- do leaves.extend(cdi.leaves_of(condition.conditions)) -%}
        {%- else -%}
            {%- do leaves.append(condition) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(leaves) }}
{% endmacro %}

{# Stops where something that should be a list of conditions is none. #}
{% macro require_conditions(conditions, file) %}
    {%- if conditions is string or conditions is mapping or conditions is not sequence -%}
        {{ exceptions.raise_compiler_error(file ~ ': ' ~ conditions ~ ' is no list of conditions.') }}
    {%- endif -%}
    {%- for condition in conditions -%}
        {%- if condition is not mapping or 'condition' not in condition -%}
            {{ exceptions.raise_compiler_error(
                file ~ ': ' ~ condition ~ " is no condition such as cdi.did('order_completed') or"
                ~ " cdi.trait('count_orders', at_least=2)."
            ) }}
        {%- endif -%}
        {%- if 'conditions' in condition -%}
            {%- if not condition.conditions -%}
                {{ exceptions.raise_compiler_error(file ~ ': ' ~ condition.condition ~ ' has no conditions.') }}
            {%- endif -%}
            {%- do cdi.require_conditions(condition.conditions, file) -%}
        {%- endif -%}
    {%- endfor -%}
{% endmacro %}
