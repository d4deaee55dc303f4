{#
  The different conditions of some audiences, checked, each with the SQL pieces it is made of:
    did, did_not: counted (what is counted, see counted_event)
    sequence: steps, a list of {step, counted, within (seconds), same: [{column, number, other}], wait, number}
    trait: nothing more.

  audiences: a list of {file, conditions}. What is wrong stops the compilation; each problem names the audience's file
  and the condition. reads: the models of events that may be asked about; none: any.
#}
{% macro checked_conditions(audiences, reads=none, reads_file=none) %}
    {%- set checked, problems, lacking, known = {}, [], {}, {} -%}
    {%- set traits = cdi.profile_columns() -%}
    {%- for audience in audiences -%}
        {%- for leaf in cdi.leaves_of(audience.conditions) if leaf.name not in checked -%}
            {%- set place = audience.file ~ ', ' ~ leaf.sentence -%}
            {%- set condition = dict(leaf, place=place) -%}
            {%- if leaf.condition in ['did', 'did_not'] -%}
                {%- do condition.update({'counted': cdi.counted_event(leaf, place, problems, known)}) -%}
                {%- do cdi.check_counts(leaf, place, problems) -%}
            {%- elif leaf.condition == 'sequence' -%}
                {%- do condition.update({'checked_steps': cdi.checked_steps(leaf, place, problems, known)}) -%}
                {%- do condition.update({'window': cdi.window_of(cdi.without_session(leaf, place, problems), place, problems)}) -%}
            {%- elif leaf.condition == 'trait' -%}
                {%- do cdi.trait_condition_sql(condition, traits, cdi.as_of(), problems) -%}
            {%- elif cdi.is_without_profiles(cdi.node_of(leaf.audience)) -%}
                {%- do problems.append(place ~ ": '" ~ leaf.audience ~ "' is no audience of people: it has no profile_id") -%}
            {%- endif -%}
            {%- for event in cdi.events_of_condition(condition) if reads is not none and event not in reads -%}
                {%- do lacking.setdefault(event, []).append(audience.file) -%}
            {%- endfor -%}
            {%- do checked.update({leaf.name: condition}) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- for event, files in lacking.items() -%}
        {%- do problems.append(
            files | unique | join(' and ') ~ " asks about '" ~ event ~ "': add it to the reads in " ~ reads_file
        ) -%}
    {%- endfor -%}
    {%- if problems -%}
        {{ exceptions.raise_compiler_error('Wrong audiences. ' ~ problems | unique | join('; ') ~ '.') }}
    {%- endif -%}
    {{ return(checked.values() | list) }}
{% endmacro %}

{# Whether a model is known to have no profile_id. Of one that lists no columns nothing is known. #}
{% macro is_without_profiles(node) %}
    {{ return(
        'account_audience' in node.config.get('meta', {})
        or (node.columns | length > 0 and 'profile_id' not in node.columns)
    ) }}
{% endmacro %}

{# The events that a checked condition asks about. #}
{% macro events_of_condition(condition) %}
    {%- set events = [] -%}
    {%- for counted in cdi.counted_of(condition) if counted.event -%}
        {%- do events.append(counted.event) -%}
    {%- endfor -%}
    {{ return(events | unique | list) }}
{% endmacro %}

{# All that a checked condition counts. #}
{% macro counted_of(condition) %}
    {%- set counted = [condition.counted] if 'counted' in condition else [] -%}
    {%- for step in condition.get('checked_steps', []) -%}{%- do counted.append(step.counted) -%}{%- endfor -%}
    {{ return(counted) }}
{% endmacro %}

{#
  An event with conditions and a window as the trait engine knows them (checked_trait), named by what it counts. Where a
  condition is about the items of a list, an event counts once if one item meets all of them.

  known: what was counted before, by its definition.
#}
{% macro counted_event(definition, place, problems, known) %}
    {%- set where = definition.get('where', {}) -%}
    {%- set trait = {'type': 'count', 'event': definition.event, 'where': where} -%}
    {%- set definition = cdi.without_session(definition, place, problems) -%}
    {%- for key in ['within', 'between'] if key in definition -%}{%- do trait.update({key: definition[key]}) -%}{%- endfor -%}
    {%- set key, problems_before = tojson(trait, sort_keys=true), problems | length -%}
    {%- if key in known -%}{{ return(known[key]) }}{%- endif -%}
    {%- set counted = cdi.checked_trait('count', trait, 'integer', place, problems) -%}
    {%- if counted.node is not none and 'event_id' not in counted.node.columns -%}
        {%- do problems.append(place ~ ": '" ~ counted.event ~ "' has no event_id") -%}
    {%- endif -%}
    {%- do counted.update({
        'name': 'count_' ~ local_md5(tojson([counted.event, counted.window, counted.conditions], sort_keys=true))[:10]
    }) -%}
    {%- if problems | length == problems_before -%}{%- do known.update({key: counted}) -%}{%- endif -%}
    {{ return(counted) }}
{% endmacro %}

{# A definition without within='session', which only traits know. #}
{% macro without_session(definition, place, problems) %}
    {%- if definition.get('within') != 'session' -%}{{ return(definition) }}{%- endif -%}
    {%- do problems.append(place ~ ": within 'session' is no span such as 90 days or 36 hours") -%}
    {%- set rest = {} -%}
    {%- for key, value in definition.items() if key != 'within' -%}{%- do rest.update({key: value}) -%}{%- endfor -%}
    {{ return(rest) }}
{% endmacro %}

{% macro check_counts(leaf, place, problems) %}
    {%- for key in ['at_least', 'at_most', 'exactly'] if key in leaf -%}
        {%- if leaf[key] is not integer or leaf[key] is boolean or leaf[key] < 0 -%}
            {%- do problems.append(place ~ ': ' ~ key ~ ' is no whole number from 0') -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if 'at_least' in leaf and 'at_most' in leaf and leaf.at_least is integer and leaf.at_most is integer
        and leaf.at_least > leaf.at_most -%}
        {%- do problems.append(place ~ ': nobody did it at least ' ~ leaf.at_least ~ ' and at most ' ~ leaf.at_most ~ ' times') -%}
    {%- endif -%}
    {%- if 'exactly' in leaf and ('at_least' in leaf or 'at_most' in leaf) -%}
        {%- do problems.append(place ~ ': exactly excludes at_least and at_most') -%}
    {%- endif -%}
{% endmacro %}

{# The steps of a sequence; see checked_conditions. #}
{% macro checked_steps(leaf, place, problems, known) %}
    {%- set checked = [] -%}
    {%- for step in leaf.steps -%}
        {%- set number = loop.index -%}
        {%- set step_place = place ~ ', step ' ~ number -%}
        {%- if (step.step == 'first') != loop.first -%}
            {%- do problems.append(step_place ~ ': a sequence has one first step, and it comes first') -%}
        {%- endif -%}
        {%- set counted = cdi.counted_event(
            {'event': step.event, 'where': step.get('where', {})}, step_place, problems, known
        ) -%}
        {%- set within = cdi.seconds_of(step.within) if 'within' in step else none -%}
        {%- if 'within' in step and within is none -%}
            {%- do problems.append(step_place ~ ": within '" ~ step.within ~ "' is no span such as 2 days or 36 hours") -%}
        {%- endif -%}
        {%- if step.get('wait', true) is not boolean -%}
            {%- do problems.append(step_place ~ ': wait is true or false') -%}
        {%- endif -%}
        {%- set positive = checked | rejectattr('step', 'equalto', 'then_not') | list -%}
        {%- set same, compared = [], step.get('same', []) -%}
        {%- if compared is string or compared is not iterable -%}
            {%- do problems.append(step_place ~ ": same '" ~ compared ~ "' is no list such as ['cart_id']") -%}
            {%- set compared = [] -%}
        {%- endif -%}
        {%- for property in compared if positive -%}
            {%- set wanted = step.same[property] if step.same is mapping else positive[-1].number -%}
            {%- set other = positive | selectattr('number', 'equalto', wanted) | list -%}
            {%- if not other -%}
                {%- do problems.append(
                    step_place ~ ', same ' ~ property ~ ': ' ~ wanted ~ ' is not the number of a step before it that happens'
                ) -%}
            {%- elif counted.node is not none and other[0].counted.node is not none -%}
                {%- set here = cdi.event_properties(counted.node).get(property) -%}
                {%- set there = cdi.event_properties(other[0].counted.node).get(property) -%}
                {%- if here is none or there is none -%}
                    {%- do problems.append(
                        step_place ~ ": '" ~ property ~ "' is no property of "
                        ~ (counted.event if here is none else other[0].counted.event)
                    ) -%}
                {%- elif here.kind != there.kind or here.kind == 'json' -%}
                    {%- do problems.append(
                        step_place ~ ': ' ~ property ~ ' is a ' ~ here.kind ~ ' of ' ~ counted.event ~ ' and a '
                        ~ there.kind ~ ' of ' ~ other[0].counted.event ~ ', which cannot be the same'
                    ) -%}
                {%- else -%}
                    {%- do same.append({'column': here.sql, 'number': other[0].number, 'other': there.sql}) -%}
                {%- endif -%}
            {%- endif -%}
        {%- endfor -%}
        {%- do checked.append({
            'step': step.step, 'number': number, 'counted': counted, 'within': within, 'same': same,
            'wait': step.get('wait', true),
        }) -%}
    {%- endfor -%}
    {{ return(checked) }}
{% endmacro %}

{# {column: data_type} of `accounts`, as its YAML and that of the traits it joins say. #}
{% macro account_columns() %}
    {%- set columns = {} -%}
    {%- for name in ['account_traits', 'accounts'] -%}
        {%- for column in cdi.node_of(name).columns.values() -%}
            {%- do columns.update({column.name: column.data_type}) -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(columns) }}
{% endmacro %}

{# The SQL of a trait condition over `relation`; never null. traits: {column: data_type}. #}
{% macro trait_condition_sql(condition, traits, as_of, problems, relation='profiles') %}
    {%- if condition.trait not in traits -%}
        {%- do problems.append(
            condition.place ~ ": '" ~ condition.trait ~ "' is no trait; " ~ cdi.names_like(condition.trait, traits)
        ) -%}
        {{ return('false') }}
    {%- elif not condition.get('operators') -%}
        {%- do problems.append(condition.place ~ ': say what the trait has to be, such as equals=true or at_least=2') -%}
    {%- endif -%}
    {%- set column, kind = relation ~ '.' ~ condition.trait, cdi.kind_of(traits[condition.trait]) -%}
    {%- set parts = [] -%}
    {%- for operator, value in condition.get('operators', {}).items() -%}
        {%- if operator in ['within', 'not_within', 'more_than_ago'] -%}
            {%- set seconds = cdi.seconds_of(value) -%}
            {%- if kind != 'timestamp' -%}
                {%- do problems.append(
                    condition.place ~ ": '" ~ operator ~ "' needs a timestamp, and this is a " ~ kind
                ) -%}
            {%- elif not seconds -%}
                {%- do problems.append(
                    condition.place ~ ', ' ~ operator ~ ": '" ~ value ~ "' is no span such as 90 days or 36 hours"
                ) -%}
            {%- else -%}
                {%- set edge = dbt.dateadd('second', -1 * seconds, as_of) | trim -%}
                {%- do parts.append({
                    'within': 'coalesce(' ~ column ~ ' > ' ~ edge ~ ', false)',
                    'not_within': 'coalesce(' ~ column ~ ' <= ' ~ edge ~ ', true)',
                    'more_than_ago': 'coalesce(' ~ column ~ ' <= ' ~ edge ~ ', false)',
                }[operator]) -%}
            {%- endif -%}
        {%- else -%}
            {%- do parts.append(cdi.property_condition(column, kind, operator, value, condition.place, problems)) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(parts | join(' and ') if parts | length == 1 else '(' ~ parts | join(' and ') ~ ')') }}
{% endmacro %}
