{# Conditions as people say them: for comments in compiled SQL, for errors, and for who asks why somebody is in. #}

{% macro condition_sentence(condition) %}
    {%- if condition.condition == 'did' -%}
        {%- set times = [] -%}
        {%- for key, words in {'exactly': 'exactly', 'at_least': 'at least', 'at_most': 'at most'}.items() if key in condition -%}
            {%- do times.append(words ~ ' ' ~ condition[key]) -%}
        {%- endfor -%}
        {%- set sentence = 'did ' ~ condition.event ~ (' ' ~ times | join(', ') ~ ' times' if times else '')
            ~ cdi.details_sentence(condition) -%}
    {%- elif condition.condition == 'did_not' -%}
        {%- set sentence = 'did not ' ~ condition.event ~ cdi.details_sentence(condition) -%}
    {%- elif condition.condition == 'trait' -%}
        {%- set words = [] -%}
        {%- for operator, value in (condition.operators or {}).items() -%}
            {%- do words.append(
                {'within': 'in the last', 'not_within': 'not in the last', 'more_than_ago': 'longer ago than'}.get(
                    operator, operator | replace('_', ' ')
                ) ~ ' ' ~ cdi.value_sentence(value)
            ) -%}
        {%- endfor -%}
        {%- set sentence = condition.trait ~ ' ' ~ words | join(' and ') -%}
    {%- elif condition.condition == 'sequence' -%}
        {%- set steps = [] -%}
        {%- for step in condition.steps -%}
            {%- do steps.append(
                {'first': 'did', 'then': 'then', 'then_not': 'then not'}.get(step.step, '?') ~ ' ' ~ step.event
                ~ (' within ' ~ step.within if 'within' in step else '') ~ cdi.same_sentence(step.get('same'))
                ~ cdi.where_sentence(step.get('where'))
            ) -%}
        {%- endfor -%}
        {%- set sentence = steps | join(', ') ~ cdi.details_sentence(condition) -%}
    {%- else -%}
        {%- set sentence = condition.condition | replace('_', ' ') ~ ' ' ~ condition.audience -%}
    {%- endif -%}
    {{ return(modules.re.sub('\\s+', ' ', sentence)) }}
{% endmacro %}

{% macro details_sentence(condition) %}
    {%- set sentence = '' -%}
    {%- if 'within' in condition -%}
        {%- set sentence = ' in the last ' ~ condition.within -%}
    {%- elif 'between' in condition -%}
        {%- set sentence = ' between ' ~ cdi.value_sentence(condition.between, ' and ') ~ ' ago' -%}
    {%- endif -%}
    {{ return(sentence ~ cdi.where_sentence(condition.get('where'))) }}
{% endmacro %}

{% macro where_sentence(where) %}
    {%- set words = [] -%}
    {%- for property, wanted in (where.items() if where is mapping else []) -%}
        {%- for operator, value in (wanted if wanted is mapping else {'equals': wanted}).items() -%}
            {%- do words.append(
                property ~ ' ' ~ ('' if operator == 'equals' else operator | replace('_', ' ') ~ ' ')
                ~ cdi.value_sentence(value)
            ) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(' with ' ~ words | join(' and ') if words else '') }}
{% endmacro %}

{% macro same_sentence(same) %}
    {%- set words = [] -%}
    {%- for property in ([same] if same is string else same or []) -%}
        {%- do words.append(property ~ (' as in step ' ~ same[property] if same is mapping else '')) -%}
    {%- endfor -%}
    {{ return(' with the same ' ~ words | join(', ') if words else '') }}
{% endmacro %}

{% macro value_sentence(value, joint=' or ') %}
    {%- if value is boolean -%}{{ return(value | string | lower) }}{%- endif -%}
    {{ return(value | join(joint) if value is sequence and value is not string and value is not mapping else value | string) }}
{% endmacro %}
