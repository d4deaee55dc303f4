{#
  What stands between the identifiers of one row of text: no value holds it. Source: ASCII, unit separator.
#}
{% macro identifier_separator() -%} chr(31) {%- endmacro %}

{#
  All columns of a relation in the shape of events, and `identifiers`: every identifier the event carries as
  'type:value', strongest first, with the separator between them; null where it carries none. The rules say where they
  are read from, how they are made comparable and what is blocked.
#}
{% macro select_identifiers(relation) %}
    {%- set rules = cdi.identifier_rules() -%}
    {%- set paths = {'properties': {}, 'traits': {}, 'context': {}} -%}
    {%- set external_ids = cdi.found_at('context.externalIds') -%}
    {%- for type in rules.types -%}
        {%- for source in type.sources -%}
            {%- for place in [source] + source.conditions if '.' in place.path -%}
                {%- set column = place.path.split('.')[0] -%}
                {%- if column not in paths -%}
                    {{ exceptions.raise_compiler_error(
                        "seeds/identifier_sources.csv: the path '" ~ place.path
                        ~ "' does not begin with properties, traits or context, and is no column of events"
                    ) }}
                {%- endif -%}
                {%- do paths[column].update({cdi.found_at(place.path): place.path.split('.')[1:] | join('.')}) -%}
            {%- endfor -%}
        {%- endfor -%}
    {%- endfor -%}
    select
        found.*,
        nullif(substr(
            {%- for type in rules.types %}
            {%- for source in type.sources %}
            {{ cdi.identifier_text(type, cdi.identifier_value(type, source)) }} ||
            {%- endfor %}
            coalesce({{ cdi.external_identifiers(type, external_ids) }}, '') {{- ' ||' if not loop.last }}
            {%- endfor %},
            2
        ), '') as identifiers
    from (
        select
            *
            {%- for column, texts in paths.items() %}
            {%- set objects = {external_ids: 'externalIds'} if column == 'context' else {} %}
            {%- if texts or objects %},
        {{ cdi.json_columns('personal_traits' if column == 'traits' else column, texts=texts, objects=objects) }}
            {%- endif %}
            {%- endfor %}
        from (
            select
                *,
                -- The traits of a group call are the account's: its e-mail address and phone are nobody's.
                case when type = 'group' then null else traits end as personal_traits
            from {{ relation }}
        ) as personal
    ) as found
{% endmacro %}

{# The column that holds what was found at a path. #}
{% macro found_at(path) -%}
    {{ return('found_' ~ modules.re.sub('[^a-z0-9]+', '_', path | lower)) }}
{%- endmacro %}

{# The SQL of what is read from one place: null where the place's conditions do not hold. #}
{% macro identifier_value(type, source) -%}
    {%- set place = cdi.found_at(source.path) if '.' in source.path else source.path -%}
    {%- if source.conditions -%}
        case
            when {% for condition in source.conditions -%}
                {{ cdi.found_at(condition.path) if '.' in condition.path else condition.path }}
                = '{{ dbt.escape_single_quotes(condition.value) }}'
                {{- ' and ' if not loop.last }}
            {%- endfor %} then {{ place }}
        end
    {%- else -%}
        {{ place }}
    {%- endif -%}
{%- endmacro %}

{# A value as separator || type:value; '' where it is none, blocked, or longer than any identifier is (500). #}
{% macro identifier_text(type, expression) -%}
    case when {{ cdi.is_identifier(type, expression) }}
        then {{ cdi.identifier_separator() }} || '{{ type.type }}:' || {{ cdi.normalised_identifier(type, expression) }}
        else '' end
{%- endmacro %}

{# Whether a value counts as an identifier of its type. #}
{% macro is_identifier(type, expression) -%}
    {%- set comparable = 'lower(trim(' ~ expression ~ '))' -%}
    length({{ expression }}) <= 500
    {%- if type.exact %}
        and {{ comparable }} not in (
            {%- for value in type.exact -%}
                '{{ dbt.escape_single_quotes(value | lower) }}'{{ ', ' if not loop.last }}
            {%- endfor -%}
        )
    {%- endif %}
    and not ({{ cdi.regexp_like(comparable, (['^$'] + type.patterns) | join('|')) }})
{%- endmacro %}

{# A value as it is compared. #}
{% macro normalised_identifier(type, expression) -%}
    {%- set trimmed = 'trim(replace(' ~ expression ~ ', ' ~ cdi.identifier_separator() ~ ", ' '))" -%}
    {%- if type.normalisation == 'lower_case' -%}
        lower({{ trimmed }})
    {%- elif type.normalisation == 'phone' -%}
        {{ cdi.regexp_replace_all(cdi.regexp_replace_all(expression, '[^0-9+]', ''), '^00', '+') }}
    {%- else -%}
        {{ trimmed }}
    {%- endif -%}
{%- endmacro %}

{#
  The values of one type in context.externalIds, as identifier_text gives them, one after the other; null without any.
  Source: Segment spec, "Identity Resolution Externalids": [{id, type, collection: users, encoding: none}].
#}
{% macro external_identifiers(type, external_ids) -%}
    {%- set item = cdi.json_list_item() -%}
    {{ cdi.json_list_text(
        external_ids,
        "case when " ~ cdi.json_text(item, 'type') ~ " = '" ~ type.type ~ "'"
        ~ " and coalesce(" ~ cdi.json_text(item, 'collection') ~ ", 'users') = 'users'"
        ~ " and coalesce(" ~ cdi.json_text(item, 'encoding') ~ ", 'none') = 'none'"
        ~ " then " ~ cdi.identifier_text(type, cdi.json_text(item, 'id')) ~ " end"
    ) }}
{%- endmacro %}

{# The strongest of `identifiers`. #}
{% macro strongest_identifier(identifiers='identifiers') -%}
    {{ dbt.split_part(identifiers, cdi.identifier_separator(), 1) }}
{%- endmacro %}

{# The type of an identifier 'type:value', and its value: types hold no colon. #}
{% macro identifier_type(identifier) -%}
    substr({{ identifier }}, 1, {{ dbt.position("':'", identifier) }} - 1)
{%- endmacro %}

{% macro identifier_value_of(identifier) -%}
    substr({{ identifier }}, {{ dbt.position("':'", identifier) }} + 1)
{%- endmacro %}
