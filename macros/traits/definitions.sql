{#
  The types of computed traits: what their property must be (none: they have no property), and the keys that they know
  beside type, event, where, within and between. docs/traits.md says what they mean.
#}
{% macro trait_types() %}
    {{ return({
        'count': {'property': none, 'keys': []},
        'sum': {'property': ['number'], 'keys': ['property', 'currency']},
        'average': {'property': ['number'], 'keys': ['property', 'currency']},
        'minimum': {'property': ['number', 'timestamp'], 'keys': ['property', 'currency']},
        'maximum': {'property': ['number', 'timestamp'], 'keys': ['property', 'currency']},
        'first': {'property': ['text', 'number', 'boolean', 'timestamp'], 'keys': ['property']},
        'last': {'property': ['text', 'number', 'boolean', 'timestamp'], 'keys': ['property']},
        'most_frequent': {
            'property': ['text', 'number', 'boolean'], 'keys': ['property', 'minimum_sightings', 'weight']
        },
        'unique_list': {'property': ['text', 'number', 'boolean'], 'keys': ['property']},
        'unique_count': {'property': ['text', 'number', 'boolean', 'timestamp'], 'keys': ['property']},
        'time_between': {'property': none, 'keys': []},
        'streak': {'property': none, 'keys': ['unit', 'current']},
    }) }}
{% endmacro %}

{# The types that are made of other traits of the same model: how many they take. #}
{% macro derived_trait_types() %}
    {{ return({'ratio': 2, 'difference': 2, 'days_since': 1, 'per_month': 2}) }}
{% endmacro %}

{#
  The traits that the YAML of a model declares (meta.trait of its columns), checked: a list of
    {name, type, data_type, place, event, node, list, value, kind, conditions, window, in_session, currency, weight,
     minimum_sightings, unit, current, of}
  where list is the path of the list whose items are counted (none: events are), value the SQL of the property as it is
  in the step with the model's events, conditions a list of SQL, and of the traits that a derived one is made of.

  node: the model's node in the graph. What is wrong stops the compilation, each problem with file, model and column.
#}
{% macro declared_traits(node) %}{{ return(cdi.once('traits of ' ~ node.name, cdi.read_traits, [node], of_graph=true)) }}{% endmacro %}

{% macro read_traits(node) %}
    {%- set traits, problems = [], [] -%}
    {%- set file = (node.patch_path or node.original_file_path).split('://') | last -%}
    {%- for column in node.columns.values() -%}
        {%- set definition = cdi.column_meta(column).get('trait') -%}
        {%- if definition is not none -%}
            {%- set place = file ~ ', ' ~ node.name ~ ', column ' ~ column.name -%}
            {%- do traits.append(cdi.checked_trait(column.name, definition, column.data_type, place, problems)) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set names = traits | map(attribute='name') | list -%}
    {%- for trait in traits -%}
        {%- set place_in_list = loop.index0 -%}
        {%- for other in trait.of if other not in names[:place_in_list] -%}
            {%- do problems.append(trait.place ~ ": '" ~ other ~ "' is no trait of this model that stands before it") -%}
        {%- endfor -%}
        {%- for other in traits[:place_in_list] if other.name in trait.of -%}
            {%- set needed = 'timestamp' if trait.type in ['days_since', 'per_month'] and other.name == trait.of[-1]
                else 'number' -%}
            {%- if cdi.kind_of_trait(other) not in [none, needed] -%}
                {%- do problems.append(trait.place ~ ': ' ~ other.name ~ ' is no ' ~ needed) -%}
            {%- endif -%}
        {%- endfor -%}
        {%- set kind = cdi.kind_of_trait(trait) -%}
        {%- if kind is not none and cdi.kind_of(trait.data_type) not in ['text', kind] -%}
            {%- do problems.append(
                trait.place ~ ': this ' ~ trait.type ~ ' is a ' ~ kind ~ ', which its data_type ' ~ trait.data_type
                ~ ' cannot hold'
            ) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- if not traits and not problems -%}
        {%- do problems.append(file ~ ', ' ~ node.name ~ ': no column has meta.trait') -%}
    {%- endif -%}
    {%- if problems -%}
        {{ exceptions.raise_compiler_error('Wrong traits. ' ~ problems | join('; ') ~ '.') }}
    {%- endif -%}
    {{ return(traits) }}
{% endmacro %}

{# The kind of value that a checked trait is: text, number, boolean, timestamp or json; none where it is wrong. #}
{% macro kind_of_trait(trait) %}
    {%- if trait.type == 'unique_list' -%}{{ return('json') }}{%- endif -%}
    {%- if trait.type in ['first', 'last', 'minimum', 'maximum', 'most_frequent'] -%}{{ return(trait.kind) }}{%- endif -%}
    {{ return('number' if trait.type else none) }}
{% endmacro %}

{# One trait with its defaults filled in; see declared_traits. #}
{% macro checked_trait(name, definition, data_type, place, problems) %}
    {%- set trait = {
        'name': name, 'type': none, 'data_type': data_type, 'place': place, 'event': none, 'node': none, 'list': none,
        'value': none, 'kind': none, 'conditions': [], 'window': {'from': none, 'to': 0}, 'in_session': false,
        'currency': none, 'weight': none, 'minimum_sightings': 1 if definition is mapping and 'weight' in definition else 2, 'unit': 'day', 'current': false, 'of': [],
    } -%}
    {%- if definition is not mapping -%}
        {%- do problems.append(place ~ ': the trait is no mapping') -%}
        {{ return(trait) }}
    {%- endif -%}
    {%- if not data_type -%}{%- do problems.append(place ~ ': a trait needs a data_type') -%}{%- endif -%}
    {#- YAML gives a list or a number as readily as a name. -#}
    {%- set type, problems_before = definition.get('type') | string if 'type' in definition else '', problems | length -%}
    {%- for key in ['event', 'property', 'weight', 'currency'] if definition.get(key, '') is not string -%}
        {%- do problems.append(place ~ ': ' ~ key ~ ' ' ~ tojson(definition[key]) ~ ' is no name') -%}
    {%- endfor -%}
    {%- if problems | length > problems_before -%}{{ return(trait) }}{%- endif -%}
    {%- do trait.update({'type': type}) -%}
    {%- if type in cdi.derived_trait_types() -%}
        {%- set of = definition.get('of', []) -%}
        {%- do trait.update({'of': of if of is sequence and of is not string and of is not mapping else [of]}) -%}
        {%- if trait.of | length != cdi.derived_trait_types()[type] -%}
            {%- do problems.append(
                place ~ ': of names ' ~ cdi.derived_trait_types()[type] ~ ' traits of this model for a ' ~ type
            ) -%}
        {%- endif -%}
        {%- for key in definition if key not in ['type', 'of'] -%}
            {%- do problems.append(place ~ ": '" ~ key ~ "' is nothing that a " ~ type ~ ' has') -%}
        {%- endfor -%}
        {{ return(trait) }}
    {%- endif -%}
    {%- set rules = cdi.trait_types().get(type) -%}
    {%- if rules is none -%}
        {%- do problems.append(
            place ~ ": type '" ~ type ~ "' is not one of "
            ~ (cdi.trait_types() | list + cdi.derived_trait_types() | list) | join(', ')
        ) -%}
        {{ return(trait) }}
    {%- endif -%}
    {%- for key in definition if key not in ['type', 'event', 'where', 'within', 'between'] + rules['keys'] -%}
        {%- do problems.append(place ~ ": '" ~ key ~ "' is nothing that a " ~ type ~ ' has') -%}
    {%- endfor -%}
    {%- do trait.update({
        'window': cdi.window_of(definition, place, problems),
        'in_session': definition.get('within') == 'session',
    }) -%}

    {#- The event, by the name of its model or by its name in the plan. -#}
    {%- set node = cdi.event_node(definition.get('event')) -%}
    {%- if node is none -%}
        {%- do problems.append(
            place ~ ": '" ~ (definition.get('event') or '') ~ "' is no event: neither one of the tracking plan"
            ~ " (models/events/planned) nor a model with identifier, event_at and loaded_at; "
            ~ cdi.names_like(
                definition.get('event', '') | lower | replace(' ', '_'),
                cdi.once('event nodes', cdi.event_nodes, of_graph=true)
            )
        ) -%}
        {{ return(trait) }}
    {%- endif -%}
    {%- do trait.update({'event': node.name, 'node': node}) -%}

    {#- Its property, of the event or of the items of a list. -#}
    {%- set path = definition.get('property') -%}
    {%- set named = ([path] if path else []) + (definition.get('where') or {}) | map('string') | list -%}
    {%- set properties = cdi.event_properties(node) -%}
    {%- for one in named if '[].' in one -%}
        {%- set list_path = one.split('[].')[0] -%}
        {%- if trait.list not in [none, list_path] -%}
            {%- do problems.append(place ~ ': only one list at a time') -%}
        {%- endif -%}
        {%- do trait.update({'list': list_path}) -%}
    {%- endfor -%}
    {%- if trait.list -%}{%- do properties.update(cdi.item_properties(node, trait.list)) -%}{%- endif -%}
    {%- if rules.property is not none -%}
        {%- set property = properties.get(path) -%}
        {%- if property is none -%}
            {%- do problems.append(
                place ~ ": '" ~ (path or '') ~ "' is no property of " ~ node.name ~ '; it has '
                ~ properties | join(', ')
            ) -%}
        {%- elif property.kind not in rules.property -%}
            {%- do problems.append(
                place ~ ': a ' ~ type ~ ' needs a property that is a ' ~ rules.property | join(' or ') ~ ', and ' ~ path
                ~ ' is a ' ~ property.kind
            ) -%}
        {%- else -%}
            {%- do trait.update({'value': property.sql, 'kind': property.kind}) -%}
        {%- endif -%}
    {%- endif -%}
    {%- if definition.get('where') is not none -%}
        {%- do trait.update({
            'conditions': cdi.property_conditions(definition['where'], properties, place, problems)
        }) -%}
    {%- endif -%}

    {#- What only some types have. -#}
    {%- if definition.get('currency') -%}
        {%- if 'currency' not in properties or not modules.re.match('^[A-Z]{3}$', definition.currency | string) -%}
            {%- do problems.append(
                place ~ ': currency is an ISO 4217 code such as EUR, and the event has a property currency'
            ) -%}
        {%- elif trait.list -%}
            {%- do problems.append(place ~ ': currency goes with properties of the event, not of its items') -%}
        {%- elif trait.kind not in [none, 'number'] -%}
            {%- do problems.append(place ~ ': currency goes with amounts, and ' ~ path ~ ' is a ' ~ trait.kind) -%}
        {%- elif trait.kind -%}
            {%- do trait.update({'currency': definition.currency, 'value': trait.value ~ '_in_' ~ definition.currency | lower}) -%}
            {%- do trait.update({'amount': properties[path].sql}) -%}
        {%- endif -%}
    {%- endif -%}
    {%- if definition.get('weight') -%}
        {%- set weight = properties.get(definition.weight) -%}
        {%- if weight is none or weight.kind != 'number' -%}
            {%- do problems.append(place ~ ": weight '" ~ definition.weight ~ "' is no number of " ~ node.name) -%}
        {%- else -%}
            {%- do trait.update({'weight': weight.sql}) -%}
        {%- endif -%}
    {%- endif -%}
    {%- for key, test in {'minimum_sightings': 'whole number', 'current': 'boolean'}.items() if key in definition -%}
        {%- if not ((definition[key] is boolean) if test == 'boolean' else (definition[key] is integer)) -%}
            {%- do problems.append(place ~ ': ' ~ key ~ ' is no ' ~ test) -%}
        {%- endif -%}
        {%- do trait.update({key: definition[key]}) -%}
    {%- endfor -%}
    {%- if trait.minimum_sightings is integer and trait.minimum_sightings < 1 -%}
        {%- do problems.append(place ~ ': minimum_sightings is at least 1') -%}
    {%- endif -%}
    {%- if definition.get('unit', 'day') not in ['day', 'week'] -%}
        {%- do problems.append(place ~ ': unit is day or week') -%}
    {%- endif -%}
    {%- do trait.update({'unit': definition.get('unit', 'day')}) -%}
    {{ return(trait) }}
{% endmacro %}

{#
  The node of an event's model: by the model's name, or by the event's name in the plan (its newest version); none where
  there is none.
#}
{% macro event_node(name) %}{{ return(cdi.once('event nodes', cdi.event_nodes, of_graph=true).get(name)) }}{% endmacro %}

{# {name of a model or of an event of the plan: node} of all that events can be counted of. #}
{% macro event_nodes() %}
    {%- set by_model, by_event = {}, {} -%}
    {%- for node in graph.nodes.values() if node.resource_type == 'model' -%}
        {%- set plan = node.config.get('meta', {}).get('plan') or {} -%}
        {%- if plan or ('identifier' in node.columns and 'event_at' in node.columns and 'loaded_at' in node.columns) -%}
            {%- do by_model.update({node.name: node}) -%}
        {%- endif -%}
        {%- if plan.get('event') and (
            plan.event not in by_event
            or plan.get('version', 1) > (by_event[plan.event].config.meta.plan.get('version') or 1)
        ) -%}
            {%- do by_event.update({plan.event: node}) -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(dict(by_event, **by_model)) }}
{% endmacro %}
