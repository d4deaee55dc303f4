{# What predictions are learned from: features at past moments, and what came after. #}

{# The number of past windows that a prediction is learned from; the last of them it is judged by. #}
{% macro past_windows() %}{{ return(4) }}{% endmacro %}

{#
  The examples of all predictions that are due: a row per profile and moment, and a column label_<prediction> with what came
  true within the window after it, null where the moment is none of the prediction's. Moments lie one window apart, so that
  what is learned from one window is judged by another.
#}
{% macro training_examples() -%}
    {%- do ref('profile_features') -%}
    {%- do ref('prediction_seeds') -%}
    {%- if not execute -%}{{ return('select 1 as profile_id') }}{%- endif -%}
    {%- set due = cdi.due_predictions() -%}
    {%- set predictions, moments, outcomes = [], [], {} -%}
    {%- for prediction in cdi.declared_predictions() if prediction.name in due -%}
        {%- do predictions.append(prediction) -%}
        {%- if prediction.kind in ['lookalike', 'segments'] -%}
            {%- do moments.append(0) -%}
        {%- else -%}
            {%- for number in range(1, cdi.past_windows() + 1) -%}
                {%- do moments.append(number * prediction.within_days) -%}
            {%- endfor -%}
            {%- do outcomes.update({
                'outcomes_' ~ prediction.event ~ '_' ~ prediction.within_days: prediction
            }) -%}
        {%- endif -%}
    {%- endfor %}
with

examples as (
    {% for days in moments | unique | sort %}
    {%- set moment = dbt.dateadd('day', -1 * days, cdi.as_of()) %}
    -- Ids are hashes: the first of them are a fair sample.
    select *
    from (
        select
            features.*,
            {{ days }} as days_ago,
            row_number() over (order by {{ 'seeds.profile_id is null, ' if not days }}features.profile_id) as place
        {%- if days %}
        from (
            {{ cdi.features_as_of(moment) | indent(12) }}
        ) as features
        {%- else %}
        from {{ ref('profile_features') }} as features
        left join (select distinct profile_id from {{ ref('prediction_seeds') }}) as seeds
            on features.profile_id = seeds.profile_id
        {%- endif %}
    ) as numbered
    where place <= {{ var('prediction_training_profiles') }}
    {{ 'union all' if not loop.last }}
    {%- else %}
    select
        features.*,
        0 as days_ago,
        0 as place
    from {{ ref('profile_features') }} as features
    where false
    {%- endfor %}

)

{%- for name, prediction in outcomes.items() %}
{%- set problems = [] -%}
{%- set amount = cdi.checked_trait(
    'revenue', {'type': 'sum', 'event': 'order_completed', 'property': 'revenue', 'currency': 'EUR'}, 'numeric(18, 4)',
    '', problems
) if prediction.event == 'order_completed' else cdi.checked_trait(
    'events', {'type': 'count', 'event': prediction.event}, 'integer', '', problems
) %},

{{ name }} as (

    select
        examples.profile_id,
        examples.days_ago,
        count(events.event_at) as count_events,
        {{ 'coalesce(sum(events.' ~ amount.value ~ '), 0)' if amount.value else 0 }} as revenue
    from examples
    left join (
        {{ cdi.events_of_profiles(prediction.event, [amount], 'profile_id', cdi.as_of(), false, none, false) | trim }}
    ) as events
        on
            examples.profile_id = events.profile_id
            and events.event_at > examples.as_of
            and events.event_at <= {{ dbt.dateadd('day', prediction.within_days, 'examples.as_of') }}
    where examples.days_ago in (
        {%- for number in range(1, cdi.past_windows() + 1) -%}
            {{ number * prediction.within_days }}{{ ', ' if not loop.last }}
        {%- endfor -%}
    )
    group by examples.profile_id, examples.days_ago

)
{%- endfor %}

select
    examples.profile_id,
    examples.as_of,
    examples.days_ago
    {%- for feature in cdi.feature_names() %},
    examples.{{ feature }}
    {%- endfor %}
    {%- for prediction in predictions %}
    {%- set outcome = 'outcomes_' ~ prediction.event ~ '_' ~ prediction.within_days %},
    {% if prediction.kind == 'lookalike' -%}
    case
        when examples.days_ago = 0 then case when seeds_{{ prediction.name }}.profile_id is null then 0.0 else 1.0 end
    end as label_{{ prediction.name }}
    {%- elif prediction.kind == 'segments' -%}
    case when examples.days_ago = 0 then 1.0 end as label_{{ prediction.name }}
    {%- elif prediction.kind == 'value' -%}
    {{ outcome }}.revenue as label_{{ prediction.name }}
    {%- else -%}
    case
        when {{ outcome }}.count_events {{ '= 0' if prediction.kind == 'churn' else '> 0' }} then 1.0
        when {{ outcome }}.count_events is not null then 0.0
    end as label_{{ prediction.name }}
    {%- endif -%}
    {%- endfor %}
from examples
{%- for name in outcomes %}
left join {{ name }}
    on
        examples.profile_id = {{ name }}.profile_id
        and examples.days_ago = {{ name }}.days_ago
{%- endfor %}
{%- for prediction in predictions if prediction.kind == 'lookalike' %}
left join {{ ref('prediction_seeds') }} as seeds_{{ prediction.name }}
    on
        examples.profile_id = seeds_{{ prediction.name }}.profile_id
        and seeds_{{ prediction.name }}.prediction = '{{ prediction.name }}'
{%- endfor %}
{%- endmacro %}

{# Whom look-alikes are like: one row per prediction and profile. #}
{% macro prediction_seeds() -%}
    {%- do [ref('profiles'), ref('profile_features'), source('memberships', 'audience_membership_history')] -%}
    {%- if not execute -%}{{ return('select 1 as prediction') }}{%- endif -%}
    {%- set seeds = [] -%}
    {%- for prediction in cdi.declared_predictions() if prediction.kind == 'lookalike' -%}
        {%- set select -%}
            {%- if prediction.seed.audience %}
select
    '{{ prediction.name }}' as prediction,
    profile_id
from {{ source('memberships', 'audience_membership_history') }}
where audience = '{{ prediction.seed.audience }}' and exited_at is null
            {%- else %}
select
    '{{ prediction.name }}' as prediction,
    profile_id
from (
    select
        profile_id,
        row_number() over (order by {{ prediction.seed.trait }} desc, profile_id) as place
    from {{ ref('profiles') }}
    where {{ prediction.seed.trait }} is not null
) as ranked
where place <= {{ prediction.seed.top }}
            {%- endif %}
        {%- endset -%}
        {%- do seeds.append(select) -%}
    {%- else -%}
        {%- do seeds.append(
            'select ' ~ cdi.null_text() ~ ' as prediction, profile_id from ' ~ ref('profiles') ~ ' where false'
        ) -%}
    {%- endfor -%}
    {{ seeds | join('\nunion all\n') }}
{%- endmacro %}
