{# {column name: JSON path in an event's context} of consent categories. #}
{% macro consent_paths(categories) %}
    {% set paths = {} %}
    {% for category in categories %}
        {% do paths.update({category | lower: 'consent.categoryPreferences.' ~ category}) %}
    {% endfor %}
    {{ return(paths) }}
{% endmacro %}

{#
  A condition for the where clause of an activation model: the person has not refused any category that the tool needs
  (seeds/consent_categories.csv). Somebody who never chose may be sent: no consent object means that data flows.
  Source: Segment, "Consent in Segment".
#}
{% macro consent_allows(tool, profile_id='profile_id') -%}
    not exists (
        select 1
        from {{ ref('profile_consent') }} as choices
        inner join {{ ref('consent_categories') }} as needed on choices.category = needed.category
        where
            needed.tool = '{{ tool }}'
            and choices.profile_id = {{ profile_id }}
            and not choices.is_granted
    )
{%- endmacro %}
