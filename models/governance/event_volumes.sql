{{ config(materialized='view') }}
-- One row per source and day of its last seven complete ones: how many events it had, against the same weekday of the
-- four weeks before.

with

sources as (

    select
        source,
        min(happened_on) as first_day,
        -- The newest day is not over yet, for the clock or for a source that delivers late.
        least(max(happened_on), cast({{ cdi.as_of() }} as date)) as unfinished_day
    from {{ ref('event_counts') }}
    group by 1

),

daily as (

    select
        source,
        happened_on,
        sum(count_events) as count_events
    from {{ ref('event_counts') }}
    group by 1, 2

),

days as (

    {% for days_ago in range(1, 8) %}
    select
        source,
        first_day,
        {{ days_ago }} as days_ago,
        cast({{ dbt.dateadd('day', -days_ago, 'unfinished_day') }} as date) as happened_on
    from sources
    {% if not loop.last %}union all{% endif %}
    {% endfor %}

),

-- A day without any event has no row in `daily`; it counts as none once the source has begun.
usual as (

    select
        days.source,
        days.days_ago,
        sum(case when past.happened_on = days.happened_on then past.count_events else 0 end) as count_events,
        sum(case when past.happened_on < days.happened_on then past.count_events else 0 end) as count_before,
        {% for weeks in range(1, 5) -%}
        max(case when {{ dbt.dateadd('day', -7 * weeks, 'days.happened_on') }} >= days.first_day then 1 else 0 end)
        {{ '+' if not loop.last }}
        {% endfor -%} as count_weeks
    from days
    left join daily as past
        on
            days.source = past.source
            and past.happened_on in (
                days.happened_on,
                {% for weeks in range(1, 5) -%}
                cast({{ dbt.dateadd('day', -7 * weeks, 'days.happened_on') }} as date){{ ',' if not loop.last }}
                {% endfor -%}
            )
    group by 1, 2

)

select
    days.source,
    days.happened_on,
    days.days_ago,
    cast(usual.count_events as {{ dbt.type_bigint() }}) as count_events,
    usual.count_weeks,
    cast(1.0 * usual.count_before / nullif(usual.count_weeks, 0) as {{ dbt.type_float() }}) as usual_count,
    -- Null where there is too little to compare with: under two weeks, or under a hundred events a day.
    cast(case
        when usual.count_weeks >= 2 and usual.count_before >= 100 * usual.count_weeks
            then 1.0 * usual.count_events * usual.count_weeks / usual.count_before
    end as {{ dbt.type_float() }}) as ratio_to_usual
from days
inner join usual on days.source = usual.source and days.days_ago = usual.days_ago
where days.happened_on >= days.first_day
