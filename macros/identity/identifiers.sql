{#
  All columns of a relation in the shape of events, and one column `identifier_<type>` for each type of
  var('identifier_types'): the first value found, trimmed (e-mails in lower case), null where it is blocked.
#}
{% macro select_identifiers(relation) %}
    {%- set paths = {'properties': {}, 'traits': {}, 'context': {}} -%}
    {%- for identifier in var('identifier_types') -%}
        {%- for place in identifier.from if '.' in place -%}
            {%- do paths[place.split('.')[0]].update({
                'found_' ~ place | replace('.', '_'): place.split('.')[1:] | join('.')
            }) -%}
        {%- endfor -%}
    {%- endfor -%}
    select
        found.*,
        {%- for identifier in var('identifier_types') %}
        {%- set values = [] -%}
        {%- for place in identifier.from -%}
            {%- do values.append(cdi.normalised_identifier(
                identifier.type, 'found_' ~ place | replace('.', '_') if '.' in place else place
            )) -%}
        {%- endfor %}
        {{ values[0] if values | length == 1 else 'coalesce(' ~ values | join(', ') ~ ')' }}
            as identifier_{{ identifier.type }}{{ ',' if not loop.last }}
        {%- endfor %}
    from (
        select
            *
            {%- for column, texts in paths.items() if texts %},
        {{ cdi.json_columns(column, texts=texts) }}
            {%- endfor %}
        from {{ relation }}
    ) as found
{% endmacro %}

{# A value as it is compared: trimmed, e-mails in lower case, null where it is blocked or empty. #}
{% macro normalised_identifier(type, expression) -%}
    {%- set trimmed = 'trim(' ~ expression ~ ')' if type != 'email' else 'lower(trim(' ~ expression ~ '))' -%}
    case when not ({{ cdi.regexp_like('lower(trim(' ~ expression ~ '))', var('blocked_identifiers') | join('|')) }})
        then {{ trimmed }} end
{%- endmacro %}

{# The strongest identifier of a row of select_identifiers as 'type:value'; null where it has none. #}
{% macro strongest_identifier() -%}
    case
        {%- for identifier in var('identifier_types') %}
        when identifier_{{ identifier.type }} is not null
            then '{{ identifier.type }}:' || identifier_{{ identifier.type }}
        {%- endfor %}
    end
{%- endmacro %}
