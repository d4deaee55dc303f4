{#
  The tracking plan, read from the YAML of the models in models/events/planned/ (meta.plan on the model, the rules in
  the meta of its columns) and checked: a list, one item per planned event and version, of

    model, type, event, version, newest (whether it is the newest version of its event), owner, unplanned_properties,
    json_column, properties: [{path, name, types, is_required, allowed_values, pattern, minimum, maximum, min_length,
    max_length, pii, policies: {rule: policy}}], columns (the keys it knows at the top level)

  What the words mean is in docs/plan.md. A wrong plan stops the compilation with all that is wrong, each problem with
  its model, column and rule.
#}
{% macro plan() %}
    {%- set problems, plans = [], [] -%}
    {%- for node in graph.nodes.values() | sort(attribute='name')
        if node.resource_type == 'model' and node.config.get('meta', {}).get('plan') is not none -%}
        {%- do plans.append(cdi.planned(node, problems)) -%}
    {%- endfor -%}
    {%- if var('unplanned_events') not in cdi.plan_policies() -%}
        {%- do problems.append(
            "var unplanned_events is '" ~ var('unplanned_events') ~ "', not one of " ~ cdi.plan_policies() | join(', ')
        ) -%}
    {%- endif -%}
    {%- set events = {} -%}
    {%- for plan in plans -%}
        {%- do events.setdefault((plan.type, plan.event), []).append(plan) -%}
    {%- endfor -%}
    {%- for (type, event), versions in events.items() -%}
        {%- for plan in versions | sort(attribute='version', reverse=true) -%}
            {%- do plan.update({'newest': loop.first, 'versions': versions | length}) -%}
            {%- if loop.previtem is defined and loop.previtem.version == plan.version -%}
                {%- do problems.append(
                    plan.model ~ ' and ' ~ loop.previtem.model ~ ' both plan version ' ~ plan.version ~ ' of '
                    ~ type ~ ' ' ~ (event or '')
                ) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- if problems -%}
        {{ exceptions.raise_compiler_error('The tracking plan is wrong. ' ~ problems | join('; ') ~ '.') }}
    {%- endif -%}
    {{ return(plans) }}
{% endmacro %}

{% macro plan_policies() %}{{ return(['allow', 'flag', 'drop', 'quarantine']) }}{% endmacro %}

{% macro plan_json_types() %}
    {{ return(['string', 'number', 'integer', 'boolean', 'timestamp', 'array', 'object', 'any']) }}
{% endmacro %}

{# The rules and the test that their value must pass. #}
{% macro plan_rules() %}
    {{ return({
        'required': 'a boolean', 'type': 'a type', 'allowed_values': 'a list of values', 'pattern': 'a pattern',
        'minimum': 'a number', 'maximum': 'a number', 'min_length': 'a whole number', 'max_length': 'a whole number',
    }) }}
{% endmacro %}

{# One entry of the plan, from the node of its model; what is wrong with it is added to `problems`. #}
{% macro planned(node, problems) %}
    {%- set meta = node.config.meta.plan -%}
    {%- if meta is not mapping -%}
        {%- do problems.append(node.name ~ ': meta.plan is no mapping') -%}
        {{ return({'model': node.name, 'type': '', 'event': none, 'version': 1, 'properties': []}) }}
    {%- endif -%}
    {%- set plan = {
        'model': node.name, 'type': meta.get('type', 'track'), 'event': meta.get('event'),
        'version': meta.get('version', 1), 'owner': meta.get('owner'),
        'unplanned_properties': meta.get('unplanned_properties', 'allow'), 'properties': [],
    } -%}
    {%- do plan.update({'json_column': 'traits' if plan.type in ['identify', 'group'] else 'properties'}) -%}
    {%- set where = node.name ~ ', meta.plan: ' -%}
    {%- for key in meta if key not in ['type', 'event', 'version', 'owner', 'on_violation', 'unplanned_properties'] -%}
        {%- do problems.append(where ~ "'" ~ key ~ "' is nothing a plan has") -%}
    {%- endfor -%}
    {%- if plan.type not in ['track', 'identify', 'page', 'screen', 'group'] -%}
        {%- do problems.append(where ~ "type '" ~ plan.type ~ "' is not one of track, identify, page, screen, group") -%}
    {%- elif plan.type == 'track' and not plan.event -%}
        {%- do problems.append(where ~ 'a track event needs its name as event') -%}
    {%- elif plan.type in ['identify', 'group'] and plan.event -%}
        {%- do problems.append(where ~ plan.type ~ ' calls have no event') -%}
    {%- endif -%}
    {%- if plan.version is not integer or plan.version < 1 -%}
        {%- do problems.append(where ~ "version '" ~ plan.version ~ "' is no whole number from 1") -%}
        {%- do plan.update({'version': 1}) -%}
    {%- endif -%}
    {%- for key in ['on_violation', 'unplanned_properties']
        if meta.get(key, 'flag') not in cdi.plan_policies() -%}
        {%- do problems.append(
            where ~ key ~ " is '" ~ meta[key] ~ "', not one of " ~ cdi.plan_policies() | join(', ')
        ) -%}
    {%- endfor -%}
    {%- for column in node.columns.values() -%}
        {%- set rules = cdi.column_meta(column) -%}
        {%- set place = node.name ~ ', column ' ~ column.name -%}
        {%- set nested = rules.get('nested', {}) -%}
        {%- if rules.get('property') -%}
            {%- set property = cdi.planned_property(
                place, rules.property, rules, cdi.json_type_of(column.data_type), meta, problems
            ) -%}
            {%- do plan.properties.append(property) -%}
            {%- for path, item_rules in (nested.items() if nested is mapping else []) -%}
                {%- if not path.startswith(rules.property) or path[rules.property | length:][:1] not in ['.', '['] -%}
                    {%- do problems.append(place ~ ": nested '" ~ path ~ "' does not lie in " ~ rules.property) -%}
                {%- elif item_rules is not mapping -%}
                    {%- do problems.append(place ~ ": nested '" ~ path ~ "' has no rules") -%}
                {%- else -%}
                    {%- do plan.properties.append(
                        cdi.planned_property(place, path, item_rules, 'any', meta, problems)
                    ) -%}
                {%- endif -%}
            {%- endfor -%}
        {%- else -%}
            {%- for key in rules if key in cdi.plan_rules() or key == 'nested' -%}
                {%- do problems.append(place ~ ": rule '" ~ key ~ "' without meta.property, the path that it is about") -%}
            {%- endfor -%}
        {%- endif -%}
        {%- if nested is not mapping -%}
            {%- do problems.append(place ~ ': nested is no mapping of paths to rules') -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(plan) }}
{% endmacro %}

{# One property of the plan with its defaults filled in. #}
{% macro planned_property(place, path, rules, default_type, plan_meta, problems) %}
    {%- set place = place ~ ('' if path == rules.get('property') else ' (' ~ path ~ ')') -%}
    {%- for key, value in rules.items() -%}
        {%- if key in cdi.plan_rules() -%}
            {%- if not cdi.is_rule_value(key, value) -%}
                {%- do problems.append(
                    place ~ ", rule '" ~ key ~ "': " ~ tojson(value) ~ ' is not ' ~ cdi.plan_rules()[key]
                    ~ (' (' ~ cdi.plan_json_types() | join(', ') ~ ')' if key == 'type' else '')
                ) -%}
            {%- elif key == 'pattern' and cdi.pattern_problem(value) -%}
                {%- do problems.append(place ~ ", rule 'pattern': " ~ value ~ ' ' ~ cdi.pattern_problem(value)) -%}
            {%- endif -%}
        {%- elif key not in ['property', 'pii', 'description', 'on_violation', 'nested'] -%}
            {%- do problems.append(
                place ~ ": unknown rule '" ~ key ~ "', not one of " ~ cdi.plan_rules() | join(', ')
            ) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if path is not string or not modules.re.match('^[^.\\[\\]]+(\\.[^.\\[\\]]+)*(\\[\\](\\.[^.\\[\\]]+)*)?$', path) -%}
        {%- do problems.append(
            place ~ ": '" ~ path ~ "' is no path such as price, address.city or products[].price (one [] at most)"
        ) -%}
    {%- endif -%}
    {%- set given = rules.get('on_violation') -%}
    {%- set by_rule = given if given is mapping else {} -%}
    {%- for rule in by_rule if rule not in cdi.plan_rules() -%}
        {%- do problems.append(place ~ ", on_violation: unknown rule '" ~ rule ~ "'") -%}
    {%- endfor -%}
    {%- set policies = {} -%}
    {%- set otherwise = given if given is string else plan_meta.get('on_violation', 'flag') -%}
    {%- for rule in cdi.plan_rules() -%}
        {%- set policy = by_rule.get(rule, otherwise) -%}
        {%- if policy not in cdi.plan_policies() -%}
            {%- do problems.append(
                place ~ ", on_violation of rule '" ~ rule ~ "': '" ~ policy ~ "' is not one of "
                ~ cdi.plan_policies() | join(', ')
            ) -%}
        {%- elif policy == 'drop' and (rule in by_rule or given is string) and ('.' in path or '[' in path) -%}
            {%- do problems.append(
                place ~ ": only a whole property can be dropped, not a part of it: choose flag or quarantine"
            ) -%}
        {%- endif -%}
        {#- A missing property cannot be dropped, and of a part that breaks a rule the event is only flagged. -#}
        {%- do policies.update({
            rule: 'flag' if policy == 'drop' and (rule == 'required' or '.' in path or '[' in path) else policy
        }) -%}
    {%- endfor -%}
    {%- set types = rules.get('type', default_type) -%}
    {{ return({
        'path': path, 'types': [types] if types is string else types, 'is_required': rules.get('required', false),
        'allowed_values': rules.get('allowed_values'), 'pattern': rules.get('pattern'),
        'minimum': rules.get('minimum'), 'maximum': rules.get('maximum'), 'min_length': rules.get('min_length'),
        'max_length': rules.get('max_length'), 'pii': rules.get('pii', false), 'policies': policies,
    }) }}
{% endmacro %}

{# What is in the meta of a column. #}
{% macro column_meta(column) %}
    {{ return(column.get('config', {}).get('meta') or column.get('meta') or {}) }}
{% endmacro %}

{# The type that a property must have in JSON so that a column of a data type can hold it. #}
{% macro json_type_of(data_type) %}
    {%- set data_type = (data_type or '') | lower -%}
    {%- if data_type.startswith('numeric') -%}
        {{ return('number') }}
    {%- elif data_type in ['boolean', 'timestamp'] -%}
        {{ return(data_type) }}
    {%- elif data_type == cdi.type_json() and data_type != 'string' -%}
        {{ return('any') }}
    {%- endif -%}
    {{ return('string') }}
{% endmacro %}

{# Whether a value is of the kind that a rule takes. #}
{% macro is_rule_value(rule, value) %}
    {%- if rule == 'required' -%}
        {{ return(value is boolean) }}
    {%- elif rule == 'type' -%}
        {%- set types = [value] if value is string else value -%}
        {%- if types is not sequence or types is mapping or not types -%}{{ return(false) }}{%- endif -%}
        {{ return(types | reject('in', cdi.plan_json_types()) | list | length == 0) }}
    {%- elif rule == 'allowed_values' -%}
        {%- if value is string or value is mapping or value is not sequence or not value -%}
            {{ return(false) }}
        {%- endif -%}
        {{ return(value | reject('string') | reject('number') | reject('boolean') | list | length == 0) }}
    {%- elif rule == 'pattern' -%}
        {{ return(value is string) }}
    {%- elif rule in ['min_length', 'max_length'] -%}
        {{ return(value is integer and value is not boolean and value >= 0) }}
    {%- endif -%}
    {{ return(value is number and value is not boolean) }}
{% endmacro %}

{#
  What is wrong with a pattern; '' where nothing is. Only what every warehouse reads alike is taken: groups, |, classes,
  quantifiers, anchors, \d \w \s and escaped punctuation.
#}
{% macro pattern_problem(pattern) %}
    {%- set re = modules.re -%}
    {%- if re.search('[\x00-\x1f]', pattern) -%}{{ return('holds a control character') }}{%- endif -%}
    {%- if '(?' in pattern -%}{{ return('has (?, which not every warehouse knows') }}{%- endif -%}
    {#- Escaped characters first, then classes, each become one plain letter. -#}
    {%- set escaped = re.sub('\\\\([dDwWsS!-/:-@\\[-`{-~])', 'e', pattern) -%}
    {%- if '\\' in escaped -%}{{ return('has an escape other than \\d \\w \\s and punctuation') }}{%- endif -%}
    {%- for content in re.findall('\\[\\^?([^\\]\\[]+)\\]', escaped) -%}
        {%- for first, last in re.findall('(.)-(.)', content) if first > last -%}
            {{ return('has a class whose range runs backwards: ' ~ first ~ '-' ~ last) }}
        {%- endfor -%}
    {%- endfor -%}
    {%- set rest = re.sub('\\[\\^?[^\\]\\[]+\\]', 'c', escaped) -%}
    {%- if '[' in rest or ']' in rest -%}{{ return('has a [ or ] without the other') }}{%- endif -%}
    {%- for least, comma, most in re.findall('\\{([0-9]+)(,?)([0-9]*)\\}', rest)
        if least | int > 255 or (most and (most | int > 255 or most | int < least | int)) -%}
        {{ return('repeats more than 255 times, or counts backwards') }}
    {%- endfor -%}
    {%- set rest = re.sub('\\{[0-9]+(,[0-9]*)?\\}', '*', rest) -%}
    {%- if '{' in rest or '}' in rest -%}{{ return('has a { or } that is no repetition') }}{%- endif -%}
    {%- if re.search('(^|[(|^*+?$])[*+?]', rest) -%}{{ return('repeats nothing') }}{%- endif -%}
    {%- set groups = namespace(rest=rest) -%}
    {%- for _ in range(rest | length) if '(' in groups.rest or ')' in groups.rest -%}
        {%- set groups.rest = re.sub('\\([^()]*\\)', 'g', groups.rest) -%}
    {%- endfor -%}
    {%- if '(' in groups.rest or ')' in groups.rest -%}{{ return('has a ( or ) without the other') }}{%- endif -%}
    {{ return('') }}
{% endmacro %}
