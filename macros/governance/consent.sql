{# {column name: JSON path in an event's context} of consent categories. #}
{% macro consent_paths(categories) %}
    {% set paths = {} %}
    {% for category in categories %}
        {% do paths.update({category | lower: 'consent.categoryPreferences.' ~ category}) %}
    {% endfor %}
    {{ return(paths) }}
{% endmacro %}

{#
  The rows of an activation model's SQL that its tool may get: `profile_id` is a person that there is, whose data is not
  suppressed, and who has not refused a category that the tool needs (seeds/consent_categories.csv). Whoever ever chose
  must have said yes to each of them; somebody who never chose may be sent. Source: Segment, "Consent in Segment".
#}
{% macro permitted_rows(sql, tool) %}
    {%- set tool = dbt.escape_single_quotes(tool) %}
    select model.*
    from (
        {{ sql }}
    ) as model
    where
        exists (
            select 1 from {{ ref('profile_traits') }} as people where people.profile_id = model.profile_id
        )
        and not exists (
            select 1 from {{ ref('suppressed_profiles') }} as suppressed
            where suppressed.profile_id = model.profile_id
        )
        and not exists (
            select 1
            from (
                select
                    choices.profile_id,
                    count(case when choices.is_granted then needed.category end) as count_granted
                from {{ ref('profile_consent') }} as choices
                left join {{ ref('consent_categories') }} as needed
                    on choices.category = needed.category and needed.tool = '{{ tool }}'
                group by choices.profile_id
            ) as chosen
            where
                chosen.profile_id = model.profile_id
                and chosen.count_granted < (
                    select count(needed.category)
                    from {{ ref('consent_categories') }} as needed
                    where needed.tool = '{{ tool }}'
                )
        )
{% endmacro %}

{# What permitted_rows reads, so that dbt builds it before any activation model: a hook of all of them. #}
{% macro activation_inputs() %}
    {%- do [
        ref('profile_traits'), ref('suppressed_profiles'), ref('profile_consent'), ref('consent_categories')
    ] -%}
{% endmacro %}
