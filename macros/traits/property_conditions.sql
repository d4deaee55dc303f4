{#
  The conditions on properties that traits and audiences know: operator -> the kind of property it takes.
  They are Segment's; a negative one also holds where the property is missing.
#}
{% macro property_operators() %}
    {{ return({
        'equals': 'any', 'not_equals': 'any', 'less_than': 'number', 'greater_than': 'number', 'at_most': 'number',
        'at_least': 'number', 'contains': 'text', 'does_not_contain': 'text', 'starts_with': 'text',
        'ends_with': 'text', 'exists': 'any', 'does_not_exist': 'any', 'before': 'timestamp', 'after': 'timestamp',
        'one_of': 'any', 'contains_one_of': 'text',
    }) }}
{% endmacro %}

{#
  A list of SQL conditions from a mapping {property: value or {operator: value, ...}}.

  columns: {property: {sql, kind}} of what may be named (see event_properties). What is wrong is added to `problems`.
#}
{% macro property_conditions(where, columns, place, problems) %}
    {%- set conditions = [] -%}
    {%- if where is not mapping -%}
        {%- do problems.append(place ~ ': where is no mapping of properties to conditions') -%}
        {{ return([]) }}
    {%- endif -%}
    {%- for property, wanted in where.items() -%}
        {%- set column = columns.get(property) -%}
        {%- if column is none -%}
            {%- do problems.append(place ~ ": '" ~ property ~ "' is no property here; known are " ~ columns | join(', ')) -%}
        {%- else -%}
            {%- for operator, value in (wanted if wanted is mapping else {'equals': wanted}).items() -%}
                {%- do conditions.append(
                    cdi.property_condition(column.sql, column.kind, operator, value, place ~ ', ' ~ property, problems)
                ) -%}
            {%- endfor -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(conditions) }}
{% endmacro %}

{# One condition as SQL, never null. kind: text, number, boolean, timestamp or json. #}
{% macro property_condition(sql, kind, operator, value, place, problems) %}
    {%- set takes = cdi.property_operators().get(operator) -%}
    {%- if takes is none -%}
        {%- do problems.append(
            place ~ ": '" ~ operator ~ "' is no condition; there are " ~ cdi.property_operators() | join(', ')
        ) -%}
        {{ return('false') }}
    {%- elif kind == 'json' and takes != 'text' and operator not in ['exists', 'does_not_exist'] -%}
        {%- do problems.append(place ~ ": '" ~ operator ~ "' does not go with a list or an object") -%}
        {{ return('false') }}
    {%- elif takes not in ['any', kind] and not (kind == 'json' and takes == 'text')
        and not (takes == 'timestamp' and kind == 'text') -%}
        {%- do problems.append(place ~ ": '" ~ operator ~ "' needs a " ~ takes ~ ', and this is a ' ~ kind) -%}
        {{ return('false') }}
    {%- endif -%}
    {%- if operator in ['exists', 'does_not_exist'] -%}
        {%- if value is not boolean -%}
            {%- do problems.append(place ~ ', ' ~ operator ~ ': say true or false') -%}
        {%- endif -%}
        {{ return(sql ~ (' is not null' if (operator == 'exists') == value else ' is null')) }}
    {%- endif -%}
    {%- set is_list = operator in ['one_of', 'contains_one_of'] -%}
    {%- if is_list != (value is sequence and value is not string and value is not mapping) or (is_list and not value) -%}
        {%- do problems.append(place ~ ', ' ~ operator ~ ': needs ' ~ ('a list of values' if is_list else 'one value')) -%}
        {{ return('false') }}
    {%- endif -%}
    {%- set literals = [] -%}
    {%- set literal_kind = 'text' if takes == 'text' else ('timestamp' if takes == 'timestamp' else kind) -%}
    {%- for one in (value if is_list else [value]) -%}
        {%- do literals.append(cdi.value_literal(one, literal_kind, place ~ ', ' ~ operator, problems)) -%}
    {%- endfor -%}
    {%- if kind == 'json' -%}{%- set sql = cdi.json_as_text(sql) -%}{%- endif -%}
    {%- if takes == 'timestamp' and kind == 'text' -%}{%- set sql = cdi.try_timestamp(sql) -%}{%- endif -%}
    {%- set literal = literals[0] -%}
    {%- set signs = {'less_than': '<', 'greater_than': '>', 'at_most': '<=', 'at_least': '>=', 'before': '<',
        'after': '>', 'equals': '='} -%}
    {%- if operator in signs -%}
        {%- set condition = sql ~ ' ' ~ signs[operator] ~ ' ' ~ literal -%}
    {%- elif operator == 'not_equals' -%}
        {{ return('coalesce(' ~ sql ~ ' <> ' ~ literal ~ ', true)') }}
    {%- elif operator == 'one_of' -%}
        {%- set condition = sql ~ ' in (' ~ literals | join(', ') ~ ')' -%}
    {%- elif operator == 'starts_with' -%}
        {%- set condition = 'substr(' ~ sql ~ ', 1, ' ~ (value | string) | length ~ ') = ' ~ literal -%}
    {%- elif operator == 'ends_with' -%}
        {%- set condition = dbt.right(sql, (value | string) | length) ~ ' = ' ~ literal -%}
    {%- else -%}
        {%- set found = [] -%}
        {%- for one in literals -%}{%- do found.append(dbt.position(one, sql) ~ ' > 0') -%}{%- endfor -%}
        {%- set condition = '(' ~ found | join(' or ') ~ ')' -%}
        {%- if operator == 'does_not_contain' -%}
            {{ return('coalesce(not ' ~ condition ~ ', true)') }}
        {%- endif -%}
    {%- endif -%}
    {{ return('coalesce(' ~ condition ~ ', false)') }}
{% endmacro %}

{# A value of a definition as a literal of its kind. #}
{% macro value_literal(value, kind, place, problems) %}
    {#- YAML reads a moment without quotes as one in UTC. -#}
    {%- if kind == 'timestamp' -%}{%- set value = value | string | replace('+00:00', 'Z') -%}{%- endif -%}
    {%- if kind == 'number' and value is number and value is not boolean -%}
        {{ return(value | string) }}
    {%- elif kind == 'boolean' and value is boolean -%}
        {{ return('true' if value else 'false') }}
    {%- elif kind == 'text' and (value is string or value is number) and value is not boolean -%}
        {{ return("'" ~ dbt.escape_single_quotes(value | string) ~ "'") }}
    {%- elif kind == 'timestamp' and cdi.is_moment(value) -%}
        {{ return("cast('" ~ value.replace('T', ' ').rstrip('Z') ~ "' as " ~ dbt.type_timestamp() ~ ')') }}
    {%- endif -%}
    {%- do problems.append(
        place ~ ': ' ~ value ~ ' is no ' ~ kind ~ (' such as 2026-11-30 or 2026-11-30T12:00:00Z' if kind == 'timestamp' else '')
    ) -%}
    {{ return('null') }}
{% endmacro %}

{# Whether a text is a day or a moment in UTC that there is, ISO 8601. #}
{% macro is_moment(text) %}
    {%- set found = modules.re.match(
        '^([12][0-9]{3})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])([T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?Z?)?$', text
    ) -%}
    {%- if not found -%}{{ return(false) }}{%- endif -%}
    {#- Where a month has no such day, counting on from its first leads into the next. -#}
    {%- set year, month, day = found.group(1) | int, found.group(2) | int, found.group(3) | int -%}
    {{ return((modules.datetime.date(year, month, 1) + modules.datetime.timedelta(days=day - 1)).month == month) }}
{% endmacro %}

{#
  {name: {sql, kind, data_type}} of what may be asked about the events of a model: its columns, by their name and by
  the property they are read from. sql names the column as it is in a step of the model's events.
#}
{% macro event_properties(node) %}
    {{ return(dict(cdi.once('properties of ' ~ node.name, cdi.read_event_properties, [node], of_graph=true))) }}
{% endmacro %}

{% macro read_event_properties(node) %}
    {%- set found = {} -%}
    {%- for column in node.columns.values() -%}
        {%- set property = {
            'sql': column.name, 'column': column.name, 'data_type': column.data_type,
            'kind': cdi.kind_of(column.data_type),
        } -%}
        {%- do found.update({column.name: property}) -%}
        {%- set path = cdi.column_meta(column).get('property') -%}
        {%- if path -%}{%- do found.update({path: property}) -%}{%- endif -%}
    {%- endfor -%}
    {{ return(found) }}
{% endmacro %}

{# The same for the items of a list: products[].brand, from the column's nested rules. #}
{% macro item_properties(node, list_path) %}
    {%- set found = {} -%}
    {%- for column in node.columns.values() -%}
        {%- set meta = cdi.column_meta(column) -%}
        {%- if meta.get('property') == list_path -%}
            {%- for path, rules in (meta.get('nested') or {}).items() if path.startswith(list_path ~ '[].') -%}
                {%- set key = path[list_path | length + 3:] -%}
                {%- set kind = {'number': 'number', 'integer': 'number', 'boolean': 'boolean', 'timestamp': 'timestamp'}.get(
                    rules.get('type'), 'text'
                ) -%}
                {%- do found.update({path: {
                    'sql': 'item_' ~ key | replace('.', '_'), 'key': key, 'kind': kind, 'column': column.name,
                }}) -%}
            {%- endfor -%}
        {%- endif -%}
    {%- endfor -%}
    {{ return(found) }}
{% endmacro %}

{# The kind of property that a column of a data type holds. #}
{% macro kind_of(data_type) %}
    {%- set data_type = (data_type or 'string') | lower -%}
    {%- if data_type.startswith('numeric') or data_type in ['integer', 'bigint', 'int', 'float', 'double'] -%}
        {{ return('number') }}
    {%- elif data_type in ['boolean', 'timestamp'] -%}
        {{ return(data_type) }}
    {%- elif data_type == cdi.type_json() and data_type != 'string' -%}
        {{ return('json') }}
    {%- endif -%}
    {{ return('text') }}
{% endmacro %}
