{{ config(materialized='table') }}
-- One row per profile that ever ordered: where it stands among all who did. Anybody's order moves everybody, so it is
-- built anew each time.

with

ranked as (

    select
        profile_id,
        cast(percent_rank() over (order by net_revenue) as numeric(18, 4)) as net_revenue_percentile,
        -- A tie is broken by the id, so that every run says the same.
        ntile(5) over (order by last_order_at, profile_id) as recency_score,
        ntile(5) over (order by count_orders, profile_id) as frequency_score,
        ntile(5) over (order by net_revenue, profile_id) as monetary_score
    from {{ ref('order_traits') }}
    where count_orders > 0

)

select
    profile_id,
    net_revenue_percentile,
    cast(recency_score as {{ dbt.type_int() }}) as recency_score,
    cast(frequency_score as {{ dbt.type_int() }}) as frequency_score,
    cast(monetary_score as {{ dbt.type_int() }}) as monetary_score,
    case
        when recency_score >= 4 and frequency_score >= 4 then 'champions'
        when recency_score >= 3 and frequency_score >= 3 then 'loyal'
        when recency_score >= 4 then 'recent'
        when recency_score = 3 then 'promising'
        when frequency_score >= 4 and monetary_score >= 4 then 'cannot lose'
        when frequency_score >= 3 then 'at risk'
        when recency_score = 2 then 'about to sleep'
        else 'lost'
    end as rfm_segment
from ranked
