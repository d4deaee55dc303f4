{# Spans of time in definitions: '90 days', '2160 hours', '30 minutes', '2 weeks'. #}

{# A span in seconds; none where the text is no span. #}
{% macro seconds_of(span) %}
    {%- set found = modules.re.match('^\\s*([0-9]+)\\s*(minute|hour|day|week)s?\\s*$', span | string) -%}
    {%- if not found -%}{{ return(none) }}{%- endif -%}
    {%- set units = {'minute': 60, 'hour': 3600, 'day': 86400, 'week': 604800} -%}
    {{ return((found.group(1) | int) * units[found.group(2)]) }}
{% endmacro %}

{#
  A definition's window, {from, to}: seconds before as_of, from the farther end (none: everything) to the nearer one.

  within: a span back from as_of; between: two spans, nearer first. What is wrong is added to `problems`.
#}
{% macro window_of(definition, place, problems) %}
    {%- set window = {'from': none, 'to': 0} -%}
    {%- set within, between = definition.get('within'), definition.get('between') -%}
    {%- if within is not none and between is not none -%}
        {%- do problems.append(place ~ ': within and between exclude each other') -%}
    {%- elif within is not none and within != 'session' -%}
        {%- do window.update({'from': cdi.seconds_of(within)}) -%}
        {%- if not window['from'] -%}
            {%- do problems.append(place ~ ": within '" ~ within ~ "' is no span such as 90 days or 36 hours") -%}
        {%- endif -%}
    {%- elif between is not none -%}
        {%- set ends = [none, none] if between is string or between is not sequence or between | length != 2
            else [cdi.seconds_of(between[0]), cdi.seconds_of(between[1])] -%}
        {%- if none in ends or ends[0] >= ends[1] -%}
            {%- do problems.append(
                place ~ ': between ' ~ tojson(between) ~ ' is no pair of spans, the nearer first, such as [30 days, 60 days]'
            ) -%}
        {%- else -%}
            {%- do window.update({'from': ends[1], 'to': ends[0]}) -%}
        {%- endif -%}
    {%- endif -%}
    {{ return(window) }}
{% endmacro %}

{# The conditions that a moment lies in a window before as_of (SQL): after its farther end, and not after its nearer. #}
{% macro window_conditions(window, moment, as_of) %}
    {%- set conditions = [] -%}
    {%- if window['from'] is not none -%}
        {%- do conditions.append(moment ~ ' > ' ~ dbt.dateadd('second', -1 * window['from'], as_of) | trim) -%}
    {%- endif -%}
    {%- if window['to'] > 0 -%}
        {%- do conditions.append(moment ~ ' <= ' ~ dbt.dateadd('second', -1 * window['to'], as_of) | trim) -%}
    {%- endif -%}
    {{ return(conditions) }}
{% endmacro %}

{# Whole days of 24 hours from a moment to another, both SQL. #}
{% macro days_between(earlier, later) -%}
    cast(floor({{ dbt.datediff(earlier, later, 'second') }} / 86400.0) as {{ dbt.type_int() }})
{%- endmacro %}
