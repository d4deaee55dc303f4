{#
  The rules of the tracking plan as SQL: which rules an event breaks, as text. One item per broken rule; each begins
  with the ASCII record separator and is policy, path, rule and the value seen, with the unit separator between them.
#}
{% macro rule_separator() -%} chr(30) {%- endmacro %}
{% macro rule_field_separator() -%} chr(31) {%- endmacro %}

{# The number of the plan's entry that is about an event; null where none is. Events of which there are several versions
   say theirs in context.protocols.event_version; without one, or with one that is not planned, the newest counts. #}
{% macro plan_number(plans) -%}
    {%- set by_type = {} -%}
    {%- for plan in plans -%}
        {%- do by_type.setdefault(plan.type, {}).setdefault(plan.event, []).append((loop.index, plan)) -%}
    {%- endfor -%}
    {%- if not by_type -%}
        cast(null as {{ dbt.type_int() }})
    {%- else -%}
    case type
        {%- for type, events in by_type.items() %}
        when '{{ type }}' then
            {%- if events.keys() | reject('none') | list %}
            case event
                {%- for event, versions in events.items() if event is not none %}
                when '{{ dbt.escape_single_quotes(event) }}' then {{ cdi.plan_version_number(versions) }}
                {%- endfor %}
                {%- if none in events %}
                else {{ cdi.plan_version_number(events[none]) }}
                {%- endif %}
            end
            {%- else %} {{ cdi.plan_version_number(events[none]) }}
            {%- endif %}
        {%- endfor %}
    end
    {%- endif -%}
{%- endmacro %}

{% macro plan_version_number(versions) -%}
    {%- set newest = versions | selectattr('1.newest') | map(attribute=0) | first -%}
    {%- if versions | length == 1 -%}
        {{ newest }}
    {%- else -%}
        case {{ cdi.event_version() }}
            {%- for number, plan in versions if not plan.newest %} when '{{ plan.version }}' then {{ number }}
            {%- endfor %} else {{ newest }} end
    {%- endif -%}
{%- endmacro %}

{# The version of its plan that an event says it follows. #}
{% macro event_version() -%} {{ cdi.json_text('context', 'protocols.event_version') }} {%- endmacro %}

{# {number of a plan's entry: {column, paths}}: what json_found has to look up. #}
{% macro plan_paths(plans) %}
    {%- set groups = {} -%}
    {%- for plan in plans -%}
        {%- set paths = [] -%}
        {%- for property in plan.properties -%}
            {%- for path in [property.path.split('[]')[0]] + cdi.parent_path(property.path) if path not in paths -%}
                {%- do paths.append(path) -%}
            {%- endfor -%}
        {%- endfor -%}
        {%- do groups.update({loop.index: {'column': plan.json_column, 'paths': paths}}) -%}
    {%- endfor -%}
    {{ return(groups) }}
{% endmacro %}

{# The object that a path's last key lies in, as a list of none or one; inside arrays the array's item is that. #}
{% macro parent_path(path) %}
    {{ return([path.split('.')[:-1] | join('.')] if '.' in path and '[]' not in path else []) }}
{% endmacro %}

{# The broken rules of an event: a relation with plan_number and found is to be in reach. Null where it keeps all. #}
{% macro broken_rules(plans) -%}
    {%- set groups = cdi.plan_paths(plans) -%}
    nullif(
        case
            {%- for plan in plans %}
            {%- set group = groups[loop.index] %}
            {%- set checks = [] %}
            {%- for property in plan.properties %}
                {%- do checks.append(cdi.property_checks(plan, property, group)) %}
            {%- endfor %}
            {%- if plan.unplanned_properties != 'allow' %}
                {%- do checks.append(cdi.unplanned_properties_check(plan)) %}
            {%- endif %}
            {%- set checks = checks | map('trim') | select | list %}
            {%- if checks %}
            when plan_number = {{ loop.index }} then {{ checks | join('\n                || ') }}
            {%- endif %}
            {%- endfor %}
            {%- if var('unplanned_events') != 'allow' %}
            -- What this project itself makes of other systems' records is planned by being written.
            when plan_number is null and type = 'track' and source in ('segment', 'segment_warehouse')
                then {{ cdi.broken_rule(var('unplanned_events'), '', 'unplanned_event', none) }}
            {%- endif %}
            else ''
        end,
        ''
    )
{%- endmacro %}

{# One broken rule as an item of the text; value: SQL, never null. #}
{% macro broken_rule(policy, path, rule, value) -%}
    '{{ '\x1e' ~ policy ~ '\x1f' ~ dbt.escape_single_quotes(path) ~ '\x1f' ~ rule ~ '\x1f' }}'
    {{- ' || ' ~ value if value }}
{%- endmacro %}

{# A value as it is shown to whoever has to mend the event: as in JSON, so that no separator is in it. #}
{% macro seen_value(value, pii) -%}
    {%- if pii -%}
        'masked, ' || cast(length({{ cdi.json_as_text(value) }}) as {{ dbt.type_string() }}) || ' characters'
    {%- else -%}
        substr({{ cdi.json_as_text(value) }}, 1, 100)
    {%- endif -%}
{%- endmacro %}

{# The checks of one property, as text expressions put together; '' where nothing is to be checked. #}
{% macro property_checks(plan, property, group) -%}
    {%- if '[]' in property.path -%}
        {%- set array, rest = property.path.split('[]') -%}
        {%- set item = cdi.json_list_item() -%}
        {%- set value = cdi.json_object_at(item, rest[1:]) if rest else item -%}
        {%- set checks = cdi.value_checks(property, value, none) | trim -%}
        {%- if checks -%}
            coalesce({{ cdi.json_list_text(cdi.json_found_at(group, array), checks) }}, '')
        {%- endif -%}
    {%- else -%}
        {%- set parent = cdi.parent_path(property.path) -%}
        {{ cdi.value_checks(
            property, cdi.json_found_at(group, property.path), cdi.json_found_at(group, parent[0]) if parent else none
        ) }}
    {%- endif -%}
{%- endmacro %}

{% macro value_checks(property, value, parent) -%}
    {%- set found = [] -%}
    {%- for rule, condition in cdi.rule_conditions(property, value, parent).items()
        if property.policies[rule] != 'allow' -%}
        {%- do found.append(
            'case when ' ~ condition ~ ' then ' ~ cdi.broken_rule(
                property.policies[rule], property.path, rule,
                none if rule == 'required' else cdi.seen_value(value, property.pii)
            ) ~ " else '' end"
        ) -%}
    {%- endfor -%}
    {{ found | join(' || ') }}
{%- endmacro %}

{# {rule: SQL that is true where a value breaks it} of a property. A missing value breaks only required. #}
{% macro rule_conditions(property, value, parent) %}
    {%- set conditions = {} -%}
    {%- set types = property.types -%}
    {%- if property.is_required -%}
        {%- do conditions.update({'required': cdi.json_is_type(value, 'null') ~ (
            ' and ' ~ cdi.json_is_type(parent, 'object') if parent else ''
        )}) -%}
    {%- endif -%}
    {%- if 'any' not in types -%}
        {%- set plain = ['null'] + types | reject('in', ['integer', 'timestamp']) | list -%}
        {%- set allowed = [] -%}
        {%- for type in types if type in ['integer', 'timestamp'] -%}
            {%- do allowed.append(' and not ' ~ cdi.json_is_planned_type(value, type)) -%}
        {%- endfor -%}
        {%- do conditions.update({'type': cdi.json_is_type(value, plain, negated=true) ~ allowed | join}) -%}
    {%- endif -%}
    {%- if property.allowed_values is not none -%}
        {%- set values = [] -%}
        {%- for allowed in property.allowed_values -%}
            {%- do values.append(allowed if allowed is string else tojson(allowed)) -%}
        {%- endfor -%}
        {%- do conditions.update({
            'allowed_values': cdi.json_is_type(value, 'null', negated=true) ~ ' and ' ~ cdi.json_value_text(value)
            ~ ' not in (' ~ cdi._text_list(values) ~ ')'
        }) -%}
    {%- endif -%}
    {%- set is_string = cdi.json_is_type(value, 'string') -%}
    {%- if property.pattern is not none -%}
        {%- do conditions.update({
            'pattern': is_string ~ ' and not (' ~ cdi.regexp_like(
                cdi.json_value_text(value), dbt.escape_single_quotes(property.pattern)
            ) ~ ')'
        }) -%}
    {%- endif -%}
    {%- for rule, sign in [('minimum', '<'), ('maximum', '>')] if property[rule] is not none -%}
        {#- A number that is too large to compare is out of every range. -#}
        {%- do conditions.update({
            rule: cdi.json_is_type(value, 'number') ~ ' and coalesce(' ~ cdi.json_value_number(value)
            ~ ' ' ~ sign ~ ' ' ~ property[rule] ~ ', true)'
        }) -%}
    {%- endfor -%}
    {%- for rule, sign in [('min_length', '<'), ('max_length', '>')] if property[rule] is not none -%}
        {%- set length = cdi.json_array_length(value) if 'array' in types
            else 'case when ' ~ is_string ~ ' then length(' ~ cdi.json_value_text(value) ~ ') end' -%}
        {%- do conditions.update({rule: 'coalesce(' ~ length ~ ' ' ~ sign ~ ' ' ~ property[rule] ~ ', false)'}) -%}
    {%- endfor -%}
    {{ return(conditions) }}
{% endmacro %}

{# Whether a value is a whole number, or a text that is a time. #}
{% macro json_is_planned_type(value, type) -%}
    {%- if type == 'integer' -%}
        {%- set number = cdi.json_value_number(value) -%}
        ({{ cdi.json_is_type(value, 'number') }} and coalesce({{ number }} = floor({{ number }}), true))
    {%- else -%}
        (
            {{ cdi.json_is_type(value, 'string') }}
            and {{ cdi.try_timestamp(cdi.json_value_text(value)) }} is not null
        )
    {%- endif -%}
{%- endmacro %}

{# One item per key at the top level that the plan does not know. #}
{% macro unplanned_properties_check(plan) -%}
    {%- set known = [] -%}
    {%- for property in plan.properties -%}
        {%- do known.append(property.path.split('[]')[0].split('.')[0]) -%}
    {%- endfor -%}
    {%- set before = cdi.rule_separator() ~ " || '" ~ plan.unplanned_properties ~ "' || "
        ~ cdi.rule_field_separator() -%}
    {%- set after = cdi.rule_field_separator() ~ " || 'unplanned_property' || " ~ cdi.rule_field_separator() -%}
    coalesce(
        {{ before }} || replace(
            {{ cdi.json_other_keys(plan.json_column, known | unique | list, cdi.rule_separator()) }},
            {{ cdi.rule_separator() }}, {{ after }} || {{ before }}
        ) || {{ after }},
        ''
    )
{%- endmacro %}

{# Whether some broken rule has a policy. #}
{% macro breaks_with(policy, rules='broken_rules') -%}
    {{ dbt.position("'\x1e" ~ policy ~ "\x1f'", rules) }} > 0
{%- endmacro %}

{# The keys of the broken rules whose policy is to drop the property, with the rule separator between them. #}
{% macro dropped_keys(rules='broken_rules') -%}
    {%- set others = cdi.regexp_replace_all(rules, '\\x1e(flag|quarantine)\\x1f[^\\x1e]*', '') -%}
    {%- set drops = 'replace(' ~ others ~ ", 'drop' || " ~ cdi.rule_field_separator() ~ ", '')" -%}
    substr({{ cdi.regexp_replace_all(drops, '\\x1f[^\\x1e]*', '') }}, 2)
{%- endmacro %}

{# The model of the plan's entry that an event was held against, and its version. #}
{% macro plan_names(plans) -%}
    {%- if not plans -%}{{ cdi.null_text() }}{%- else -%}
    case plan_number
        {%- for plan in plans %}
        when {{ loop.index }} then '{{ plan.model }}'
        {%- endfor %}
    end
    {%- endif -%}
{%- endmacro %}

{% macro plan_versions(plans) -%}
    {%- set others = [] -%}
    {%- for plan in plans if plan.version != 1 -%}{%- do others.append((loop.index, plan.version)) -%}{%- endfor -%}
    case {% for number, version in others %}when plan_number = {{ number }} then {{ version }} {% endfor -%}
        when plan_number is not null then 1 end
{%- endmacro %}

{# Who owns the planned event in `planned_event`. #}
{% macro plan_owners(plans) -%}
    {%- set owned = plans | selectattr('owner') | list -%}
    {%- if not owned -%}{{ cdi.null_text() }}{%- else -%}
    case planned_event
        {%- for plan in owned %}
        when '{{ plan.model }}' then '{{ dbt.escape_single_quotes(plan.owner) }}'
        {%- endfor %}
    end
    {%- endif -%}
{%- endmacro %}
